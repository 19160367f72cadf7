"""Two agents in two real MCP processes review a change in one room; a third joins with curl.

The agents are scripted: each does what its host's model would do, through the real tools, and
waits with `wait_for_messages` like one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files
from typing import Any
from urllib.request import Request, urlopen

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

from room_mcp.cli import lines
from room_mcp.client import RoomsClient

from .stage import DemoFailed

LOOK_AGAIN_S = 0.02


class Timings:
    """What took how long, as printed at the end."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    def note(self, what: str, began: float) -> None:
        self.rows.append((what, (time.perf_counter() - began) * 1000))

    def show(self) -> None:
        print("\nTimings of this run, on this machine")
        for what, took_ms in self.rows:
            print(f"  {took_ms:8.1f} ms  {what}")


class Agent:
    """A scripted agent: an MCP client of its own server process."""

    def __init__(self, client: Client, name: str, timings: Timings) -> None:
        self._client = client
        self.name = name
        self.timings = timings

    async def call(self, tool: str, **arguments: Any) -> str:
        """The text that the model would read."""
        result = await self._client.call_tool(tool, arguments)
        text = _text(result)
        if result.is_error:
            raise DemoFailed(f"{self.name}: {tool} was refused: {text}")
        return text

    async def refused(self, tool: str, **arguments: Any) -> str:
        result = await self._client.call_tool(tool, arguments)
        if not result.is_error:
            raise DemoFailed(f"{self.name}: {tool} should have been refused.")
        return _text(result)

    async def say(self, **arguments: Any) -> str:
        began = time.perf_counter()
        text = await self.call("send_message", **arguments)
        self.timings.note(f"{self.name}: send_message answered, the message is on disk", began)
        return text

    async def sees_waiting(self, other: Agent) -> None:
        """Return once the other agent sits in its wait."""
        while f"{other.name} waits" not in await self.call("list_rooms"):  # noqa: ASYNC110 -- another process: it sets no event here
            await anyio.sleep(LOOK_AGAIN_S)

    async def hear(self, room: str, expected: str) -> None:
        """Wait as an agent does, until a message holds the expected words."""
        text = await self.call("wait_for_messages", room=room)
        if expected not in text:
            raise DemoFailed(f"{self.name} waited for {expected!r} and read: {text}")


def _text(result: CallToolResult) -> str:
    return "\n".join(one.text for one in result.content if isinstance(one, TextContent))


async def walk(home: str) -> None:
    """Play the review."""
    script = json.loads(files("room_mcp.demo").joinpath("script.json").read_text("utf-8"))
    timings = Timings()
    async with _cast(home, timings) as (author, reviewer, url):
        await _talk(script, author, reviewer, url, timings)
    timings.show()


@asynccontextmanager
async def _cast(home: str, timings: Timings) -> AsyncGenerator[tuple[Agent, Agent, str]]:
    """The three participants: two stdio processes and an HTTP server on the same file."""
    env = {**os.environ, "ROOM_MCP_HOME": home}
    for name in ("ROOM_MCP_URL", "ROOM_MCP_STORE", "ROOM_MCP_KEY", "ROOM_MCP_AGENT"):
        env.pop(name, None)
    async with AsyncExitStack() as stack:
        author = await stack.enter_async_context(_agent("author", env, timings))
        reviewer = await stack.enter_async_context(_agent("reviewer", env, timings))
        url = await stack.enter_async_context(_server(env, timings))
        print("Three processes share one file, with no daemon between them:")
        print("  author, reviewer   room-mcp over stdio, as a host starts it")
        print(f"  room-mcp serve     {url}, for everybody else\n")
        yield author, reviewer, url


@asynccontextmanager
async def _agent(name: str, env: dict[str, str], timings: Timings) -> AsyncGenerator[Agent]:
    began = time.perf_counter()
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "room_mcp", "--agent", name], env=env
    )
    async with Client(stdio_client(parameters)) as client:
        timings.note(f"{name}: process started, handshake done", began)
        yield Agent(client, name, timings)


@asynccontextmanager
async def _server(env: dict[str, str], timings: Timings) -> AsyncGenerator[str]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "room_mcp", "serve", "--port", "0"]
    async with await anyio.open_process(command, env=env, stderr=None) as process:
        try:
            assert process.stdout is not None
            first = b""
            while not first.endswith(b"\n"):
                first += await process.stdout.receive()
            timings.note("serve: process started", began)
            yield first.decode().strip()
        finally:
            process.terminate()


async def _talk(
    script: dict[str, Any], author: Agent, reviewer: Agent, url: str, timings: Timings
) -> None:
    room = script["room"]
    await author.call("create_room", name=room, purpose=script["purpose"])
    await reviewer.call("join_room", room=room)
    async with RoomsClient(url) as watcher, anyio.create_task_group() as tasks:
        room_id = (await watcher.rooms(query=room)).rooms[0].id
        print(f"{lines.quoted(room)}: {script['purpose']}\n")
        tasks.start_soon(_show, watcher, room_id)
        await _reviewed(script, author, reviewer, url, room_id, timings)
    print("\nAnd then one of them wants to be polite. The room is closed:")
    print(f"  author > send_message(room={room!r}, content={script['thanks']!r})")
    refusal = await author.refused("send_message", room=room, content=script["thanks"])
    print(f"  {refusal}")


async def _reviewed(
    script: dict[str, Any],
    author: Agent,
    reviewer: Agent,
    url: str,
    room_id: str,
    timings: Timings,
) -> None:
    room = script["room"]
    asked = f"{script['request']}\n{script['diff']}"
    request = {"type": "request", "content": asked, "to": ["reviewer"]}
    await _exchange(author, request, reviewer, room)
    question = {"type": "question", "content": script["question"], "to": ["author"], "reply_to": 1}
    await _exchange(reviewer, question, author, room)
    answer = {"type": "answer", "content": script["answer"], "reply_to": 2}
    await _exchange(author, answer, reviewer, room)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_heard_by_both, author, reviewer, room, script["finding"][:20])
        await anyio.to_thread.run_sync(_by_curl, url, room_id, script["finding"], timings)

    revision = {"content": script["revision"], "to": ["reviewer"]}
    await _exchange(author, revision, reviewer, room)
    verdict = {"type": "review_complete", "body": script["verdict"]}
    await _exchange(reviewer, verdict, author, room)


async def _heard_by_both(author: Agent, reviewer: Agent, room: str, words: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(author.hear, room, words)
        tasks.start_soon(reviewer.hear, room, words)


async def _exchange(speaker: Agent, message: dict[str, Any], listener: Agent, room: str) -> None:
    """One agent speaks while the other sits in its wait, as two hosts do at the same time."""
    began = 0.0

    async def hear() -> None:
        await listener.hear(room, f" {speaker.name}")
        listener.timings.note(
            f"{speaker.name} began to send → {listener.name} has it from its wait", began
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hear)
        await speaker.sees_waiting(listener)
        began = time.perf_counter()
        await speaker.say(room=room, **message)


def _by_curl(url: str, room_id: str, text: str, timings: Timings) -> None:
    """A participant without MCP: one HTTP call, by curl where it is installed."""
    body = json.dumps({"sender": "security", "content": text, "to": ["author", "reviewer"]})
    target = f"{url}/agent/rooms/{room_id}/messages"
    header = "Content-Type: application/json"
    began = time.perf_counter()
    if shutil.which("curl"):
        command = ["curl", "-sS", "--fail-with-body", target, "-H", header, "-d", body]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if done.returncode:
            raise DemoFailed(f"curl: {done.stderr or done.stdout}")
        timings.note("security: curl, started, sent, stored on disk", began)
    else:
        request = Request(target, body.encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as answer:
            answer.read()
        timings.note("security: HTTP request, stored on disk (no curl here)", began)


async def _show(watcher: RoomsClient, room_id: str) -> None:
    """Print the transcript as it grows, until the room closes."""
    cursor = 0
    while True:
        for update in (await watcher.updates({room_id: cursor}, wait_s=30)).rooms:
            for message in update.messages:
                cursor = message.seq
                print(lines.message(message), flush=True)
            if update.lifecycle == "closed" and not update.has_more:
                return
