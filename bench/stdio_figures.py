"""What an agent's host notices: start-up, memory, a durable message, and a wake-up.

python -m bench.stdio_figures
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from . import machine

STARTS = 15
CALLS = 300
WARM_UP = 30
WAKES = 100
IDLE_S = 20.0
ROOM = [sys.executable, "-m", "room_mcp"]
MINIMAL = [sys.executable, "-m", "bench.minimal_server"]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "0"},
    },
}


def started(command: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Milliseconds from spawning to the answer to `initialize`, and KiB resident then."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(INITIALIZE) + "\n")
    process.stdin.flush()
    process.stdout.readline()
    took_ms = (time.perf_counter() - began) * 1000
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    process.stdin.close()
    process.wait()
    return took_ms, int(resident.split()[1])


def start_up(env: dict[str, str]) -> None:
    ours: list[tuple[float, int]] = []
    minimal: list[tuple[float, int]] = []
    for _ in range(STARTS):
        minimal.append(started(MINIMAL, env))
        ours.append(started(ROOM, env))
    our_ms, our_kib = (statistics.median(one) for one in zip(*ours, strict=True))
    min_ms, min_kib = (statistics.median(one) for one in zip(*minimal, strict=True))
    row("spawn → initialize", f"{our_ms:.0f} ms", f"{min_ms:.0f} ms", our_ms / min_ms, "≤ 1.1")
    row(
        "memory, idle",
        f"{our_kib / 1024:.1f} MiB",
        f"{min_kib / 1024:.1f} MiB",
        our_kib / min_kib,
        "≤ 1.1",
    )


def row(what: str, ours: str, other: str, ratio: float | None, bar: str) -> None:
    shown = "" if ratio is None else f"{ratio:5.2f}×"
    print(f"{what:<44} {ours:>12} {other:>20} {shown:>8}  bar {bar}")


def client(command: list[str], env: dict[str, str]) -> Client:
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=env)
    return Client(stdio_client(parameters))


async def median_call_ms(of: Client, tool: str, **arguments: Any) -> float:
    took: list[float] = []
    for count in range(WARM_UP + CALLS):
        if "content" in arguments:
            arguments["content"] = f"message {count}"
        began = time.perf_counter()
        result = await of.call_tool(tool, arguments)
        took.append((time.perf_counter() - began) * 1000)
        assert not result.is_error, result
    return statistics.median(took[WARM_UP:])


async def durable_message(env: dict[str, str], folder: Path) -> None:
    """One durable message against a call that does nothing plus one fdatasync."""
    async with client(MINIMAL, env) as minimal, client(ROOM, env) as ours:
        await ours.call_tool("create_room", {"name": "bench"})
        noop_ms = await median_call_ms(minimal, "noop", text="x")
        send_ms = await median_call_ms(ours, "send_message", room="bench", content="x")
        sync_ms = machine.fdatasync_ms(folder)
    base_ms = noop_ms + sync_ms
    row(
        "send_message, durable, round trip",
        f"{send_ms:.2f} ms",
        f"{noop_ms:.2f} + {sync_ms:.2f} ms",
        send_ms / base_ms,
        "≤ 2.5",
    )


async def wake_up(env: dict[str, str]) -> None:
    """From calling send_message in one process to the answer of a wait in another."""
    took: list[float] = []
    async with (
        client([*ROOM, "--agent", "ann"], env) as ann,
        client([*ROOM, "--agent", "bob"], env) as bob,
    ):
        await ann.call_tool("create_room", {"name": "wakes"})
        await bob.call_tool("join_room", {"room": "wakes"})
        for count in range(WAKES):
            began = woken = 0.0

            async def hear() -> None:
                nonlocal woken
                heard = await bob.call_tool("wait_for_messages", {"room": "wakes"})
                woken = time.perf_counter()
                assert not heard.is_error, heard

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear)
                await anyio.sleep(0.05)
                began = time.perf_counter()
                await ann.call_tool("send_message", {"room": "wakes", "content": f"{count}"})
            took.append((woken - began) * 1000)
        took.sort()
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        row(
            "send_message → another process' wait",
            f"p50 {p50:.1f} ms",
            f"p99 {p99:.1f} ms",
            None,
            "p50 ≤ 10 ms",
        )
        pid = processes(env["ROOM_MCP_HOME"], "bob")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bob.call_tool, "wait_for_messages", {"room": "wakes"})
            await anyio.sleep(1)
            before = cpu_s(pid)
            await anyio.sleep(IDLE_S)
            share = (cpu_s(pid) - before) / IDLE_S
            tasks.cancel_scope.cancel()
        row("idle process in a wait", f"{share * 100:.2f} %", "of a core", None, "< 2 %")


def processes(home: str, agent: str) -> int:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if agent.encode() in words and home.encode() in environment:
            return int(entry.name)
    raise LookupError(agent)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="room-mcp-bench-") as home:
        env = {**os.environ, "ROOM_MCP_HOME": home}
        print(machine.describe(Path(home)))
        print(f"{'':<44} {'room-mcp':>12} {'held against':>20}")
        start_up(env)
        await durable_message(env, Path(home))
        await wake_up(env)


if __name__ == "__main__":
    anyio.run(main)
