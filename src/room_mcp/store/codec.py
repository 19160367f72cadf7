"""Rooms and messages as the engines keep them: JSON text, and times as integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from room_mcp.rooms import Closing, Contract, Expectation, Member, Room, SenderType, TerminalRule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

to_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Compact JSON. Text beyond ASCII stays readable."""


def micros(at: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (at - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def state_from(room: Room) -> str:
    """All of the room but its id, as JSON; the contract as JSON inside, which is parsed once."""
    return to_json(
        {
            "name": room.name,
            "created_at": micros(room.created_at),
            "created_by": room.created_by,
            "purpose": room.purpose,
            "listed": room.listed,
            "contract": _contract_state(room.contract),
            "owner_key_hash": room.owner_key_hash,
            "max_bytes": room.max_bytes,
            "lifecycle": room.lifecycle,
            "members": {key: _member_state(member) for key, member in room.members.items()},
            "expectations": [[one.seq, one.type, one.asker, one.of] for one in room.expectations],
            "last_seq": room.last_seq,
            "last_at": None if room.last_at is None else micros(room.last_at),
            "size_bytes": room.size_bytes,
            "closing": None if room.closing is None else _closing_state(room.closing),
            "erasures": room.erasures,
        }
    )


def room_from(id: str, state: str) -> Room:
    """The room that `state_from` wrote."""
    kept = json.loads(state)
    return Room(
        id=id,
        name=kept["name"],
        created_at=moment(kept["created_at"]),
        created_by=kept["created_by"],
        purpose=kept["purpose"],
        listed=kept["listed"],
        contract=_contract_from(kept["contract"]),
        owner_key_hash=kept["owner_key_hash"],
        max_bytes=kept["max_bytes"],
        lifecycle=kept["lifecycle"],
        members=MappingProxyType(
            {key: _member_from(*member) for key, member in kept["members"].items()}
        ),
        expectations=tuple(
            Expectation(seq, type, asker, tuple(of))
            for seq, type, asker, of in kept["expectations"]
        ),
        last_seq=kept["last_seq"],
        last_at=None if kept["last_at"] is None else moment(kept["last_at"]),
        size_bytes=kept["size_bytes"],
        closing=None if kept["closing"] is None else _closing_from(kept["closing"]),
        erasures=kept["erasures"],
    )


# A post changes one member of many; the others come and go as they were.
@lru_cache(maxsize=8_192)
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
    )


@lru_cache(maxsize=8_192)
def _member_from(name: str, kind: SenderType, joined_at: int, *rest: Any) -> Member:
    return Member(name, kind, moment(joined_at), *rest)


@lru_cache(maxsize=256)
def _contract_state(contract: Contract) -> str:
    return to_json(
        {
            "template": contract.template,
            "terminal": [[one.type, one.outcome_from, one.default] for one in contract.terminal],
        }
    )


@lru_cache(maxsize=256)
def _contract_from(state: str) -> Contract:
    kept = json.loads(state)
    return Contract(
        template=kept["template"],
        terminal=tuple(
            TerminalRule(type, outcome_from=outcome_from, default=default)
            for type, outcome_from, default in kept["terminal"]
        ),
    )


def _closing_state(closing: Closing) -> dict[str, Any]:
    return {
        "seq": closing.seq,
        "by": closing.by,
        "outcome": closing.outcome,
        "conclusion": closing.conclusion,
        "at": micros(closing.at),
    }


def _closing_from(kept: dict[str, Any]) -> Closing:
    return Closing(
        seq=kept["seq"],
        by=kept["by"],
        outcome=kept["outcome"],
        conclusion=kept["conclusion"],
        at=moment(kept["at"]),
    )
