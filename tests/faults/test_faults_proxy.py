"""A short time on a bad network; `make faults` goes on for twenty thousand requests."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from faults.bad_network import BadNetwork
from faults.proxy import Proxied

pytestmark = pytest.mark.anyio

SEED = 7
REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere"
HANG_S = 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Echo:
    """A server that counts what it was sent, and gives one answer to all."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            async for request in stream:
                self.requests.append(request)
                await stream.send(ANSWER)


@asynccontextmanager
async def between(*faults: str) -> AsyncIterator[tuple[Echo, BadNetwork]]:
    """A server and a network before it which does nothing but these faults."""
    echo = Echo()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo.serve)
        url = f"http://127.0.0.1:{port}"
        chance = random.Random(SEED)
        async with BadNetwork(url, chance, faults=faults, faulty=bool(faults)) as network:
            yield echo, network
        tasks.cancel_scope.cancel()


async def answer(network: BadNetwork) -> bytes:
    """What a client gets until the connection ends, or the answer has."""
    got = b""
    async with await anyio.connect_tcp("127.0.0.1", network.port) as stream:
        await stream.send(REQUEST)
        while len(got) < len(ANSWER):
            try:
                got += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                break
    return got


async def test_nothing_is_lost_or_doubled_on_a_bad_network(tmp_path: Path):
    run = Proxied(tmp_path, seed=SEED, requests=400, kills=1)

    with anyio.fail_after(200):
        seen = await run.run()

    assert seen.findings == []
    assert seen.kills == 1
    assert seen.recording.retried > 0


async def test_without_a_fault_a_request_arrives_once_and_its_answer_too():
    with anyio.fail_after(HANG_S):
        async with between() as (echo, network):
            got = await answer(network)

    assert (got, echo.requests) == (ANSWER, [REQUEST])


async def test_a_lost_request_never_arrives():
    with anyio.fail_after(HANG_S):
        async with between("request lost") as (echo, network):
            got = await answer(network)

    assert (got, echo.requests) == (b"", [])


async def test_a_lost_answer_is_lost_after_the_request_was_served():
    with anyio.fail_after(HANG_S):
        async with between("answer lost") as (echo, network):
            got = await answer(network)

    assert (got, echo.requests) == (b"", [REQUEST])


async def test_a_cut_answer_is_not_whole():
    with anyio.fail_after(HANG_S):
        async with between("answer cut") as (echo, network):
            got = await answer(network)

    assert ANSWER.startswith(got)
    assert (got != ANSWER, echo.requests) == (True, [REQUEST])


async def test_a_doubled_request_arrives_twice_and_is_answered_once():
    with anyio.fail_after(HANG_S):
        async with between("doubled") as (echo, network):
            got = await answer(network)

    assert (got, echo.requests) == (ANSWER, [REQUEST] * 2)
