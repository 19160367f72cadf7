"""Who may do what: every call, tool, resource and prompt, for every caller, in every kind of room.

A law says what callers get; a row says by which law a call goes. A call without a row fails the
test that reads this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from grounds import CALLERS, NAMES, ROOMS, Kept

OK = "ok"  # what the row calls so; any other outcome is "STATUS code", or the status alone
LOCKED_OUT = {
    "nobody": "401 key_required",
    "wrong": "401 key_invalid",
    "revoked": "401 key_invalid",
}
Outcomes = Mapping[str, str]  # by caller
Law = Mapping[str, Outcomes]  # by kind of room


def _law(*, pending: str = "", **by_room: str) -> Law:
    """A law from lines of "callers: outcome"; who is not named gets `ok`.

    `pending` is what somebody gets who waits for an approval room; elsewhere he is a stranger.
    """
    found: dict[str, Outcomes] = {}
    for kind in ROOMS:
        outcomes = dict.fromkeys(CALLERS, OK) | LOCKED_OUT
        for line in by_room[kind].strip().splitlines():
            callers, outcome = (part.strip() for part in line.split(":"))
            outcomes |= dict.fromkeys(callers.split(), outcome)
        if "stranger" in outcomes:
            outcomes["forger"] = outcomes["stranger"]
            outcomes["pending"] = outcomes["stranger"]
        if kind == "approval" and pending:
            outcomes["pending"] = pending
        found[kind] = outcomes
    return found


_HIDDEN = "stranger removed: 404 room_not_found"
_DOORPLATE = """stranger: 403 not_a_member
                removed: 403 barred"""
_NOT_OWNERS = "member muted: 403 not_the_owner"
_WAITING = "403 not_yet_admitted"

# To know what is in a room.
READ = _law(
    keyed=_HIDDEN,
    approval=_HIDDEN,
    listed=_DOORPLATE,
    open="removed: 403 barred",
    pending=_WAITING,
)
# To keep it in order.
OWN = _law(
    keyed=f"{_HIDDEN}\n{_NOT_OWNERS}",
    approval=f"{_HIDDEN}\n{_NOT_OWNERS}",
    listed=f"{_DOORPLATE}\n{_NOT_OWNERS}",
    open=f"removed: 403 barred\nstranger: 403 not_the_owner\n{_NOT_OWNERS}",
    pending=_WAITING,
)
# To be one of those who are in it.
BE_IN = _law(
    keyed=f"{_HIDDEN}\nadmin: 403 not_a_member",
    approval=f"{_HIDDEN}\nadmin: 403 not_a_member",
    listed=f"{_DOORPLATE}\nadmin: 403 not_a_member",
    open="removed: 403 barred\nstranger admin: 403 not_a_member",
    pending=_WAITING,
)
# To do it as somebody else, who is a member: nobody may but himself.
_NOT_HE = "muted owner admin: 403 name_protected"
BE_ANOTHER = _law(
    keyed=f"{_HIDDEN}\n{_NOT_HE}",
    approval=f"{_HIDDEN}\n{_NOT_HE}",
    listed=f"{_DOORPLATE}\n{_NOT_HE}",
    open=f"removed: 403 barred\nstranger: 403 name_protected\n{_NOT_HE}",
    pending=_WAITING,
)
# To say something.
SPEAK = _law(
    keyed=f"{_HIDDEN}\nmuted: 403 muted",
    approval=f"{_HIDDEN}\nmuted: 403 muted",
    listed=f"{_DOORPLATE}\nmuted: 403 muted",
    open="removed: 403 barred\nmuted: 403 muted",
    pending=_WAITING,
)
# The same without saying as whom, which means the owner.
SPEAK_AS_OWNER = _law(
    keyed=f"{_HIDDEN}\nmember muted: 403 not_a_member",
    approval=f"{_HIDDEN}\nmember muted: 403 not_a_member",
    listed=f"{_DOORPLATE}\nmember muted: 403 not_a_member",
    open="removed: 403 barred\nstranger member muted: 403 name_protected",
    pending=_WAITING,
)
# To come in: whoever has the id of a room may ask.
JOIN = _law(
    keyed="removed: 403 barred",
    approval="removed: 403 barred\nstranger: 202",
    listed="removed: 403 barred",
    open="removed: 403 barred",
    pending="202",
)
# To let it go on after its end: its owner is a person here, and the admin an agent.
_NO_PEOPLE = "member muted admin: 403 people_only"
REOPEN = _law(
    keyed=f"{_HIDDEN}\n{_NO_PEOPLE}",
    approval=f"{_HIDDEN}\n{_NO_PEOPLE}",
    listed=f"{_DOORPLATE}\n{_NO_PEOPLE}",
    open=f"removed: 403 barred\nstranger: 403 people_only\n{_NO_PEOPLE}",
    pending=_WAITING,
)


def _everywhere(outcomes: str) -> Law:
    return _law(**dict.fromkeys(ROOMS, outcomes))


KNOWN = _everywhere("")  # whoever has a key
ADMIN = _everywhere("stranger removed member muted owner: 403 admins_only")
ANYBODY = _everywhere("nobody: ok")  # a key that is none is refused all the same
NOBODY = _everywhere(
    "nobody stranger removed member muted owner admin: 403 invitation_invalid"
)  # with a code that is none


@dataclass(frozen=True)
class Case:
    """Who calls about which room."""

    caller: str
    room: Kept
    spare_key: str = ""  # the id of a server key that nobody needs

    @property
    def name(self) -> str:
        """The name that his key stands for."""
        return NAMES.get(self.caller, self.caller)

    @property
    def waiting(self) -> str:
        """Somebody about whom the owner may decide."""
        return "pending" if self.room.kind == "approval" else "removed"


Body = Callable[[Case], Any]


@dataclass(frozen=True)
class Row:
    """One call. `body` and `query` are made for each case.

    `changes`: it has to be made in a room of its own where it is allowed. `when_closed`: it is
    made about a room that has ended. `shows_plate`: whoever has the id sees the room's name.
    `unlocked`: what everybody gets where no key is needed, if not what a stranger gets elsewhere.
    """

    law: Law
    ok: str = "200"
    body: Body | None = None
    query: Callable[[Case], dict[str, Any]] = lambda _: {}
    form: bool = False
    changes: bool = False
    when_closed: bool = False
    shows_plate: bool = False
    unlocked: str = ""

    def expected(self, kind: str, caller: str) -> str:
        outcome = self.law[kind][caller]
        return self.ok if outcome == OK else outcome


def _named(case: Case) -> dict[str, Any]:
    return {"sender": case.name}


def _said(case: Case) -> dict[str, Any]:
    return {"sender": case.name, "content": "hello"}


def _target(case: Case) -> dict[str, Any]:
    return {"name": "member"}


def _waiting(case: Case) -> dict[str, Any]:
    return {"name": case.waiting}


def _page(law: Law) -> Law:
    """The same for a page, whose outcomes show no code."""
    return {
        kind: {
            caller: outcome if outcome.endswith("key_invalid") else outcome.partition(" ")[0]
            for caller, outcome in outcomes.items()
        }
        for kind, outcomes in law.items()
    }


def _with(law: Law, **changed: str) -> Law:
    """A law that is another one for these callers."""
    return {kind: {**outcomes, **changed} for kind, outcomes in law.items()}


def _waits(law: Law) -> Law:
    """A law that lets him do it who waits to be admitted, too."""
    return {**law, "approval": {**law["approval"], "pending": OK}}


_REDIRECTED: dict[str, Any] = {"ok": "303", "changes": True, "form": True}
_KEEPING = _page(OWN)
# Only who waits is declined: elsewhere the owner is told that nobody waits under that name.
_DECLINE = {
    kind: {
        caller: "403 not_a_member" if outcome == OK and kind != "approval" else outcome
        for caller, outcome in outcomes.items()
    }
    for kind, outcomes in OWN.items()
}

# By method, path, and a word for another way to make the same call.
Call = tuple[str, str, str]
_A, _O = "/agent/rooms/{id}", "/api/rooms/{id}"

REST: Mapping[Call, Row] = {
    # ---- rooms ----
    ("POST", "/agent/demo/room", ""): Row(KNOWN, "201", lambda _: {"name": "demo"}),
    ("POST", "/agent/rooms", ""): Row(KNOWN, "201", lambda _: {"name": "new"}),
    ("POST", "/api/rooms", ""): Row(KNOWN, "201", lambda _: {"name": "new"}),
    ("GET", "/agent/rooms", ""): Row(KNOWN),
    ("GET", "/agent/rooms", "by id"): Row(
        KNOWN, query=lambda case: {"ids": case.room.id}, shows_plate=True
    ),
    ("GET", "/agent/rooms", "by query"): Row(KNOWN, query=lambda case: {"query": case.room.secret}),
    ("GET", "/agent/rooms", "of another"): Row(
        KNOWN, query=lambda _: {"member": "member", "mine": 1, "limit": 1}
    ),
    ("GET", "/api/rooms", ""): Row(KNOWN),
    ("GET", "/agent/templates", ""): Row(KNOWN),
    # ---- members ----
    ("POST", f"{_A}/join", ""): Row(
        JOIN, body=lambda case: {"agentName": case.name}, changes=True, shows_plate=True
    ),
    # Who waits may stop waiting.
    ("POST", f"{_A}/leave", ""): Row(_waits(BE_IN), body=_named, changes=True),
    ("POST", f"{_A}/leave", "as another"): Row(
        BE_ANOTHER, body=lambda _: {"sender": "member"}, changes=True
    ),
    ("POST", f"{_A}/heartbeat", ""): Row(BE_IN, body=_named),
    ("POST", f"{_A}/heartbeat", "as another"): Row(BE_ANOTHER, body=lambda _: {"sender": "member"}),
    # ---- messages ----
    ("POST", f"{_A}/messages", ""): Row(SPEAK, "201", _said, changes=True),
    ("POST", f"{_A}/messages/batch", ""): Row(
        _with(SPEAK, muted="200 muted"),
        body=lambda case: {"messages": [_said(case)]},
        changes=True,
    ),
    ("GET", f"{_A}/messages", ""): Row(READ),
    ("GET", f"{_A}/messages", "as reader"): Row(
        _waits(BE_IN), query=lambda case: {"reader": case.name}
    ),
    ("GET", f"{_A}/messages", "as another"): Row(BE_ANOTHER, query=lambda _: {"reader": "member"}),
    ("GET", f"{_A}/messages", "as who waits"): Row(
        _waits(_with(BE_IN, **dict.fromkeys(("member", "muted", "owner"), "403 not_a_member"))),
        query=lambda _: {"reader": "pending"},
    ),
    ("GET", f"{_A}/messages", "beyond the end"): Row(
        READ, "409 cursor_ahead", query=lambda _: {"after": 99}
    ),
    ("GET", f"{_A}/history", ""): Row(READ),
    ("GET", f"{_A}/info", ""): Row(READ),
    ("GET", f"{_A}/search", ""): Row(READ, query=lambda case: {"q": case.room.secret}),
    ("GET", f"{_A}/export", ""): Row(READ),
    ("GET", f"{_A}/export", "jsonl"): Row(READ, query=lambda _: {"format": "jsonl"}),
    ("GET", f"{_A}/stream", ""): Row(READ, when_closed=True),
    ("GET", f"{_A}/stream", "beyond the end"): Row(
        READ, "409 cursor_ahead", query=lambda _: {"after": 99}
    ),
    ("GET", "/agent/search", ""): Row(KNOWN, query=lambda case: {"q": case.room.secret}),
    ("GET", "/agent/search", "by id"): Row(
        KNOWN, query=lambda case: {"q": case.room.secret, "ids": case.room.id}
    ),
    ("GET", "/agent/updates", ""): Row(KNOWN, query=lambda case: {"rooms": f"{case.room.id}:0"}),
    ("GET", "/agent/updates", "as another"): Row(
        KNOWN, query=lambda case: {"rooms": f"{case.room.id}:0", "reader": "member", "wait": 1}
    ),
    # ---- the owner's ----
    ("POST", f"{_A}/close", ""): Row(OWN, body=lambda _: {"conclusion": "done"}, changes=True),
    ("POST", f"{_A}/pause", ""): Row(OWN, body=lambda _: {}, changes=True),
    ("POST", f"{_A}/resume", ""): Row(OWN, body=lambda _: {}, changes=True),
    ("POST", f"{_A}/reopen", ""): Row(
        REOPEN, body=lambda _: {"senderType": "human"}, changes=True, when_closed=True
    ),
    ("POST", f"{_A}/rename", ""): Row(OWN, body=lambda _: {"name": "other"}, changes=True),
    ("POST", f"{_A}/archive", ""): Row(OWN, body=lambda _: {}, changes=True, when_closed=True),
    ("GET", "/agent/expired", ""): Row(ADMIN),
    ("DELETE", "/agent/expired", ""): Row(ADMIN),
    ("POST", f"{_A}/settings", ""): Row(
        OWN, body=lambda _: {"budget": {"messages": 100}}, changes=True
    ),
    ("POST", f"{_A}/admit", ""): Row(OWN, body=_waiting, changes=True),
    ("POST", f"{_A}/decline", ""): Row(_DECLINE, body=_waiting, changes=True),
    ("POST", f"{_A}/mute", ""): Row(OWN, body=_target, changes=True),
    ("POST", f"{_A}/remove", ""): Row(OWN, body=_target, changes=True),
    ("GET", f"{_A}/audit", ""): Row(OWN),
    ("GET", "/agent/audit", ""): Row(ADMIN),
    ("GET", "/agent/audit", "of a room"): Row(ADMIN, query=lambda case: {"room": case.room.id}),
    ("GET", _O, ""): Row(READ),
    ("DELETE", _O, ""): Row(OWN, "204", changes=True),
    ("POST", f"{_O}/messages", ""): Row(SPEAK, "201", _said, changes=True),
    ("POST", f"{_O}/messages", "as owner"): Row(
        SPEAK_AS_OWNER,
        "201",
        lambda _: {"content": "hello"},
        changes=True,
    ),
    ("GET", f"{_O}/messages", ""): Row(READ),
    ("DELETE", f"{_O}/messages", ""): Row(OWN, changes=True),
    ("GET", f"{_O}/stream", ""): Row(READ, when_closed=True),
    # ---- keys ----
    ("POST", "/agent/keys", ""): Row(ADMIN, "201", lambda _: {"name": "new"}),
    ("GET", "/agent/keys", ""): Row(ADMIN),
    ("POST", "/agent/keys/{key}/revoke", ""): Row(ADMIN, body=lambda _: {}),
    ("POST", "/agent/invitations", ""): Row(ADMIN, "201", lambda _: {"name": "new"}),
    ("POST", "/agent/invitations/redeem", ""): Row(NOBODY, body=lambda _: {"code": "rkc_none"}),
    ("GET", "/agent/me", ""): Row(KNOWN),
    # ---- the server itself ----
    ("GET", "/healthz", ""): Row(ANYBODY),
    ("GET", "/readyz", ""): Row(ANYBODY),
    ("GET", "/metrics", ""): Row(ADMIN, unlocked="200"),
    ("GET", "/openapi.json", ""): Row(ANYBODY),
    ("GET", "/docs", ""): Row(_page(ANYBODY)),
    ("GET", "/llms.txt", ""): Row(ANYBODY),
    # ---- pages; whoever shows no key is asked for one ----
    ("GET", "/", ""): Row(_page(KNOWN)),
    ("GET", "/rooms/{id}", ""): Row(_page(READ)),
    ("POST", "/rooms/{id}/admit", ""): Row(_KEEPING, body=_waiting, **_REDIRECTED),
    ("POST", "/rooms/{id}/decline", ""): Row(_page(_DECLINE), body=_waiting, **_REDIRECTED),
    ("POST", "/rooms/{id}/mute", ""): Row(_KEEPING, body=_target, **_REDIRECTED),
    ("POST", "/rooms/{id}/unmute", ""): Row(_KEEPING, body=_target, **_REDIRECTED),
    ("POST", "/rooms/{id}/remove", ""): Row(_KEEPING, body=_target, **_REDIRECTED),
    ("POST", "/rooms/{id}/close", ""): Row(
        _KEEPING, body=lambda _: {"conclusion": "done"}, **_REDIRECTED
    ),
    ("GET", "/login", ""): Row(_page(ANYBODY)),
    ("POST", "/login", ""): Row(_page(ANYBODY), "303", lambda _: {"key": "rk_any"}, form=True),
    ("POST", "/logout", ""): Row(_page(ANYBODY), "303", lambda _: {}, form=True),
}

# ---- MCP ----------------------------------------------------------------------------------------
# Outcomes there: "ok", "refused" with a sentence or an error, or the status of the transport.


def _told(law: Law) -> Law:
    return {
        kind: {
            caller: OK if outcome in (OK, "202") else "401" if caller in LOCKED_OUT else "refused"
            for caller, outcome in outcomes.items()
        }
        for kind, outcomes in law.items()
    }


READS, JOINS, OWNS, KNOWS = _told(READ), _told(JOIN), _told(OWN), _told(KNOWN)
# To say something is to join first, and a keyed room lets in whoever has its id.
SAYS = _told(
    {
        **_with(JOIN, muted="403 muted"),
        "approval": {
            **JOIN["approval"],
            **dict.fromkeys(("stranger", "forger", "admin", "pending"), "403 not_yet_admitted"),
            "admin": OK,
            "muted": "403 muted",
        },
    }
)


@dataclass(frozen=True)
class Request:
    """A request of MCP; its parameters are made for each case."""

    law: Law
    params: Callable[[Case], dict[str, Any]]
    changes: bool = False


def _tool(law: Law, *, changes: bool = False, **arguments: Any) -> Request:
    """A call of a tool; ROOM stands for the id of the case's room, SECRET for its secret."""

    def params(case: Case) -> dict[str, Any]:
        values = {ROOM: case.room.id, SECRET: case.room.secret}
        return {name: values.get(str(value), value) for name, value in arguments.items()}

    return Request(law, params, changes)


ROOM, SECRET = "<room>", "<secret>"

TOOLS: Mapping[tuple[str, str], Request] = {
    ("create_room", ""): _tool(KNOWS, name="one of many"),
    ("join_room", ""): _tool(JOINS, room=ROOM, changes=True),
    ("send_message", ""): _tool(SAYS, room=ROOM, content="hello", changes=True),
    ("wait_for_messages", ""): _tool(JOINS, room=ROOM, timeout_s=1, changes=True),
    ("read_history", ""): _tool(READS, room=ROOM),
    ("list_rooms", ""): _tool(KNOWS),
    ("list_rooms", "by query"): _tool(KNOWS, query=SECRET, closed=True),
    ("search_messages", ""): _tool(READS, query=SECRET, room=ROOM),
    ("search_messages", "everywhere"): _tool(KNOWS, query=SECRET),
    ("close_room", ""): _tool(OWNS, room=ROOM, conclusion="done", changes=True),
}

# By the URI's template, as the server lists it.
RESOURCES: Mapping[str, Law] = {"room://{room}/history": READS, "room://{room}/transcript": READS}

# What a prompt needs besides the room; none shows what a room holds.
PROMPTS: Mapping[str, Mapping[str, str]] = {
    "join_room": {},
    "review_code": {"change": "PR 12"},
    "hand_off": {"to": "member", "task": "the rest"},
    "catch_up": {},
}

_TO_WHOM = {"type": "ref/prompt", "name": "hand_off"}
_WHICH_ROOM = {"type": "ref/resource", "uri": "room://{room}/history"}

REQUESTS: Mapping[tuple[str, str], Request] = {
    ("server/discover", ""): Request(KNOWS, lambda _: {}),
    ("tools/list", ""): Request(KNOWS, lambda _: {}),
    ("prompts/list", ""): Request(KNOWS, lambda _: {}),
    ("resources/list", ""): Request(KNOWS, lambda _: {}),
    ("resources/templates/list", ""): Request(KNOWS, lambda _: {}),
    **{
        ("prompts/get", name): Request(
            KNOWS,
            lambda case, name=name: {
                "name": name,
                "arguments": {"room": case.room.id, **PROMPTS[name]},
            },
        )
        for name in PROMPTS
    },
    **{
        ("resources/read", template): Request(
            law, lambda case, uri=template: {"uri": uri.replace("{room}", case.room.id)}
        )
        for template, law in RESOURCES.items()
    },
    ("resources/read", "before"): Request(
        READS, lambda case: {"uri": f"room://{case.room.id}/history?before=2"}
    ),
    ("completion/complete", "room"): Request(
        KNOWS, lambda _: {"ref": _WHICH_ROOM, "argument": {"name": "room", "value": ""}}
    ),
    ("completion/complete", "room by name"): Request(
        KNOWS,
        lambda case: {"ref": _WHICH_ROOM, "argument": {"name": "room", "value": case.room.secret}},
    ),
    ("completion/complete", "member"): Request(
        KNOWS,
        lambda case: {
            "ref": _TO_WHOM,
            "argument": {"name": "to", "value": ""},
            "context": {"arguments": {"room": case.room.id}},
        },
    ),
}
