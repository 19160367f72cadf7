"""Everything that the product does in a day, on real processes: `python product_walk.py FOLDER`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

RUN_S = 120  # a hang guard
COMMAND = (sys.executable, "-m", "room_mcp")


def walk(folder: Path) -> None:
    """Two at once: a part of each is waiting, and more would be too slow for what is timed."""
    lanes = (_demo, _shared, _checks, _embedded)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(lane, folder / lane.__name__) for lane in lanes]:
            done.result()


def _demo(home: Path) -> None:
    _run("demo", env=_env(home))


def _checks(home: Path) -> None:
    _run("doctor", env=_env(home), codes=(0, 1))  # on a busy machine it finds it too slow
    _run("install", "claude-code", "codex", "cursor", "--dry-run", env=_env(home))


def _embedded(home: Path) -> None:
    env = _env(home)
    _a_days_commands(env)
    _run("search", "home", env=env)
    _run("verdict", "review", env=env)
    exported = home / "review.jsonl"
    exported.write_text(_run("export", "review", "--format", "jsonl", env=env), "utf-8")
    _run("templates", env=env)
    _run("replay", str(exported), "--template", "open", env=env)


def _shared(home: Path) -> None:
    with _serving("serve", "--port", "0", env=_env(home)) as url:
        anyio.run(_over_http, f"{url}/mcp")
        assert httpx2.get(f"{url}/rooms/none", verify=False).status_code == 404
        _a_days_commands({**_env(home / "guest"), "ROOM_MCP_URL": url})
    with _serving("--transport", "streamable-http", "--port", "0", env=_env(home)) as url:
        anyio.run(_over_http, url)


def _a_days_commands(env: Mapping[str, str]) -> None:
    _run("create", "review", env=env)
    _run("join", "review", "--as", "ann", env=env)
    _run("send", "review", "Does it phone home?", "--as", "ann", env=env)
    _run("history", "review", env=env)
    _run("send", "review", "It does not.", "--type", "decision", "--as", "ann", env=env)


async def _over_http(url: str) -> None:
    """An agent that comes to the MCP server over HTTP."""
    async with (
        httpx2.AsyncClient(
            verify=False, timeout=RUN_S, headers={"Room-Agent": "bob"}, follow_redirects=True
        ) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        for tool, arguments in (
            ("create_room", {"name": "walk"}),
            ("send_message", {"room": "walk", "content": "Is anybody listening?"}),
            ("list_rooms", {}),
        ):
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result


def _env(home: Path) -> dict[str, str]:
    """The environment of a person to whom this folder is home."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_MCP_")}
    return {**kept, "HOME": str(home), "ROOM_MCP_HOME": str(home / "rooms")}


def _run(*words: str, env: Mapping[str, str], codes: Sequence[int] = (0,)) -> str:
    done = subprocess.run(
        [*COMMAND, *words],
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode in codes, (words, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def _serving(*words: str, env: Mapping[str, str]) -> Iterator[str]:
    process = subprocess.Popen([*COMMAND, *words], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(RUN_S)
        process.stdout.close()


if __name__ == "__main__":
    walk(Path(sys.argv[1]))
