"""Rooms and messages as the engines keep them: JSON text, and times as integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from room_mcp.rooms import (
    OPEN,
    Admission,
    Closing,
    Expectation,
    Knock,
    Member,
    Room,
    SenderType,
    Spent,
    Standing,
    Verdict,
    contract_of,
    skeleton,
)
from room_mcp.rooms.admission import EVERYBODY, Barring
from room_mcp.rooms.message import EXPECTS

MEMBERS_KEPT = 1_024  # whose form is known; each post makes a member anew, a kilobyte each
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

to_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Compact JSON. Text beyond ASCII stays readable."""


def micros(at: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (at - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def maybe_micros(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def maybe_moment(kept: int | None) -> datetime | None:
    return None if kept is None else moment(kept)


NOTHING: Mapping[str, Any] = MappingProxyType({})
_FIELDS = frozenset(
    (
        *("name", "created_at", "created_by", "purpose", "listed", "owner_key_hash", "max_bytes"),
        *("lifecycle", "members", "expectations", "verdicts", "spent", "reserve_since"),
        *("reopened_at", "last_seq", "last_at", "size_bytes", "closing", "erasures", "chain"),
        *("admission", "principals", "muted"),
    )
)


def state_from(room: Room, unknown: Mapping[str, Any] = NOTHING) -> str:
    """All of the room but its id and contract, as JSON.

    Args:
        unknown: What `unknown_in` found in the state before: it stays as it is.
    """
    return to_json(
        {
            **unknown,
            "name": room.name,
            "created_at": micros(room.created_at),
            "created_by": room.created_by,
            "purpose": room.purpose,
            "listed": room.listed,
            "owner_key_hash": room.owner_key_hash,
            "max_bytes": room.max_bytes,
            "lifecycle": room.lifecycle,
            "members": {key: _member_state(member) for key, member in room.members.items()},
            "expectations": [
                (
                    one.seq,
                    one.type,
                    one.asker,
                    one.of,
                    one.answers,
                    one.accepted_by,
                    one.for_anybody,
                    one.declined,
                )
                for one in room.expectations
            ],
            "verdicts": room.verdicts,
            "spent": room.spent,
            "reserve_since": maybe_micros(room.reserve_since),
            "reopened_at": maybe_micros(room.reopened_at),
            "last_seq": room.last_seq,
            "last_at": maybe_micros(room.last_at),
            "size_bytes": room.size_bytes,
            "closing": None if room.closing is None else _closing_state(room.closing),
            "erasures": room.erasures,
            "chain": room.chain,
            **_callers_state(room),
        }
    )


def _callers_state(room: Room) -> dict[str, Any]:
    """What only rooms have that know server keys, or are not open to all."""
    kept: dict[str, Any] = {
        "admission": None if room.admission == EVERYBODY else _admission_state(room.admission),
        "principals": {key: one.principal for key, one in room.members.items() if one.principal},
        "muted": [key for key, one in room.members.items() if one.muted],
    }
    return {name: value for name, value in kept.items() if value}


def room_from(id: str, state: str, contract: str | None) -> Room:
    """The room that `state_from` wrote, also that of an earlier version.

    Args:
        contract: Its source; None for a room of the time before contracts were kept.
    """
    return room_of(id, json.loads(state), contract)


def unknown_in(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a state that a later version has put there."""
    return {name: kept[name] for name in kept.keys() - _FIELDS} or NOTHING


def room_of(id: str, kept: Mapping[str, Any], contract: str | None) -> Room:
    """As `room_from`, from JSON that is read already."""
    principals, muted = kept.get("principals", {}), kept.get("muted", ())
    return Room(
        id=id,
        name=kept["name"],
        created_at=moment(kept["created_at"]),
        created_by=kept["created_by"],
        purpose=kept["purpose"],
        listed=kept["listed"],
        contract=OPEN if contract is None else contract_of(contract),
        owner_key_hash=kept["owner_key_hash"],
        max_bytes=kept["max_bytes"],
        lifecycle=kept["lifecycle"],
        members=MappingProxyType(
            _by_skeleton(
                {
                    key: _member_from(principals.get(key, ""), key in muted, *member)
                    for key, member in kept["members"].items()
                }
            )
        ),
        expectations=tuple(_expectation_from(*one) for one in kept["expectations"]),
        verdicts=tuple(Verdict(*one) for one in kept.get("verdicts", ())),
        spent=_spent_from(*kept.get("spent", ())),
        reserve_since=maybe_moment(kept.get("reserve_since")),
        reopened_at=maybe_moment(kept.get("reopened_at")),
        last_seq=kept["last_seq"],
        last_at=maybe_moment(kept["last_at"]),
        size_bytes=kept["size_bytes"],
        closing=None if kept["closing"] is None else _closing_from(kept["closing"]),
        erasures=kept["erasures"],
        chain=kept.get("chain"),
        admission=_admission_from(kept["admission"]) if "admission" in kept else EVERYBODY,
    )


# A post changes one member of many; the others come and go as they were. All fields are plain,
# so that a member can be found by them.
@lru_cache(maxsize=MEMBERS_KEPT)
def _member_state(member: Member) -> Sequence[Any]:
    return (
        member.name,
        member.kind,
        micros(member.joined_at),
        member.joined_seq,
        member.active,
        member.key_hash,
        member.protected,
        member.messages,
        member.size_bytes,
        member.role,
        member.told_percent,
        *member.standing,
        member.spent.messages,
        member.spent.size_bytes,
        *(part for one in member.spent.types for part in one),
    )


@lru_cache(maxsize=MEMBERS_KEPT)
def _member_from(
    principal: str,
    muted: bool,
    name: str,
    kind: SenderType,
    joined_at: int,
    joined_seq: int,
    active: bool,
    key_hash: str | None,
    protected: bool,
    messages: int,
    size_bytes: int,
    role: str | None = None,
    told_percent: int = 0,
    *kept: Any,
) -> Member:
    standing, (spent_messages, spent_bytes, *types) = kept[:5], kept[5:] or (0, 0)
    return Member(
        name,
        kind,
        moment(joined_at),
        joined_seq,
        active,
        key_hash,
        protected,
        messages,
        size_bytes,
        role,
        Spent(spent_messages, spent_bytes, tuple(zip(types[::2], types[1::2], strict=True))),
        Standing(*standing),
        told_percent,
        principal,
        muted,
    )


def _by_skeleton(members: dict[str, Member]) -> dict[str, Member]:
    """The members, keyed as names are compared today; keys in ASCII are as they ever were.

    Of two that were different names once, the one whose key comes first gets the key of both, as
    in `0004_skeletons.sql`; the other keeps its old one.
    """
    old = sorted(key for key in members if not key.isascii())
    if not old:
        return members
    new: dict[str, str] = {}
    for key in old:
        wanted = skeleton(members[key].name)
        if wanted not in members and wanted not in new.values():
            new[key] = wanted
    return {new.get(key, key): member for key, member in members.items()}


def _admission_state(of: Admission) -> dict[str, Any]:
    return {
        "access": of.access,
        "owner": of.owner,
        "demo": of.demo,
        "knocking": [
            (one.name, one.kind, micros(one.at), one.role, one.key_hash, one.principal)
            for one in of.knocking
        ],
        "barred": of.barred,
    }


def _admission_from(kept: dict[str, Any]) -> Admission:
    return Admission(
        access=kept["access"],
        owner=kept["owner"],
        demo=kept["demo"],
        knocking=tuple(
            Knock(name, kind, moment(at), *rest) for name, kind, at, *rest in kept["knocking"]
        ),
        barred=tuple(Barring(*one) for one in kept["barred"]),
    )


def _spent_from(messages: int = 0, size_bytes: int = 0, types: Sequence[Any] = ()) -> Spent:
    return Spent(messages, size_bytes, tuple((type, count) for type, count in types))


def _expectation_from(
    seq: int,
    type: str,
    asker: str,
    of: list[str],
    answers: list[str] | None = None,
    accepted_by: str = "",
    for_anybody: bool = False,
    declined: Sequence[str] = (),
) -> Expectation:
    if answers is None:  # of the time before work could be accepted
        return Expectation(seq, type, asker, tuple(of), (EXPECTS[type],), for_anybody=not of)
    return Expectation(
        seq, type, asker, tuple(of), tuple(answers), accepted_by, for_anybody, tuple(declined)
    )


def _closing_state(closing: Closing) -> dict[str, Any]:
    return {
        "seq": closing.seq,
        "by": closing.by,
        "outcome": closing.outcome,
        "conclusion": closing.conclusion,
        "at": micros(closing.at),
        "reason": closing.reason,
    }


def _closing_from(kept: dict[str, Any]) -> Closing:
    return Closing(
        seq=kept["seq"],
        by=kept["by"],
        outcome=kept["outcome"],
        conclusion=kept["conclusion"],
        at=moment(kept["at"]),
        reason=kept.get("reason", "closed" if kept["outcome"] == "closed" else "terminal"),
    )
