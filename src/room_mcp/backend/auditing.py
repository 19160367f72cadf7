"""What stands in the audit about a call: who made it, and what became of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from starlette.requests import HTTPConnection
from starlette.types import Scope

from room_mcp import wire
from room_mcp.rooms import Proof, Refusal
from room_mcp.store.auditing import AuditPage, AuditStore, Entry, Recorded
from room_mcp.store.interface import Store, StoreError

from . import observing
from .callers import REQUEST_ID, caller_of
from .errors import HttpProblem, described
from .secrets import secret_in
from .subjects import subject_of

# Who tried what he may not. What a conversation refuses as a matter of course, such as a body that
# does not match or a spent budget, is no matter of security, and would bury these.
KEPT_REFUSALS = frozenset(
    (
        *("key_required", "key_invalid", "invitation_invalid"),  # not let in
        *("host_not_allowed", "origin_not_allowed"),  # sent by a page of somebody else
        *("name_protected", "name_not_yours", "name_taken"),  # spoke as another
        *("not_a_member", "not_yet_admitted", "barred", "muted", "role_may_not"),  # has no say
        *("not_the_owner", "people_only", "admins_only"),  # took a right that is another's
        *("quota_exceeded", "rate_limited"),  # wanted too much
        "looks_like_secret",  # was about to tell a key to everybody
        "room_not_found",  # guessed an id, unless it is whoever runs this process
    )
)
_NAMED = frozenset(
    {"name_protected", "name_not_yours", "name_taken", "not_a_member", "muted", "barred"}
)
"""Their sentence says which name it was about, and nothing that anybody said."""


class _Call(NamedTuple):
    """A request, and which call of the contract it makes."""

    request: HTTPConnection
    name: str


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def asked_by(request: HTTPConnection, call: str) -> Generator[None]:
    """Entries that are made inside are about this request."""
    token = _CALL.set(_Call(request, call))
    try:
        yield
    finally:
        _CALL.reset(token)


def entry(
    act: str,
    store: AuditStore,
    at: datetime,
    room_id: str | None = None,
    name: str = "",
    detail: str = "",
) -> Entry:
    """An entry about the request at hand, for the act that does it.

    Args:
        name: Whom the caller acts as; by default the one whom his key stands for.
        detail: Whom or what it is done to; nothing that anybody said.
    """
    observing.note(room_id=room_id, member=name)
    call = _CALL.get()
    if call is None:  # nobody asked: a program that has the service itself
        return Entry(at, act, room_id=room_id, name=name or None, detail=detail or None)
    request = call.request
    caller = caller_of(request)
    key = caller.key
    return Entry(
        at,
        act,
        room_id=room_id,
        name=name or (key.name if key is not None else None),
        key_id=None if key is None else key.id,
        subject=subject_of(request, caller, store.secret),
        request_id=request.scope.get(REQUEST_ID),
        detail=detail or None,
    )


def note_refusal(error: Exception, store: AuditStore, at: datetime) -> None:
    """Count what the request at hand was refused with, and put it into the audit, if it is one of
    those kept."""
    observing.note_refusal(error)
    call = _CALL.get()
    if call is None or not isinstance(error, (Refusal, HttpProblem)):
        return
    code, sentence, _, _ = described(error)
    by_ourselves = code == "room_not_found" and caller_of(call.request).trusted
    if code not in KEPT_REFUSALS or by_ourselves:
        return
    about = sentence if code in _NAMED and secret_in(sentence) is None else ""
    with suppress(StoreError):  # the refusal stands, whether or not it can be kept
        made = entry(call.name, store, at, observing.room_in(call.request), detail=about)
        store.note_refusal(replace(made, outcome=code))


def note_at_door(scope: Scope, refusal: HttpProblem) -> None:
    """As `note_refusal`, for a request that reaches no call."""
    services = getattr(scope["app"].state, "services", None)
    if services is not None:  # else this server has no store of its own
        with asked_by(HTTPConnection(scope), "call the server"):
            note_refusal(refusal, services.rooms.store, services.rooms.clock())


# ---- reading it ---------------------------------------------------------------------------------


def must_be_admin(proof: Proof) -> None:
    """Raises HttpProblem unless all of the audit is the caller's to read."""
    if not (proof.trusted or proof.admin):
        raise HttpProblem(
            "admins_only",
            "The audit of the whole server is for admins.",
            "Ask with the key of an admin; an owner may read GET /agent/rooms/ID/audit.",
        )


async def of_room(store: Store, room_id: str, proof: Proof, after: int, limit: int) -> AuditPage:
    """What happened in one room; for its owner, and for admins.

    Raises:
        RoomNotFound, NotAMember, NotYetAdmitted, Barred: As `Room.must_be_read_by`.
        NotTheOwner: The caller may read the room, and is neither.
    """
    if not (proof.trusted or proof.admin):
        room = await store.room(room_id)
        room.must_be_read_by(proof)
        room.must_be_owned_by(proof)
    return await store.audit(room_id=room_id, after=after, limit=limit)


def answer(page: AuditPage, after: int) -> wire.Audit:
    return wire.Audit(
        entries=[_told(one) for one in page.entries],
        next_cursor=page.entries[-1].no if page.entries else after,
        has_more=page.has_more,
        last_no=page.last_no,
        head=page.head,
    )


def lines(page: AuditPage) -> str:
    """The entries, one JSON object a line."""
    return "".join(f"{_told(one).model_dump_json(by_alias=True)}\n" for one in page.entries)


def _told(of: Recorded) -> wire.AuditEntry:
    one = of.entry
    return wire.AuditEntry(
        no=of.no,
        at=one.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        act=one.act,
        outcome=one.outcome,
        room_id=one.room_id,
        name=one.name,
        key_id=one.key_id,
        subject=one.subject,
        request_id=one.request_id,
        detail=one.detail,
        previous=of.previous,
        link=of.link,
    )
