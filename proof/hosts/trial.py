"""One host on a machine of its own: installs room-mcp there, lets it take a turn, and looks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from proof.ground import ROOT, CannotTry, Report, a_home, node_env, packages
from room_mcp import wire
from room_mcp.bridge.server import INSTRUCTIONS
from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.settings import Settings

from .mock_model import LAST_WORD, MockModel, offer_of, serving
from .table import PROMPT, URL, Host

TOOLS = (
    "create_room",
    "join_room",
    "send_message",
    "wait_for_messages",
    "read_history",
    "list_rooms",
    "search_messages",
    "close_room",
)
ROOM = "hosts-proof"
SAID = "The parser is ready; which corner should I look at first?"
PEER = "peer"
ASKED = "Does it take an empty line?"
SCRIPT: Mapping[str, dict[str, Any]] = {
    "create_room": {"name": ROOM, "purpose": "to see what a model sees"},
    "send_message": {"room": ROOM, "content": SAID},
    "wait_for_messages": {"room": ROOM},
}
TURN_S = 180
START_S = 120  # for commands that only say a version or write a file
LOOK_EVERY_S = 0.2
SHOWN_CHARS = 300  # of what a model saw, in a report


@dataclass(frozen=True, slots=True)
class Place:
    """A machine on which neither the host nor room-mcp was ever used."""

    folder: Path
    program: Path
    env: Mapping[str, str]

    @property
    def rooms(self) -> Path:
        return self.folder / "rooms"

    @property
    def project(self) -> Path:
        return self.folder / "project"


class Turn(NamedTuple):
    """How the host's turn ended; `code` is None when it had to be stopped."""

    code: int | None
    output: str


def attempt(host: Host, report: Report) -> None:
    """Try one host and report each thing that should hold.

    Raises:
        CannotTry: This machine cannot fetch or start it.
    """
    modules = packages(host.name, [host.package])
    model = MockModel(TOOLS, SCRIPT)
    with a_home() as folder, serving(model) as url:
        place = _place(host, modules, folder, url)
        _must_start(place)
        if not _install(host, place, report):
            return
        turn, history = anyio.run(_turn, host, place, url)
    _look_at_model(host, model, report)
    _look_at_room(host, history, report)
    ended = turn.code == 0 and LAST_WORD in turn.output
    why = "had to be stopped" if turn.code is None else f"exit code {turn.code}"
    report.check(ended, f"{host.label}: its turn ends by itself", f"{why}: {_cut(turn.output)}")


# ---- the machine ----------------------------------------------------------------------------


def _place(host: Host, modules: Path, folder: Path, url: str) -> Place:
    for name in ("bin", "home", "project", "rooms"):
        (folder / name).mkdir()
    for name, text in host.files.items():
        path = folder / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _put_on_path(folder / "bin")
    binaries = modules / ".bin"
    programs = [folder / "bin", binaries, node_env()["PATH"]]
    env = {
        "PATH": os.pathsep.join(map(str, programs)),
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        # Whoever wants to leave the machine is refused by the model's server.
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "NO_PROXY": "127.0.0.1,localhost",
        **{name: value.replace(URL, url) for name, value in host.env.items()},
    }
    return Place(folder, binaries / host.program, env)


def _put_on_path(folder: Path) -> None:
    """A `room-mcp` that runs this checkout, for when it is not installed beside our Python."""
    script = folder / "room-mcp"
    words = shlex.join(["env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-m", "room_mcp"])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)


def _must_start(place: Place) -> None:
    try:
        done = _run([str(place.program), "--version"], place.env)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotTry(f"it does not start: {error}") from None
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise CannotTry(f"it does not start: {told[-1] if told else f'exit {done.returncode}'}")


def _install(host: Host, place: Place, report: Report) -> bool:
    """Register our server as a person would, with its rooms elsewhere than by default."""
    argv = [sys.executable, "-m", "room_mcp", "install", host.name, "--json"]
    env = {**place.env, "PYTHONPATH": str(ROOT / "src"), "ROOM_MCP_HOME": str(place.rooms)}
    done = _run(argv, env, place.project)
    outcome: dict[str, Any]
    try:
        outcome = json.loads(done.stdout)[0]
    except (ValueError, IndexError):
        outcome = {"action": "failed", "detail": done.stdout + done.stderr, "command": None}
    is_added = outcome["action"] == "added"
    what = f"{host.label}: `room-mcp install {host.name}` adds us by the host's own command"
    report.check(is_added and bool(outcome["command"]), what, _cut(outcome["detail"]))
    return is_added


def _run(
    argv: list[str], env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


# ---- the turn -------------------------------------------------------------------------------


async def _turn(host: Host, place: Place, url: str) -> tuple[Turn, list[wire.Message]]:
    """The host's whole turn, with a peer in the room, and what the room holds afterwards."""
    settings = Settings.from_env({"ROOM_MCP_HOME": str(place.rooms)})
    async with open_client(settings) as rooms, anyio.create_task_group() as tasks:
        tasks.start_soon(_ask, rooms, host.agent)
        turn = await _let_run(host, place, url)
        tasks.cancel_scope.cancel()
    async with open_client(settings) as rooms:
        found = (await rooms.rooms(query=ROOM)).rooms
        return turn, (await rooms.messages(found[0].id, after=0)).messages if found else []


async def _ask(rooms: RoomsClient, agent: str) -> None:
    """Put a question to the agent as soon as it waits in the room."""
    while True:
        for room in (await rooms.rooms(query=ROOM)).rooms:
            if agent in room.waiting:
                await rooms.join(room.id, PEER)
                await rooms.post(room.id, PEER, ASKED, type="question", to=[agent])
                return
        await anyio.sleep(LOOK_EVERY_S)


async def _let_run(host: Host, place: Place, url: str) -> Turn:
    prompt = f"Open the room {ROOM}, say there what you did, and wait for an answer."
    words = [word.replace(URL, url).replace(PROMPT, prompt) for word in host.words]
    output = place.folder / "output"
    with output.open("wb") as sink:
        async with await anyio.open_process(
            [str(place.program), *words],
            cwd=place.project,
            env=place.env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,  # a group of its own, so that all of it can be ended
        ) as process:
            try:
                with anyio.move_on_after(TURN_S) as limit:
                    await process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    code = None if limit.cancelled_caught else process.returncode
    return Turn(code, output.read_text(errors="replace"))


# ---- what is looked at ------------------------------------------------------------------------


def _look_at_model(host: Host, model: MockModel, report: Report) -> None:
    offers = model.offers
    absent = [tool for tool in TOOLS if offer_of(tool, offers.values()) is None]
    what = f"{host.label}: all {len(TOOLS)} tools are offered to the model"
    report.check(not absent, what, f"not {', '.join(absent)}; offered: {_cut(' '.join(offers))}")

    reads = _plain(INSTRUCTIONS) in _plain(model.told)
    what = "reads" if host.reads_instructions else "does not read"
    report.check(reads == host.reads_instructions, f"{host.label}: its model {what} instructions")

    for tool, holds in _EXPECTED.items():
        seen = model.results.get(tool, "")
        what = f"{host.label}: the model sees what {tool} answered"
        report.check(holds(host, seen), what, f"it saw {_cut(seen)!r}")


def _created(host: Host, seen: str) -> bool:
    if host.shows == "text":
        return f'Room "{ROOM}" opened. You are {host.agent}.' in seen
    found = _structure(seen)
    return (found.get("room"), found.get("you")) == (ROOM, host.agent) and "invite" in found


def _sent(host: Host, seen: str) -> bool:
    if host.shows == "text":
        return "Sent #1" in seen
    found = _structure(seen)
    return found.get("seq") == 1 and "Sent #1" in found.get("text", "")


def _heard(_: Host, seen: str) -> bool:
    line = rf"^#2 \d+s {PEER} → you \[question\]: {re.escape(ASKED)}$"
    return re.search(line, seen, re.MULTILINE) is not None


_EXPECTED = {"create_room": _created, "send_message": _sent, "wait_for_messages": _heard}


def _structure(seen: str) -> dict[str, Any]:
    """The JSON object in a text; empty when there is none."""
    with contextlib.suppress(ValueError):
        return json.JSONDecoder().raw_decode(seen[seen.index("{") :])[0]
    return {}


def _look_at_room(host: Host, history: list[wire.Message], report: Report) -> None:
    held = [(one.seq, one.sender, one.content) for one in history]
    expected = [(1, host.agent, SAID), (2, PEER, ASKED)]
    what = f"{host.label}: the room holds its message and the peer's, once each"
    report.check(held == expected, what, f"it holds {held}")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str) -> str:
    """The last of a text on one line: programs say at the end what went wrong."""
    plain = _plain(text)
    return plain if len(plain) <= SHOWN_CHARS else f"… {plain[-SHOWN_CHARS:]}"
