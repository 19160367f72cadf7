"""Pages of other sites, and whoever wants to make ours act for him."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from attackers import code, locked_server, room_of, say, shown
from grounds import LOCKED, Grounds, a_server

from room_mcp.backend.gate import Door

pytestmark = pytest.mark.anyio

OPEN = Door()


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Grounds]:
    async with locked_server(tmp_path / "home") as server:
        yield server


# ---- pages of other sites -----------------------------------------------------------------------

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "https://127.0.0.1", "http://127.0.0.1:1", "file://"]
)
@pytest.mark.parametrize("door", [LOCKED, OPEN], ids=["locked", "open"])
async def test_cross_origin_call_by_a_page(tmp_path: Path, door: Door, origin: str):
    async with a_server(tmp_path, door) as server:
        server.keys["pat"] = await server.new_key("pat", human=True)
        id = await room_of(server, "pat", access="approval")
        cookie = {"Cookie": f"room-mcp-key={server.keys['pat']}"}
        sent = {"Origin": origin, **cookie}
        message = json.dumps({"sender": "pat", "content": "x"})
        calls: list[tuple[str, str, dict[str, str], str]] = [
            ("POST", f"/agent/rooms/{id}/messages", {"Content-Type": "text/plain"}, message),
            ("POST", f"/agent/rooms/{id}/messages", {"Content-Type": "application/json"}, message),
            ("POST", "/login", FORM, f"key={server.keys['pat']}"),
            ("POST", "/logout", FORM, ""),
            ("POST", f"/rooms/{id}/remove", FORM, "name=pat"),
            ("POST", f"/rooms/{id}/admit", FORM, "name=pat"),
            ("POST", "/mcp", {"Content-Type": "application/json"}, "{}"),
            ("GET", f"/rooms/{id}", {}, ""),
            ("GET", f"/agent/rooms/{id}/history", {}, ""),
        ]

        answers = [
            await server.http.request(method, path, headers={**sent, **more}, content=body)
            for method, path, more, body in calls
        ]

    assert {one.status_code for one in answers} == {403}
    assert not any("set-cookie" in one.headers for one in answers)
    assert not any("access-control-allow-origin" in one.headers for one in answers)


async def test_a_cookie_alone_makes_no_call_but_those_of_the_page(locked: Grounds):
    id = await room_of(locked, access="keyed")
    cookie = {"Cookie": f"room-mcp-key={locked.keys['ann']}"}

    calls = [
        await locked.http.get(f"/agent/rooms/{id}/history", headers=cookie),
        await locked.http.post(f"/agent/rooms/{id}/close", headers=cookie, json={}),
        await locked.http.get("/agent/me", headers=cookie),
    ]
    page = await locked.http.get(f"/rooms/{id}", headers=cookie)

    assert [one.status_code for one in calls] == [401] * 3
    assert page.status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_a_form_of_another_site_can_send_is_no_json(locked: Grounds, kind: str):
    id = await room_of(locked)
    headers = {**locked.headers("ann"), **({"Content-Type": kind} if kind else {})}
    body = json.dumps({"sender": "ann", "content": "x"})

    answer = await locked.http.post(f"/agent/rooms/{id}/messages", headers=headers, content=body)

    assert (answer.status_code, code(answer)) == (415, "not_json")


@pytest.mark.parametrize(
    "to",
    ["//evil.test/", "/\\evil.test", "https://evil.test", "javascript:alert(1)", "/\t/evil.test"],
)
async def test_login_leads_to_no_other_site(locked: Grounds, to: str):
    body = f"key={locked.keys['ann']}&to={quote(to)}"

    answer = await locked.http.post("/login", headers=FORM, content=body)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


# ---- stored XSS ---------------------------------------------------------------------------------

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></article><iframe src=//evil.test>",
    "</title><base href=//evil.test>",
    "javascript:alert(1)",
    "[a](javascript:alert(1)) ![b](//evil.test/b.png) <https://evil.test>",
    "{{ 7654321 * 1234567 }} {% raw %} ${7654321*1234567}",
    "<!--",
]
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "p", "a", "br", "h1", "h2", "ul", "li"),
    *("form", "button", "input", "label", "span", "code", "div", "strong", "time", "article"),
    *("header", "pre", "table", "tr", "td", "svg", "path", "nav", "main", "footer", "section"),
    *("details", "summary", "script", "link", "noscript", "textarea", "select", "option", "ol"),
    *("small", "h3", "dl", "dt", "dd", "aside", "b", "em", "fieldset", "legend", "output", "img"),
}
ACTING = {"iframe", "base", "object", "embed"}


class Page(HTMLParser):
    """The elements of a page, and what in it could act."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.wrong: list[str] = []
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        given = dict(attrs)
        if tag in ACTING or (tag == "script" and not (given.get("src") or "").startswith("/")):
            self.wrong.append(tag)
        for name, value in attrs:
            to = (value or "").strip().lower()
            leads_out = name in ("href", "src", "action", "formaction", "srcset", "data")
            if name.startswith("on") or (
                leads_out and not to.startswith(("/", "#", "data:image/"))
            ):
                self.wrong.append(f"{tag} {name}={value}")
            if leads_out and to.startswith("//"):
                self.wrong.append(f"{tag} {name}={value}")


def name_from(payload: str) -> str:
    return payload.replace("\t", " ")[:100]


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_stored_xss_in_pages(locked: Grounds, payload: str):
    plain = await a_written_room(locked, "plain")
    id = await a_written_room(locked, payload)

    for path in ("/", f"/rooms/{id}"):
        page = await shown(locked, "ann", path)
        usual = await shown(locked, "ann", path.replace(id, plain))

        assert page.status_code == 200
        assert Page(page.text).wrong == []
        assert str(7654321 * 1234567) not in page.text
        assert Page(page.text).found == Page(usual.text).found
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


async def a_written_room(server: Grounds, payload: str) -> str:
    """A room in which the payload stands wherever somebody can write; its id."""
    made = await server.call(
        "ann",
        "POST",
        "/agent/rooms",
        {
            "name": name_from(payload),
            "purpose": payload,
            "listed": True,
            "roles": {"critic": {"about": payload, "min": 0, "max": 9}},
        },
    )
    assert made.status_code == 201, made.text
    id: str = made.json()["roomId"]
    at = f"/agent/rooms/{id}"
    await server.done("ann", f"{at}/join", {"agentName": "ann", "role": "critic"})
    for content in (payload, {"text": payload, payload: [payload]}):
        await say(server, "ann", id, content, to=["eve"])
    typed = await server.call(
        "ann", "POST", f"{at}/messages", {"sender": "ann", "content": "x", "type": payload[:64]}
    )
    assert typed.status_code in (201, 400)
    if typed.status_code == 400:
        await say(server, "ann", id, "x")
    await server.done("ann", f"{at}/close", {"conclusion": payload})
    return id


async def test_stored_xss_in_names_has_no_letters_to_be_written_with(locked: Grounds):
    id = await room_of(locked)
    refused = [
        await locked.call(
            "ann", "POST", f"/agent/rooms/{id}/join", {"agentName": f"ann/{payload}"[:100]}
        )
        for payload in PAYLOADS
    ]

    assert {one.status_code for one in refused} == {400}


@pytest.mark.parametrize(
    "path", ["/rooms/{}", "/login?to={}", "/nothing/{}", "/agent/rooms/{}/info"]
)
@pytest.mark.parametrize("payload", PAYLOADS)
async def test_reflected_xss_in_what_is_refused(locked: Grounds, path: str, payload: str):
    answer = await shown(locked, "ann", path.format(quote(payload, safe="")))

    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in ("application/problem+json", "text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"
    if kind == "text/html":
        assert Page(answer.text).wrong == []
        assert payload not in answer.text


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_stored_xss_in_exports(locked: Grounds, payload: str):
    id = await a_written_room(locked, payload)
    at = f"/agent/rooms/{id}"

    markdown = await locked.call("ann", "GET", f"{at}/export")
    lines = await locked.call("ann", "GET", f"{at}/export?format=jsonl")
    info = await locked.call("ann", "GET", f"{at}/info")
    stream = await locked.call("ann", "GET", f"{at}/stream")

    kinds = [
        one.headers["content-type"].partition(";")[0] for one in (markdown, lines, info, stream)
    ]
    assert kinds == [
        "text/markdown",
        "application/x-ndjson",
        "application/json",
        "text/event-stream",
    ]
    for one in (markdown, lines, info, stream):
        assert one.headers["x-content-type-options"] == "nosniff"
        assert "content-disposition" not in one.headers  # no name of a room names a file
    for line in markdown.text.splitlines():
        if not line.startswith("    "):  # what is indented by four is shown as it is
            assert "<" not in line.replace("\\<", "")
            assert "](" not in line.replace("\\](", "")
    assert json.loads(lines.text.splitlines()[0])["content"] == payload
