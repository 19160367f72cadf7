"""Speaks to the real server as a host would: a subprocess, and lines of JSON-RPC in both eras."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import room_mcp

from .doctor import FAIL, OK, Finding

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from room_mcp.settings import Settings

SERVER = ("-m", "room_mcp")  # what Python is to run
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
ANSWER_S = 20.0  # a first start after installing compiles everything, and disks can be slow
END_S = 5.0
LONGEST_LINE_BYTES = 1024 * 1024
COMPLAINT_CHARS = 300

_CLIENT = {"name": "room-mcp-doctor", "version": room_mcp.__version__}
_META = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": _CLIENT,
    }
}
_INITIALIZE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": _CLIENT}


class Unanswered(Exception):
    """The server ended, stayed silent or refused."""


def legacy(settings: Settings) -> Finding:
    """As most hosts open: `initialize`, then the tools."""
    return _finding(f"mcp {LEGACY}", settings, modern=False)


def modern(settings: Settings) -> Finding:
    """As the newest hosts open: `server/discover`, then the tools."""
    return _finding(f"mcp {MODERN}", settings, modern=True)


def _finding(check: str, settings: Settings, *, modern: bool) -> Finding:
    try:
        tools, took_ms = asyncio.run(_talk(settings, modern=modern))
    except Unanswered as error:
        return Finding(check, FAIL, str(error), "Run `room-mcp` by hand to see what it says.")
    if not tools:
        return Finding(check, FAIL, "The server lists no tools.", "Install room-mcp again.")
    return Finding(check, OK, f"started, and listed {len(tools)} tools", took_ms=round(took_ms, 1))


async def _talk(settings: Settings, *, modern: bool) -> tuple[list[str], float]:
    """The names of the tools, and the milliseconds from the start to the first answer."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *SERVER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE_BYTES,
        env=os.environ,
    )
    complaints = asyncio.ensure_future(_all_of(process))
    try:
        async with asyncio.timeout(ANSWER_S):
            if modern:
                await _asked(process, 1, "server/discover", _META)
            else:
                await _asked(process, 1, "initialize", _INITIALIZE)
                await _say(process, {"method": "notifications/initialized"})
            took_ms = (time.perf_counter() - began) * 1_000
            listed = await _asked(process, 2, "tools/list", _META if modern else {})
        return [str(tool["name"]) for tool in listed.get("tools", [])], took_ms
    except TimeoutError:
        raise Unanswered(f"The server did not answer within {ANSWER_S:.0f} s.") from None
    except (Unanswered, ConnectionError, ValueError) as error:
        await _ended(process)
        raise Unanswered(_complaint(error, await complaints, settings)) from None
    finally:
        await _ended(process)
        await complaints


async def _asked(
    process: Process, id: int, method: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """The result of one request; what the server sends unasked is passed over."""
    await _say(process, {"id": id, "method": method, "params": params})
    assert process.stdout is not None
    while line := await process.stdout.readline():
        try:
            answer: Any = json.loads(line)
        except ValueError:
            raise Unanswered(
                f"The server wrote something that is not JSON: {line[:80]!r}."
            ) from None
        if not isinstance(answer, dict):
            continue
        answer = cast("dict[str, Any]", answer)
        if answer.get("id") != id:
            continue
        if "error" in answer:
            raise Unanswered(f"The server refused {method}: {answer['error'].get('message')}.")
        return answer["result"]
    raise Unanswered(f"The server ended without an answer to {method}.")


async def _say(process: Process, message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    await process.stdin.drain()


async def _all_of(process: Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode("utf-8", errors="replace")


async def _ended(process: Process) -> None:
    """End the server as a host does, by closing its input; by force when that is not enough."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _complaint(error: Exception, stderr: str, settings: Settings) -> str:
    """What went wrong, with the last thing that the server said about it; never a key."""
    said = stderr.strip().splitlines()[-1:] or [""]
    text = f"{error} {said[0][-COMPLAINT_CHARS:]}".strip()
    return text.replace(settings.key, "<ROOM_MCP_KEY>") if settings.key else text
