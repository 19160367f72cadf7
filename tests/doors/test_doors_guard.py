"""What is refused at the door: other hosts and pages, too much, the wrong way, and garbage."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from doorway import (
    DOORS,
    HELLO,
    LEGACY,
    MODERN,
    SOON_S,
    STREAMS,
    Door,
    Server,
    Start,
    Visitors,
    events,
    legacy,
    legacy_session,
    modern_call,
    said,
)

pytestmark = pytest.mark.anyio
PATHS = ("/mcp", "/as/ann/mcp", "/sse", "/as/ann/sse", "/messages/", "/as/ann/messages/")
EVIL_HOSTS = ["evil.example", "evil.example:8750", "127.0.0.1.evil.example", "localhost@evil", ""]
EVIL_ORIGINS = ["http://evil.example", "https://localhost.evil.example", "null", "file://"]
ALMOST_HOSTS = ["LOCALHOST", "[127.0.0.1]", "Localhost:99"]
ORIGINS = ["http://LOCALHOST", "ftp://localhost", "http://[127.0.0.1]", "vscode://localhost"]
TOO_MUCH = b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * (4 * 2**20) + b'"}'
GARBAGE = [b"", b"{", b"null", b"[]", b'{"id": 1}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"']


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "header",
    [*({"Host": host} for host in EVIL_HOSTS), *({"Origin": one} for one in EVIL_ORIGINS)],
    ids=str,
)
async def test_other_hosts_and_other_sites_pages_get_nothing(
    server: Server, visitors: Visitors, header: dict[str, str], method: str
):
    http = await visitors.http(server)
    hello: dict[str, Any] = legacy("initialize", **HELLO)
    opening = {**hello, "headers": {**hello["headers"], **header}} if method == "POST" else {}

    for path in PATHS:
        with anyio.fail_after(SOON_S):  # what is let in to a stream would never end
            answer = await http.request(method, path, **(opening or {"headers": header}))

        assert 400 <= answer.status_code < 500, path
        assert "mcp-session-id" not in answer.headers
        assert "text/event-stream" not in answer.headers["content-type"]
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_what_only_one_of_the_two_guards_lets_in_is_no_crash(
    complaining: Server, visitors: Visitors, path: str
):
    http = await visitors.http(complaining, headers=STREAMS)

    for header in (*({"Host": one} for one in ALMOST_HOSTS), *({"Origin": one} for one in ORIGINS)):
        async with http.stream("GET", path, headers=header) as answer:
            assert answer.status_code in (200, 400, 403, 421), header

    assert "Traceback" not in complaining.complaints()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("port", ["", ":1", None])
async def test_this_machine_may_be_called_by_each_of_its_names(
    server: Server, visitors: Visitors, host: str, port: str | None
):
    own_port = f":{urlsplit(server.origin).port}"
    authority = host + (own_port if port is None else port)
    headers = {"Host": authority, "Origin": f"http://{authority}"}
    http = await visitors.http(server, headers=headers)

    answer = await http.post("/mcp", **modern_call("list_rooms"))
    async with events(http, "/sse") as stream:
        endpoint = await stream.next("endpoint")

    assert "room" in said(answer)
    assert endpoint.startswith("/messages/")


ALL_ADDRESSES = ("--host", "0.0.0.0", "--require-key", "--tls-self-signed")
PUBLIC = ("--require-key", "--public-url", "https://rooms.example")


async def status(server: Server, visitors: Visitors, **headers: str) -> int:
    """How a call that anybody may make is answered, by 127.0.0.1."""
    port = urlsplit(server.origin).port
    named = {
        name.replace("_", "-"): one.replace("PORT", str(port)) for name, one in headers.items()
    }
    url = f"{urlsplit(server.origin).scheme}://127.0.0.1:{port}/healthz"
    return (await (await visitors.http(server)).get(url, headers=named)).status_code


async def test_a_server_of_all_addresses_answers_to_the_one_that_was_called_and_to_no_other_name(
    start_server: Start, visitors: Visitors
):
    server = start_server("serve", "--port", "0", *ALL_ADDRESSES, "--allow-host", "rooms.example")

    ours = [
        await status(server, visitors, Host=host)
        for host in ("127.0.0.1:PORT", "rooms.example", "Rooms.Example:1", socket.gethostname())
    ]
    others = [
        await status(server, visitors, Host=host)
        for host in ("evil.example", "203.0.113.9", "127.0.0.2", "0.0.0.0", "rooms.example.evil")
    ]
    http = await visitors.http(server)
    other_way = await http.get(f"https://127.0.0.2:{urlsplit(server.origin).port}/healthz")

    assert ours == [200] * 4
    assert others == [403] * 5
    assert other_way.status_code == 200


async def test_a_page_has_to_be_of_the_host_scheme_and_port_that_were_called(
    start_server: Start, visitors: Visitors
):
    server = start_server("serve", "--port", "0", *ALL_ADDRESSES)

    own = [
        await status(server, visitors, Origin=one)
        for one in ("https://127.0.0.1:PORT", "https://localhost:PORT")
    ]
    others = [
        await status(server, visitors, Origin=one)
        for one in ("http://127.0.0.1:PORT", "https://127.0.0.1:1", "https://127.0.0.1", "null")
    ]

    assert own == [200] * 2
    assert others == [403] * 4


async def test_behind_a_proxy_the_public_name_and_its_pages_are_own(
    start_server: Start, visitors: Visitors
):
    server = start_server("serve", "--port", "0", *PUBLIC)

    own = [
        await status(server, visitors, Host="rooms.example", Origin="https://rooms.example"),
        await status(server, visitors, Origin="https://rooms.example"),
    ]
    others = [
        await status(server, visitors, Host="rooms.example", Origin="https://evil.example"),
        await status(server, visitors, Host="rooms.example", Origin="http://rooms.example:81"),
        await status(server, visitors, Host="evil.example"),
    ]

    assert own == [200] * 2
    assert others == [403] * 3


@pytest.mark.parametrize(
    ("words", "believed"),
    [((), False), (PUBLIC, True), ((*PUBLIC, "--proxy-ip", "192.0.2.9"), False)],
    ids=["open", "proxy here", "proxy elsewhere"],
)
async def test_only_the_proxy_is_believed_what_it_says_of_its_caller(
    start_server: Start, visitors: Visitors, words: tuple[str, ...], believed: bool
):
    server = start_server("serve", "--port", "0", *words)

    answered = await status(
        server, visitors, Origin="https://127.0.0.1:PORT", X_Forwarded_Proto="https"
    )

    assert (answered == 200) == believed


async def test_a_server_on_ipv6_is_reached_by_the_address_that_it_prints(
    start_server: Start, visitors: Visitors, room: str
):
    server = start_server("serve", "--host", "::1", "--port", "0")
    assert server.url.startswith("http://[::1]:")

    for door in DOORS:
        ann = await visitors.agent(server, "ann", door)
        await ann.do("create_room", name=room)

    assert server.errors() == ""


@pytest.mark.parametrize("path", ["/mcp", "/as/ann/mcp", "/messages/", "/as/ann/messages/"])
@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_a_body_above_4_mib_is_too_large(
    server: Server, visitors: Visitors, path: str, version: str
):
    http = await visitors.http(server, headers={**STREAMS, "MCP-Protocol-Version": version})
    json = {"Content-Type": "application/json"}

    async def in_pieces():
        for start in range(0, len(TOO_MUCH), 2**20):
            yield TOO_MUCH[start : start + 2**20]

    declared = await http.post(path, content=TOO_MUCH, headers=json)
    streamed = await http.post(path, content=in_pieces(), headers=json)

    assert [declared.status_code, streamed.status_code] == [413, 413]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/mcp", ("PUT", "PATCH", "OPTIONS", "HEAD")),
        ("/sse", ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
        ("/messages/", ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")),
    ],
)
async def test_other_methods_are_refused(
    server: Server, visitors: Visitors, path: str, methods: tuple[str, ...]
):
    http = await visitors.http(server, headers=STREAMS)

    for at in (path, f"/as/ann{path}"):
        with anyio.fail_after(SOON_S):  # a stream would never end
            found = {one: (await http.request(one, at)).status_code for one in methods}

        assert found == dict.fromkeys(methods, 405)


async def test_asking_for_the_head_of_sse_opens_no_stream(server: Server, visitors: Visitors):
    http = await visitors.http(server)

    answer = await http.head("/as/ann/sse")

    assert answer.status_code == 405


@pytest.mark.parametrize("version", [LEGACY, MODERN, "2099-01-01", "garbage"])
async def test_garbage_is_answered_with_an_error_of_json_rpc(
    server: Server, visitors: Visitors, version: str
):
    http = await visitors.http(server)
    headers = {**STREAMS, "MCP-Protocol-Version": version, "Content-Type": "application/json"}

    for garbage in GARBAGE:
        answer = await http.post("/as/ann/mcp", content=garbage, headers=headers)

        assert answer.status_code == 400, garbage[:20]
        assert answer.json()["error"]["message"]
        assert "Traceback" not in answer.text


async def test_garbage_over_sse_is_refused_without_a_stack_trace(
    complaining: Server, visitors: Visitors
):
    http = await visitors.http(complaining, headers={"Content-Type": "application/json"})

    async with events(http, "/sse") as stream:
        post_to = await stream.next("endpoint")
        codes = [(await http.post(post_to, content=one)).status_code for one in GARBAGE]
        await http.post(post_to, **legacy("initialize", **HELLO))
        greeted = await stream.next()

    assert codes == [400] * len(GARBAGE)
    assert "serverInfo" in greeted
    assert "Traceback" not in complaining.complaints()


@pytest.mark.parametrize("door", [DOORS[1], DOORS[3]], ids=str)
async def test_a_session_that_nobody_opened_is_not_found(
    complaining: Server, visitors: Visitors, door: Door
):
    http = await visitors.http(complaining)
    unknown = "0" * 32
    call = legacy("tools/list", session=unknown)

    path = "/mcp" if door.path == "/mcp" else f"/messages/?session_id={unknown}"
    answer = await http.post(path, **call)

    assert answer.status_code == 404
    assert "Traceback" not in complaining.complaints()


async def test_a_session_ends_when_its_client_says_so(server: Server, visitors: Visitors):
    http = await visitors.http(server)
    session = await legacy_session(http, "/as/ann/mcp")
    bound = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}

    before = await http.post("/as/ann/mcp", **legacy("tools/list", session=session))
    ended = await http.delete("/as/ann/mcp", headers=bound)
    after = await http.post("/as/ann/mcp", **legacy("tools/list", session=session))

    assert (before.status_code, ended.status_code, after.status_code) == (200, 200, 404)


async def test_a_stranger_is_told_of_neither_sessions_nor_keys(server: Server, visitors: Visitors):
    http: httpx2.AsyncClient = await visitors.http(server)

    answer = await http.post("/as/ann/mcp", **modern_call("list_rooms"))

    assert "mcp-session-id" not in answer.headers
    assert "server" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert "rk_" not in answer.text
