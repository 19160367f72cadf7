"""Clients that were not written here talk with each other, each over stdio and over HTTP.

python -m proof.clients [CLIENT…]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from proof.ground import (
    ROOM_MCP,
    CannotTry,
    Report,
    a_home,
    a_server,
    env_of,
    node,
    packages,
    python_with,
)

from .conversation import converse
from .program import Otherwise, Program, a_program, cut, error_in


class Client(NamedTuple):
    """A library that speaks MCP.

    `package`: the newest one when this was written. `module`: what a user of it imports.
    """

    name: str
    package: str
    module: str
    program: str


# pydantic-ai and fastmcp are empty packages around a -slim one, which has the client; what else
# they draw in (models' own SDKs, a server) is not used here.
CLIENTS = {
    one.name: one
    for one in (
        Client(
            "langchain-mcp-adapters",
            "langchain-mcp-adapters==0.3.2",
            "langchain_mcp_adapters.client",
            "with_langchain.py",
        ),
        Client(
            "openai-agents",
            "openai-agents==0.24.0",
            "agents.mcp",
            "with_openai_agents.py",
        ),
        Client(
            "pydantic-ai",
            "pydantic-ai-slim[mcp]==2.68.0",
            "pydantic_ai.mcp",
            "with_pydantic_ai.py",
        ),
        Client(
            "fastmcp",
            "fastmcp-slim[client]==4.2.1",
            "fastmcp.client",
            "with_fastmcp.py",
        ),
        Client(
            "typescript",
            "@modelcontextprotocol/client@2.4.0",
            "@modelcontextprotocol/client",
            "with_typescript.mjs",
        ),
        Client(  # the SDK before it was split, which most programs still have
            "typescript-1",
            "@modelcontextprotocol/sdk@1.32.2",
            "@modelcontextprotocol/sdk/client/index.js",
            "with_typescript.mjs",
        ),
    )
}

# How the first and the second of two clients reach the same rooms: over HTTP by one server, over
# stdio by a process each, which shares the store with the other's or with the server.
LEGS = (("stdio", "stdio"), ("http", "http"), ("stdio", "http"), ("sse", "sse"))
PATHS = {"http": "mcp", "sse": "sse"}
IMPORT_S = 120.0
_HERE = Path(__file__).resolve().parent
_MCP_VERSION = "from importlib.metadata import version; print(version('mcp'))"


class Ready(NamedTuple):
    """A client with its own environment: the command that runs its program."""

    client: Client
    command: Sequence[str]


class Broken(Exception):
    """A release that cannot even be imported; the text is its own error."""


def made_ready(client: Client) -> tuple[Ready, str]:
    """The client, and what is told of its environment.

    Raises:
        CannotTry: It cannot be fetched.
        Broken: It was fetched, and cannot be imported.
    """
    if client.program.endswith(".mjs"):
        folder = packages(f"client-{client.name}", [client.package]).parent
        program = folder / client.program
        shutil.copy(_HERE / client.program, program)  # Node looks for packages from there
        asked = f"await import({json.dumps(client.module)})"
        _imported([str(node()), "--input-type=module", "--eval", asked], folder)
        return Ready(client, [str(node()), str(program)]), client.package
    python = str(python_with(f"client-{client.name}", [client.package]))
    mcp = _imported([python, "-c", f"import {client.module}; {_MCP_VERSION}"], _HERE.parent)
    return Ready(client, [python, str(_HERE / client.program)]), f"{client.package}, mcp=={mcp}"


def _imported(command: Sequence[str], folder: Path) -> str:
    """What an environment says that was asked to import its library."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_clean_env(),
            capture_output=True,
            text=True,
            timeout=IMPORT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"its import takes more than {IMPORT_S:.0f} s") from None
    if done.returncode:
        raise Broken(cut(error_in(done.stderr)))
    return done.stdout.strip()


def _clean_env() -> dict[str, str]:
    """The environment of a client: nothing of ours in it, and no proxy before this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("ROOM_MCP_")
    }
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def prepared(names: Sequence[str], report: Report) -> list[Ready]:
    """The clients of these names that can be tried; the others are named with their errors."""
    with ThreadPoolExecutor() as threads:
        making = {name: threads.submit(made_ready, CLIENTS[name]) for name in names}
    ready: list[Ready] = []
    for name, made in making.items():
        try:
            one, told = made.result()
        except CannotTry as error:
            report.skip(name, str(error))
        except Broken as error:
            report.skip(name, f"{CLIENTS[name].package} is broken by itself: {error}")
        else:
            report.ok(f"{name}: {told}")
            ready.append(one)
    return ready


def ring(ready: Sequence[Ready]) -> list[tuple[Ready, Ready]]:
    """Each with the next one, and the last with the first."""
    return list(zip(ready, [*ready[1:], *ready[:1]], strict=True)) if len(ready) > 1 else []


def speaking(
    one: Ready, over: str, env: Mapping[str, str], url: str
) -> contextlib.AbstractContextManager[Program]:
    """The client at work as the agent of its name."""
    where: dict[str, Any] = {"transport": over}
    if over == "stdio":
        where["command"], *where["args"] = [*ROOM_MCP, "--agent", one.client.name]
        # Hosts pass on what stands in their settings, and little else.
        where["env"] = {name: env[name] for name in ("ROOM_MCP_HOME", "PYTHONPATH")}
    else:
        where["url"] = f"{url}/as/{one.client.name}/{PATHS[over]}"
    return a_program(one.client.name, [*one.command, json.dumps(where)], _clean_env())


def talk(first: Ready, second: Ready, leg: tuple[str, str]) -> None:
    """One room, from its opening to its end, over a store that nothing else uses.

    Raises:
        Otherwise: A client saw something else than it should.
    """
    with contextlib.ExitStack() as stack:
        env = env_of(stack.enter_context(a_home()))
        serves = set(leg) != {"stdio"}
        url = stack.enter_context(a_server(["serve", "--port", "0"], env)) if serves else ""
        asker, answerer = (
            stack.enter_context(speaking(one, over, env, url))
            for one, over in zip((first, second), leg, strict=True)
        )
        converse(f"{first.client.name}-{second.client.name}", asker, answerer)


def main(arguments: Sequence[str]) -> int:
    names = list(CLIENTS)
    parser = argparse.ArgumentParser(prog="python -m proof.clients")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}")
    chosen = list(dict.fromkeys(parser.parse_args(arguments).clients)) or names
    if unknown := set(chosen) - set(names):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    if len(chosen) == 1:
        chosen.append(names[(names.index(chosen[0]) + 1) % len(names)])  # to talk with

    report = Report("clients that were not written here")
    ready = prepared(chosen, report)
    if len(ready) < 2:
        report.skip("conversations", "nobody is left to talk with")
    for first, second in ring(ready):
        for leg in LEGS:
            what = f"{first.client.name} over {leg[0]}, {second.client.name} over {leg[1]}"
            try:
                talk(first, second, leg)
            except (Otherwise, RuntimeError, subprocess.TimeoutExpired) as error:
                report.fail(what, str(error))
            else:
                report.ok(f"{what}: eight tools, question, answer, end, refusal")
    return report.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
