"""The MCP Inspector's command line against our server, by every door and in both eras."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .ground import ROOM_MCP, CannotTry, Report, a_home, a_server, env_of, node_env, packages

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
ERAS = {"legacy": "2025-11-25", "modern": "2026-07-28"}  # with the revision each agrees on
AGENT = "inspector"
ROOM = "looked-at"
SAID = "Does a stranger's client see this?"
TOOLS = {
    "close_room",
    "create_room",
    "join_room",
    "list_rooms",
    "read_history",
    "search_messages",
    "send_message",
    "wait_for_messages",
}
PROMPTS = {"catch_up", "hand_off", "join_room", "review_code"}
TEMPLATES = {"room://{room}/history", "room://{room}/transcript"}
RUN_S = 60  # for one run of the Inspector; it takes two


class Refused(Exception):
    """The Inspector ended with something else than 0."""


class Inspector:
    """Runs the Inspector against one server, in one era of the protocol.

    Every run connects anew; over stdio, each starts a server of its own.
    """

    def __init__(self, config: Path, era: str) -> None:
        self.revision = ERAS[era]
        program = packages("inspector", [INSPECTOR]) / ".bin" / "mcp-inspector"
        self._command = [str(program), "--cli", "--config", str(config), "--server", "room"]
        self._command += ["--protocol-era", era, "--format", "json", "--quiet"]
        # Else it looks for a keychain, for secrets that nobody has here.
        self._env = {**node_env(), "MCP_INSPECTOR_SECRET_STORE": "memory"}

    def run(self, method: str, *options: str) -> dict[str, Any]:
        """The result of a method.

        Raises:
            Refused: The server refused, or the Inspector did.
        """
        done = subprocess.run(
            [*self._command, "--method", method, *options],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise Refused(f"exit {done.returncode}: {said[-300:]}")
        return json.loads(done.stdout)["result"]

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers."""
        given = json.dumps(arguments)
        return self.run("tools/call", "--tool-name", tool, "--tool-args-json", given)

    def read(self, uri: str) -> dict[str, Any]:
        """What a resource holds."""
        return self.run("resources/read", "--uri", uri)["contents"][0]


# ---- what is looked at, in this order; each yields what is wrong with it ---------------------


def _initialize(inspector: Inspector) -> Iterator[str]:
    begun = inspector.run("initialize")
    if (name := begun["serverInfo"]["name"]) != "room-mcp":
        yield f"it is called {name!r}"
    if (revision := begun["protocolVersion"]) != inspector.revision:
        yield f"it speaks {revision}"
    if "wait_for_messages" not in begun["instructions"]:
        yield "its instructions do not say how to go on"


def _tools(inspector: Inspector) -> Iterator[str]:
    # Strict fails on schemas that some host or model would not take.
    tools = inspector.run("tools/list", "--strict")["tools"]
    if (names := {tool["name"] for tool in tools}) != TOOLS:
        yield f"the tools are {sorted(names)}"


def _create_room(inspector: Inspector) -> Iterator[str]:
    made = inspector.call("create_room", name=ROOM, purpose="be looked at")["structuredContent"]
    if (made["room"], made["you"]) != (ROOM, AGENT):
        yield f"the room is {made['room']!r}, and we are {made['you']!r}"


def _send_message(inspector: Inspector) -> Iterator[str]:
    sent = inspector.call("send_message", room=ROOM, content=SAID, type="question")
    text, seq = sent["content"][0]["text"], sent["structuredContent"]["seq"]
    if f"Sent #{seq} [question]" not in text:
        yield f"it is number {seq}, and the text is {text!r}"


def _read_history(inspector: Inspector) -> Iterator[str]:
    text = inspector.call("read_history", room=ROOM)["content"][0]["text"]
    if f"you [question]: {SAID}" not in text:
        yield f"it shows {text!r}"


def _resources(inspector: Inspector) -> Iterator[str]:
    listed = {one["name"]: one["uri"] for one in inspector.run("resources/list")["resources"]}
    uri = listed.get(ROOM, "")
    if not (uri.startswith("room://") and uri.endswith("/history")):
        yield f"it lists {listed}"
    elif SAID not in inspector.read(uri)["text"]:
        yield f"{uri} does not hold what was said"


def _templates(inspector: Inspector) -> Iterator[str]:
    templates = inspector.run("resources/templates/list")["resourceTemplates"]
    if (uris := {one["uriTemplate"] for one in templates}) != TEMPLATES:
        yield f"the templates are {sorted(uris)}"


def _history(inspector: Inspector) -> Iterator[str]:
    read = inspector.read(f"room://{ROOM}/history")
    if read["mimeType"] != "application/json":
        yield f"it is {read['mimeType']}"
    kept = json.loads(read["text"])
    if kept["room"] != ROOM:
        yield f"the room is {kept['room']!r}"
    if SAID not in [one["content"] for one in kept["messages"]]:
        yield f"the messages are {kept['messages']}"


def _transcript(inspector: Inspector) -> Iterator[str]:
    read = inspector.read(f"room://{ROOM}/transcript")
    if read["mimeType"] != "text/markdown":
        yield f"it is {read['mimeType']}"
    if not read["text"].startswith(f"# {ROOM}\n"):
        yield f"it begins {read['text'][:40]!r}"
    if SAID not in read["text"]:
        yield "it does not hold what was said"


def _prompts(inspector: Inspector) -> Iterator[str]:
    listed = inspector.run("prompts/list")["prompts"]
    if (names := {one["name"] for one in listed}) != PROMPTS:
        yield f"the prompts are {sorted(names)}"


def _join_room(inspector: Inspector) -> Iterator[str]:
    options = ("--prompt-name", "join_room", "--prompt-args", f"room={ROOM}")
    text = inspector.run("prompts/get", *options)["messages"][0]["content"]["text"]
    if f'join_room(room="{ROOM}")' not in text:
        yield f"it says {text!r}"


LOOKS: Mapping[str, Callable[[Inspector], Iterator[str]]] = {
    "initialize": _initialize,
    "tools/list": _tools,
    "tools/call create_room": _create_room,
    "tools/call send_message": _send_message,
    "tools/call read_history": _read_history,
    "resources/list": _resources,
    "resources/templates/list": _templates,
    f"resources/read room://{ROOM}/history": _history,
    f"resources/read room://{ROOM}/transcript": _transcript,
    "prompts/list": _prompts,
    "prompts/get join_room": _join_room,
}


# ---- the doors; each yields the server's entry in the Inspector's settings -------------------


@contextlib.contextmanager
def _stdio(home: Path) -> Iterator[dict[str, Any]]:
    env = env_of(home)
    command, *arguments = ROOM_MCP
    yield {
        "type": "stdio",
        "command": command,
        "args": [*arguments, "--agent", AGENT],
        "env": {name: env[name] for name in ("ROOM_MCP_HOME", "PYTHONPATH")},
    }


@contextlib.contextmanager
def _http(home: Path) -> Iterator[dict[str, Any]]:
    with a_server(["serve", "--port", "0"], env_of(home)) as base:
        yield {"type": "streamable-http", "url": f"{base}/as/{AGENT}/mcp"}


@contextlib.contextmanager
def _sse(home: Path) -> Iterator[dict[str, Any]]:
    with a_server(["serve", "--port", "0"], env_of(home)) as base:
        yield {"type": "sse", "url": f"{base}/as/{AGENT}/sse"}


DOORS = {"stdio": _stdio, "http": _http, "sse": _sse}


def main() -> int:
    report = Report(INSPECTOR)
    try:
        packages("inspector", [INSPECTOR])
        node_env()
    except CannotTry as error:
        report.skip("everything", str(error))
        return report.end()
    for name, door in DOORS.items():
        for era in ERAS:
            with a_home() as home, door(home) as server:
                config = home / "inspector.json"
                config.write_text(json.dumps({"mcpServers": {"room": server}}))
                _look_at_all(report, f"{name}, {era}", Inspector(config, era))
    return report.end()


def _look_at_all(report: Report, where: str, inspector: Inspector) -> None:
    for what, look in LOOKS.items():
        try:
            wrong = "; ".join(look(inspector))
        except (Refused, subprocess.TimeoutExpired, LookupError, ValueError) as error:
            # What does not look like a result at all is a finding like any other.
            wrong = f"{type(error).__name__}: {error}"
        report.check(not wrong, f"{where}: {what}", wrong)


if __name__ == "__main__":
    sys.exit(main())
