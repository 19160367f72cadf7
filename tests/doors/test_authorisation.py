"""Every call and tool, made by everybody in every kind of room, against the table of the rights."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from authorisation import (
    JOIN,
    OK,
    PROMPTS,
    READ,
    READS,
    REQUESTS,
    RESOURCES,
    REST,
    TOOLS,
    Call,
    Case,
    Request,
    Row,
)
from grounds import CALLERS, LOCKED, MEMBERS, ROOMS, Asked, Grounds, Kept, grounds

from room_mcp.backend import keeping
from room_mcp.backend.callers import key_id
from room_mcp.backend.operations import OPERATIONS
from room_mcp.backend.pages import PAGES

pytestmark = pytest.mark.anyio

NOBODYS = "00000000-0000-4000-8000-000000000000"
PROBLEM = {"type", "title", "status", "detail", "code", "advice", "error", "requestId"}


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all owners erase at once, of whom only the first may have the store written anew."""
    monkeypatch.setattr(keeping, "SCRUB_PAUSE", timedelta(0))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def all_of_it(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Grounds]:
    async with grounds(tmp_path_factory.mktemp("grounds")) as found:
        yield found


@pytest.fixture(scope="module")
async def unlocked(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Grounds]:
    """The same where no key is needed, and some have one nevertheless."""
    door = replace(LOCKED, requires_key=False)
    async with grounds(tmp_path_factory.mktemp("unlocked"), door) as found:
        yield found


@pytest.fixture(scope="module")
async def with_demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Grounds]:
    """The same where demo rooms are for callers without a key."""
    door = replace(LOCKED, has_demo=True)
    async with grounds(tmp_path_factory.mktemp("demo"), door) as found:
        yield found


# ---- REST ---------------------------------------------------------------------------------------


def test_every_call_has_a_row():
    calls = {(one.method, one.path) for one in (*OPERATIONS, *PAGES)}

    assert {(method, path) for method, path, _ in REST} == calls


def outcome(answer: httpx2.Response) -> str:
    """The status, and the code of a refusal; of a batch, that of its message."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    told = answer.json() if kind in ("application/json", "application/problem+json") else {}
    (one, *_) = told.get("results") or [told]
    code = one.get("code") if answer.status_code != 201 else ""  # else it is an invitation's
    return f"{answer.status_code} {code or ''}".strip()


async def made(grounds: Grounds, call: Call, row: Row, case: Case) -> httpx2.Response:
    method, path, _ = call
    body = None if row.body is None else row.body(case)
    return await grounds.http.request(
        method,
        path.format(id=case.room.id, key=key_id(grounds.keys["spare"])),
        params=row.query(case),
        headers=grounds.headers(case.caller),
        **({} if body is None else {"data": body} if row.form else {"json": body}),
    )


async def room_for(grounds: Grounds, row: Row, kind: str, caller: str) -> Kept:
    """The room for a case; a new one where the case will change it."""
    if row.changes and row.expected(kind, caller)[0] in "23":
        members = {"member", "removed", caller} & set(MEMBERS)
        return await grounds.room(kind, members=members, closed=row.when_closed)
    return (grounds.closed if row.when_closed else grounds.rooms)[kind]


def hidden_from(grounds: Grounds, row: Row, case: Case) -> list[str]:
    """The words that an answer must not hold: those of all rooms that the caller may not read."""
    rooms = [*grounds.rooms.values(), *grounds.closed.values()]
    hidden = [room for room in rooms if READ[room.kind][case.caller] != OK]
    words = [room.secret for room in hidden if room is not case.room]
    if READ[case.room.kind][case.caller] != OK and row.law is not JOIN:
        words.append(case.room.secret)
    return words


@pytest.mark.parametrize("call", REST, ids=lambda call: " ".join(call).strip())
async def test_a_call_answers_everybody_as_the_table_says(all_of_it: Grounds, call: Call):
    row = REST[call]
    wanted: dict[str, str] = {}
    found: dict[str, str] = {}
    leaked: list[str] = []
    for kind, caller in itertools.product(ROOMS, CALLERS):
        cell = f"{caller} in {kind}"
        case = Case(caller, await room_for(all_of_it, row, kind, caller))
        answer = await made(all_of_it, call, row, case)
        shown = f"{answer.text} {answer.headers}"
        if row.shows_plate:
            shown = shown.replace(case.room.plate, "")
        wanted[cell], found[cell] = row.expected(kind, caller), outcome(answer)
        leaked += [cell for word in hidden_from(all_of_it, row, case) if word in shown]

    assert found == wanted
    assert leaked == []


@pytest.mark.parametrize("call", REST, ids=lambda call: " ".join(call).strip())
async def test_a_hidden_room_is_told_of_as_one_that_does_not_exist(all_of_it: Grounds, call: Call):
    row = REST[call]
    if "{id}" not in call[1] or row.law is JOIN:
        return
    for kind, caller, rooms in itertools.product(
        ("keyed", "approval"), ("stranger", "removed"), (all_of_it.rooms, all_of_it.closed)
    ):
        hidden = await made(all_of_it, call, row, Case(caller, rooms[kind]))
        none = replace(rooms[kind], id=NOBODYS)
        missing = await made(all_of_it, call, row, Case(caller, none))

        assert told(hidden, rooms[kind].id) == told(missing, NOBODYS)


def told(answer: httpx2.Response, id: str) -> tuple[int, str, list[tuple[str, str]]]:
    """All that an answer says, but for what names this request and this room."""
    text = re.sub(r'"requestId":"[^"]*"', "", answer.text).replace(id, "")
    headers = [(name, value) for name, value in answer.headers.items() if name != "content-length"]
    return answer.status_code, text, headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH"])
async def test_other_methods_tell_nothing_of_a_hidden_room(all_of_it: Grounds, method: str):
    paths = {path for _, path, _ in REST if "{id}" in path}
    for path, room in itertools.product(sorted(paths), all_of_it.closed.values()):
        if room.kind not in ("keyed", "approval"):
            continue
        hidden = await all_of_it.call("stranger", method, path.format(id=room.id))
        missing = await all_of_it.call("stranger", method, path.format(id=NOBODYS))

        assert told(hidden, room.id) == told(missing, NOBODYS)


async def test_the_name_of_an_unlisted_room_opens_another_one(all_of_it: Grounds):
    kept = await all_of_it.room("keyed")
    body = {"name": kept.plate, "listed": False, "reuse": True}

    another = await all_of_it.call("stranger", "POST", "/agent/rooms", body)
    his_own = await all_of_it.call("owner", "POST", "/agent/rooms", body)

    assert (another.status_code, another.json()["created"]) == (201, True)
    assert (his_own.status_code, his_own.json()["roomId"]) == (200, kept.id)


async def test_nobody_learns_of_which_rooms_another_is_a_member(all_of_it: Grounds):
    asked = {"member": "member", "mine": 1, "limit": 500}

    stranger = await all_of_it.call("stranger", "GET", "/agent/rooms", params=asked)
    himself = await all_of_it.call("member", "GET", "/agent/rooms", params=asked)

    hidden = {all_of_it.rooms[kind].id for kind in ("keyed", "approval", "listed")}
    assert hidden.isdisjoint(one["id"] for one in stranger.json()["rooms"])
    assert hidden <= {one["id"] for one in himself.json()["rooms"]}


async def test_the_row_of_a_room_that_one_may_not_read_says_how_to_ask_and_no_more(
    all_of_it: Grounds,
):
    rows: list[dict[str, Any]] = []
    for room in (*all_of_it.rooms.values(), *all_of_it.closed.values()):
        if room.kind != "open":
            answer = await all_of_it.call(
                "stranger", "GET", "/agent/rooms", params={"ids": room.id, "member": "member"}
            )
            rows += answer.json()["rooms"]

    assert len(rows) == 6
    for row in rows:
        assert (row["messageCount"], row["lastSeq"], row["epoch"]) == (0, 0, "")
        assert (row["outcome"], row["conclusion"], row["unread"]) == (None, None, None)
        assert (row["members"], row["waiting"], row["expected"]) == ([], [], [])
        assert row["updatedAt"] == row["createdAt"]


async def test_updates_of_a_hidden_room_are_those_of_one_that_does_not_exist(all_of_it: Grounds):
    rooms = [all_of_it.rooms[kind].id for kind in ("keyed", "approval", "listed")]
    for id in (*rooms, NOBODYS):
        answer = await all_of_it.call("stranger", "GET", f"/agent/updates?rooms={id}:0&wait=5")

        (update,) = answer.json()["rooms"]
        assert (update["lastSeq"], update["lifecycle"], update["messages"]) == (0, None, [])


async def test_whoever_may_not_read_a_room_learns_not_how_it_ended_by_joining(all_of_it: Grounds):
    for kind in ("keyed", "approval", "listed"):
        at = f"/agent/rooms/{all_of_it.closed[kind].id}/join"

        answer = await all_of_it.call("stranger", "POST", at, {"agentName": "stranger"})

        assert (answer.status_code, answer.json()["code"]) == (409, "room_closed")
        assert all_of_it.closed[kind].secret not in answer.text
        assert answer.json().keys() == PROBLEM


async def test_those_who_wait_are_shown_to_the_owner_alone(all_of_it: Grounds):
    at = f"/agent/rooms/{all_of_it.rooms['approval'].id}/info"

    seen = {
        caller: (await all_of_it.call(caller, "GET", at)).json()["knocking"]
        for caller in ("member", "muted", "owner", "admin")
    }

    assert (seen["member"], seen["muted"]) == ([], [])
    assert [[one["name"] for one in seen[who]] for who in ("owner", "admin")] == [["pending"]] * 2


@pytest.mark.parametrize("call", REST, ids=lambda call: " ".join(call).strip())
async def test_where_there_are_demo_rooms_no_others_are_open_without_a_key(
    with_demo: Grounds, call: Call
):
    method, path, _ = call
    row = REST[call]
    is_of_a_room = path.startswith("/agent/rooms/{id}/")
    for kind, rooms in itertools.product(ROOMS, (with_demo.rooms, with_demo.closed)):
        found = await made(with_demo, call, row, Case("nobody", rooms[kind]))
        none = await made(with_demo, call, row, Case("nobody", replace(rooms[kind], id=NOBODYS)))

        expected = row.expected(kind, "nobody")
        if path == "/agent/demo/room":
            expected = "201"
        elif is_of_a_room:
            expected = "404 room_not_found"
        assert (method, path, outcome(found)) == (method, path, expected)
        assert rooms[kind].secret not in found.text
        if is_of_a_room:
            assert told(found, rooms[kind].id) == told(none, NOBODYS)


async def test_a_cookie_shows_the_pages_that_its_key_shows(all_of_it: Grounds):
    page = ("GET", "/rooms/{id}", "")
    wanted: dict[str, str] = {}
    found: dict[str, str] = {}
    for kind, caller in itertools.product(ROOMS, CALLERS[1:]):
        cookie = {"Cookie": f"room-mcp-key={all_of_it.keys[caller]}"}
        answer = await all_of_it.http.get(f"/rooms/{all_of_it.rooms[kind].id}", headers=cookie)
        cell = f"{caller} in {kind}"
        wanted[cell] = REST[page].expected(kind, caller).partition(" ")[0]
        found[cell] = str(answer.status_code)
        for button in ("<button>Mute", "<button>End it"):
            assert (button in answer.text) == (caller in ("owner", "admin"))
        if found[cell] != "200":
            assert all_of_it.rooms[kind].secret not in answer.text

    assert found == wanted


@pytest.mark.parametrize("call", REST, ids=lambda call: " ".join(call).strip())
async def test_where_no_key_is_needed_nobody_is_a_stranger(unlocked: Grounds, call: Call):
    row = REST[call]
    wanted: dict[str, str] = {}
    found: dict[str, str] = {}
    for kind in ROOMS:
        expected = row.unlocked or row.expected(kind, "stranger")
        room = (unlocked.closed if row.when_closed else unlocked.rooms)[kind]
        if row.changes and expected[0] in "23":
            room = await unlocked.room(kind, members={"member", "removed"}, closed=row.when_closed)
        case = Case("nobody", room)
        answer = await made(unlocked, call, row, case)
        wanted[kind], found[kind] = expected, outcome(answer)
        if READ[kind]["stranger"] != OK and row.law is not JOIN:
            assert room.secret not in answer.text.replace(room.plate, "")

    assert found == wanted


async def test_a_demo_room_needs_no_key(with_demo: Grounds):
    made = await with_demo.done("nobody", "/agent/demo/room", {"name": "demo"})
    at = f"/agent/rooms/{made['roomId']}"
    joined = await with_demo.done("nobody", f"{at}/join", {"agentName": "ann"})
    said = await with_demo.call(
        "nobody", "POST", f"{at}/messages", {"sender": "ann", "content": "x"}
    )
    read = await with_demo.call("nobody", "GET", f"{at}/messages")
    owners = await with_demo.call("nobody", "POST", f"{at}/close", {})

    assert joined["agentKey"]
    assert (said.status_code, len(read.json()["messages"])) == (201, 1)
    assert (owners.status_code, owners.json()["code"]) == (403, "not_the_owner")


# ---- MCP ----------------------------------------------------------------------------------------


async def test_every_tool_resource_and_prompt_has_a_row(all_of_it: Grounds):
    async def listed(method: str, key: str, name: str) -> set[str]:
        answer = await all_of_it.ask("member", method)
        return {one[name] for one in answer.result[key]}

    assert {tool for tool, _ in TOOLS} == await listed("tools/list", "tools", "name")
    assert set(PROMPTS) == await listed("prompts/list", "prompts", "name")
    assert set(RESOURCES) == await listed(
        "resources/templates/list", "resourceTemplates", "uriTemplate"
    )
    resources = await listed("resources/list", "resources", "uri")
    assert all(re.fullmatch(r"room://[0-9a-f-]{36}/history", uri) for uri in resources)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: " ".join(tool).strip())
async def test_a_tool_answers_everybody_as_the_table_says(
    all_of_it: Grounds, tool: tuple[str, str]
):
    async def asked(case: Case) -> Asked:
        arguments = TOOLS[tool].params(case)
        return await all_of_it.ask(case.caller, "tools/call", name=tool[0], arguments=arguments)

    await must_be_as_told(all_of_it, TOOLS[tool], asked)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: " ".join(one).strip())
async def test_a_request_answers_everybody_as_the_table_says(
    all_of_it: Grounds, request_: tuple[str, str]
):
    async def asked(case: Case) -> Asked:
        return await all_of_it.ask(case.caller, request_[0], **REQUESTS[request_].params(case))

    await must_be_as_told(all_of_it, REQUESTS[request_], asked)


@pytest.mark.parametrize("template", RESOURCES)
async def test_nobody_listens_to_what_he_may_not_read(all_of_it: Grounds, template: str):
    async def asked(case: Case) -> Asked:
        return await all_of_it.listen(case.caller, template.replace("{room}", case.room.id))

    await must_be_as_told(all_of_it, Request(RESOURCES[template], lambda _: {}), asked)


@pytest.mark.parametrize("method", ["resources/subscribe", "resources/read"])
async def test_nor_in_the_older_era_of_the_protocol(all_of_it: Grounds, method: str):
    sessions = {caller: await all_of_it.session(caller) for caller in CALLERS[3:]}

    async def asked(case: Case) -> Asked:
        uri = f"room://{case.room.id}/history"
        return await all_of_it.ask_in(sessions.get(case.caller, ""), case.caller, method, uri=uri)

    await must_be_as_told(all_of_it, Request(READS, lambda _: {}), asked)


async def must_be_as_told(
    grounds: Grounds, request: Request, asked: Callable[[Case], Awaitable[Asked]]
) -> None:
    """Every caller gets in every kind of room what the law says, and sees no more than he may."""
    wanted: dict[str, str] = {}
    found: dict[str, str] = {}
    leaked: list[str] = []
    for kind, caller in itertools.product(ROOMS, CALLERS):
        cell = f"{caller} in {kind}"
        row = Row(request.law, changes=request.changes)
        outcome = request.law[kind][caller]
        room = grounds.rooms[kind]
        if request.changes and outcome == OK:
            room = await grounds.room(kind, members={"member", "removed", caller} & set(MEMBERS))
        case = Case(caller, room)
        answer = await asked(case)
        wanted[cell], found[cell] = outcome, answer.verdict
        hidden = [] if request.changes and outcome == OK else hidden_from(grounds, row, case)
        # A query comes back in quotation marks.
        shown = answer.text.replace(room.plate, "").replace(f'\\"{room.secret}\\"', "")
        leaked += [cell for word in hidden if word in shown]

    assert found == wanted
    assert leaked == []
