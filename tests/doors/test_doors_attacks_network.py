"""Attacks at the network door, by name: each ends by itself, and the others do not notice."""

from __future__ import annotations

import resource

import anyio
import pytest
from doorway import Server, Start, Visitors
from raw_lines import GET, SMALL_WINDOW, Line, post

from room_mcp.backend.listening import LOOPBACK, connections_within, neighbourhood

pytestmark = pytest.mark.anyio

AT_ONCE_S = 0.05
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
PROBLEM = "application/problem+json"
MiB = 1024 * 1024


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


# ---- slow senders -------------------------------------------------------------------------------


async def test_slow_loris_is_told_that_its_headers_took_too_long():
    with anyio.fail_after(9):
        async with post(head_s=AT_ONCE_S) as server:
            line = await server.line()
            line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            said = await line.said()

    assert (said.status, said.code) == (408, "too_slow")
    assert said.headers["content-type"] == PROBLEM
    assert said.headers["connection"] == "close"
    assert server.asked == []


async def test_slow_loris_gets_no_more_time_by_sending_a_letter_now_and_then():
    with anyio.fail_after(9):
        async with post(head_s=AT_ONCE_S, head_bytes=1024 * MiB) as server:
            line = await server.line()
            line.send(HEAD + b"X: ")

            async def drip() -> None:
                while True:
                    line.send(b"x")
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drip)
                answer = await line.rest()
                tasks.cancel_scope.cancel()

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
async def test_a_connection_on_which_nothing_is_asked_is_closed(sent: bytes):
    with anyio.fail_after(9):
        async with post(head_s=AT_ONCE_S) as server:
            line = await server.line()
            line.send(sent)

            assert await line.rest() == b""


async def test_a_connection_that_was_used_is_closed_when_it_idles():
    with anyio.fail_after(9):
        async with post(idle_s=AT_ONCE_S) as server:
            line = await server.line()
            line.send(GET)
            answer = await line.answer()
            after = await line.rest()

    assert (answer, after) == (b"0", b"")


async def test_empty_lines_between_requests_do_not_keep_a_connection_for_ever():
    with anyio.fail_after(9):
        async with post(idle_s=AT_ONCE_S) as server:
            line = await server.line()
            line.send(GET)
            await line.answer()
            line.send(b"\r\n")

            assert await line.rest() == b""


async def test_a_slow_body_is_cut_off_and_its_call_ended():
    with anyio.fail_after(9):
        async with post(body_s=AT_ONCE_S, linger_s=3600) as server:
            line = await server.line()
            line.send(HEAD + b"Content-Length: 10\r\n\r\nhalf")
            said = await line.said()
            await server.until(lambda: "gone" in server.ended)

    assert (said.status, said.code) == (408, "too_slow")


async def test_a_body_that_keeps_coming_has_more_time_than_one_that_does_not():
    async with post(body_s=AT_ONCE_S, body_bytes_per_s=1) as server:
        with anyio.fail_after(9):
            steady, slow = await server.line(), await server.line()
            steady.send(HEAD + b"Content-Length: 3601\r\n\r\n" + b"x" * 3600)
            slow.send(HEAD + b"Content-Length: 1\r\n\r\n")
            cut = await slow.said()
            steady.send(b"x")

            assert cut.status == 408
            assert await steady.answer() == b"3601"


async def test_who_waits_for_an_answer_is_not_slow():
    async with post(head_s=AT_ONCE_S, body_s=AT_ONCE_S, idle_s=AT_ONCE_S) as server:
        with anyio.fail_after(9):
            waiting, slow = await server.line(), await server.line()
            waiting.send(GET.replace(b"/ ", b"/wait ", 1))
            await server.until(lambda: bool(server.asked))
            await slow.rest()
            server.may_answer.set()

            assert await waiting.answer() == b"waited"


async def test_a_body_that_nobody_reads_is_not_taken_for_ever():
    with anyio.fail_after(9):
        async with post(body_s=AT_ONCE_S) as server:
            line = await server.line()
            line.send(b"POST /5 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nx")
            answer = await line.answer()

            assert answer == bytes(5)
            assert await line.rest() == b""


# ---- too much -----------------------------------------------------------------------------------

FLOODS = {
    "many headers": HEAD + b"X: 1\r\n" * 100 + b"\r\n",
    "long headers": HEAD + (b"X: " + b"x" * 4096 + b"\r\n") * 9 + b"\r\n",
    "a header without an end": HEAD + b"X: " + b"x" * 40_000,
    "a name without an end": HEAD + b"x" * 40_000,
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * 100 + b"\r\n",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_header_flood_is_refused(flood: bytes):
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(flood)
            said = await line.said()

    assert (said.status, said.code) == (431, "headers_too_large")


async def test_a_header_flood_in_small_pieces_is_refused():
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(HEAD + b"X: ")
            while line.reader._buffer == b"":  # pyright: ignore[reportPrivateUsage]
                line.send(b"x" * 100)
                await line.writer.drain()
                await anyio.lowlevel.checkpoint()
            said = await line.said()

    assert said.status == 431


@pytest.mark.parametrize("end", [b" HTTP/1.1\r\n\r\n", b""])
async def test_a_url_beyond_16_kib_is_refused(end: bytes):
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(b"GET /?" + b"x" * 16 * 1024 + end)
            said = await line.said()

    assert (said.status, said.code) == (414, "uri_too_long")


async def test_a_url_with_200_rooms_is_fine():
    rooms = ",".join(f"{n:036}:{10**15}" for n in range(200))
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(f"GET /?rooms={rooms} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

            assert await line.answer() == b"0"


async def test_what_stands_behind_a_body_is_no_header():
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nRoom-Key: rk\r\n\r\n")
            await line.answer()

    assert [name for name, _ in server.asked[0]["headers"]] == [b"host", b"transfer-encoding"]


async def test_a_pipeline_of_many_requests_is_cut():
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(GET.replace(b"/ ", b"/wait ", 1) * 1000)

            assert await line.rest() == b""
            assert len(server.asked) == 1


async def test_a_few_requests_at_once_are_answered_in_turn():
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(GET * 10)

            assert [await line.answer() for _ in range(10)] == [b"0"] * 10


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET / FTP\r\n\r\n", b"SSH-2.0-x\r\n"]
)
async def test_what_is_not_http_is_refused(sent: bytes, caplog: pytest.LogCaptureFixture):
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(sent)
            said = await line.said()

    assert (said.status, said.code) == (400, "malformed")
    assert caplog.records == []


async def test_who_asks_for_a_websocket_is_answered_in_http(caplog: pytest.LogCaptureFixture):
    with anyio.fail_after(9):
        async with post() as server:
            line = await server.line()
            line.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

            assert await line.answer() == b"0"

    assert caplog.records == []


# ---- clients that do not read -------------------------------------------------------------------


async def test_an_unread_stream_is_cut_off_and_its_task_ended():
    with anyio.fail_after(9):
        async with post(unread_s=AT_ONCE_S) as server:
            line = await server.line(window=SMALL_WINDOW)
            line.writer.transport.pause_reading()
            line.send(GET.replace(b"/ ", b"/stream ", 1))
            await server.until(lambda: "/stream" in server.ended)

            assert not server.state.connections


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
async def test_an_unread_answer_is_dropped(last: bytes):
    path = f"/{16 * MiB} ".encode()  # more than the system keeps for the client
    with anyio.fail_after(9):
        async with post(unread_s=AT_ONCE_S) as server:
            line = await server.line(window=SMALL_WINDOW)
            line.writer.transport.pause_reading()
            line.send(GET[:-2].replace(b"/ ", path, 1) + last + b"\r\n")
            await server.until(lambda: bool(server.ended))
            await server.until(lambda: not server.state.connections)


async def test_a_stream_that_is_read_goes_on():
    async with post(unread_s=AT_ONCE_S) as server:
        with anyio.fail_after(9):
            read = await server.line()
            read.send(GET.replace(b"/ ", b"/stream ", 1))
            for cut_off in (1, 2, 3):
                unread = await server.line(window=SMALL_WINDOW)
                unread.writer.transport.pause_reading()
                unread.send(GET.replace(b"/ ", b"/stream ", 1))
                while len(server.ended) < cut_off:
                    await read.reader.readexactly(65536)

            assert len(server.state.connections) == 1


# ---- too many -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["connections", "connections_from_loopback"])
async def test_too_many_connections_are_told_to_come_later(limit: str):
    async with post(**{limit: 2}) as server:
        with anyio.fail_after(9):
            held = [await server.line(), await server.line()]
            await server.until(lambda: len(server.state.connections) == 2)
            refused = await (await server.line()).said()
            held[0].writer.close()
            await server.until(lambda: len(server.state.connections) == 1)
            later = await server.line()
            later.send(GET)
            answers = [await later.answer(), await _asked(held[1])]

    assert (refused.status, refused.code) == (503, "too_many_connections")
    assert refused.headers["retry-after"] == "1"
    assert answers == [b"0", b"0"]


async def _asked(line: Line) -> bytes:
    line.send(GET)
    return await line.answer()


async def test_a_proxy_is_not_counted_as_one_client():
    async with post(proxies=["127.0.0.1"], connections_from_loopback=1) as server:
        with anyio.fail_after(9):
            lines = [await server.line() for _ in range(3)]

            assert [await _asked(line) for line in lines] == [b"0"] * 3


@pytest.mark.parametrize(
    ("files", "connections"),
    [(10_240, 9_000), (resource.RLIM_INFINITY, 9_000), (4_096, 3_096), (1_024, 512)],
)
def test_connections_leave_files_for_the_store(files: int, connections: int):
    assert connections_within(files) == connections


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "127.8.8.8"),
        ("127.0.0.1", "::1"),
    ],
)
def test_addresses_that_one_client_can_take_count_as_one(one: str, other: str):
    assert neighbourhood(one) == neighbourhood(other)


def test_addresses_of_two_clients_count_as_two():
    hosts = ["192.0.2.1", "192.0.2.2", "2001:db8:1:2::1", "2001:db8:1:3::1", "::1"]

    assert len({neighbourhood(host) for host in hosts}) == 5
    assert neighbourhood("") == LOOPBACK


# ---- a real server ------------------------------------------------------------------------------


async def test_the_limits_hold_at_every_door_of_a_real_server(
    server: Server, visitors: Visitors, start_server: Start
):
    alone = start_server("--transport", "streamable-http", "--port", "0")
    http = await visitors.http(server)
    flood = {f"X-{n}": "x" for n in range(101)}
    answers = [
        await http.get(url, headers=flood)
        for url in (server.at("/healthz"), server.at("/mcp"), alone.at("/mcp"))
    ]
    long_url = await http.get(f"/agent/rooms?query={'x' * 17_000}")

    assert {one.status_code for one in answers} == {431}
    assert {one.headers["content-type"] for one in answers} == {PROBLEM}
    assert long_url.status_code == 414
    assert alone.errors() == ""
