"""Nobody is called but the backend that was named: no telemetry, no update check, no lookup."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import network_watch
import product_walk
import pytest

RUN_S = 240  # a hang guard
HAS_NAMESPACES = network_watch.has_namespaces()
needs_a_namespace = pytest.mark.skipif(
    not HAS_NAMESPACES, reason="this kernel gives nobody a network of his own"
)

# With the loop that `serve` runs on, whose C code raises no audit events.
CONNECT_BY_UVLOOP = """\
import asyncio, uvloop
async def connect():
    await asyncio.wait_for(asyncio.open_connection({host!r}, 443), 0.5)
uvloop.run(connect())
"""
LOOK_UP = """\
import os, socket
os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"  # nobody answers in the namespace
socket.getaddrinfo("telemetry.invalid", 443)
"""


@dataclass(frozen=True)
class Watched:
    """A program that has run, and what the two watches saw of it."""

    done: subprocess.CompletedProcess[str]
    inside: Path
    wire: Path


def watch(folder: Path, *program: str) -> Watched:
    inside, wire = folder / "inside.log", folder / "wire.log"
    env = network_watch.watched(folder / "watch", inside)
    command = network_watch.in_a_namespace(wire, program) if HAS_NAMESPACES else program
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, timeout=RUN_S
    )
    return Watched(done, inside, wire)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("walk")
    watched = watch(folder, sys.executable, product_walk.__file__, str(folder / "homes"))
    assert watched.done.returncode == 0, watched.done.stderr
    return watched


def test_no_process_of_a_day_calls_or_looks_up_another_machine(walked: Watched):
    assert walked.inside.stat().st_size > 0
    assert network_watch.called(walked.inside) == []


@needs_a_namespace
def test_no_packet_of_a_day_is_for_another_machine(walked: Watched):
    assert "127.0.0.1" in walked.wire.read_text()
    assert network_watch.strangers(walked.wire) == []


def test_the_watch_inside_sees_a_name_looked_up(tmp_path: Path):
    watched = watch(tmp_path, sys.executable, "-c", LOOK_UP)

    assert watched.done.returncode != 0
    assert "telemetry.invalid" in "".join(network_watch.called(watched.inside))


@needs_a_namespace
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_the_watch_on_the_wire_sees_what_raises_no_audit_event(tmp_path: Path, host: str):
    watched = watch(tmp_path, sys.executable, "-c", CONNECT_BY_UVLOOP.format(host=host))

    assert "Timeout" in watched.done.stderr
    assert network_watch.strangers(watched.wire) == [host]
