"""Rooms and messages as rows, and words as the index keeps them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from room_mcp.rooms import Message
from room_mcp.rooms.copying import changed

from ..cache import Kept, RoomCache
from ..codec import micros, moment, room_of, to_json, unknown_in
from ..moved import must_be_here
from ..tokens import content_tokens, is_half_pair, tokens
from .database import Record

MESSAGE_COLUMNS = (
    "seq, id, at, sender, sender_type, type, content, addressees, reply_to, mentions, wakes, chain"
)

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def askable(text: str) -> str:
    """The text as one may ask for it: what no text can hold in PostgreSQL is found nowhere."""
    return _UNSTORABLE.sub("\uffff", text)


# ---- messages -----------------------------------------------------------------------------------


def message_values(message: Message) -> Sequence[object]:
    """The message in the order of `MESSAGE_COLUMNS`."""
    return (
        message.seq,
        message.id,
        micros(message.at),
        message.sender,
        message.sender_type,
        message.type,
        None if message.content is None else to_json(message.content),
        _names(message.to),
        message.reply_to,
        _names(message.mentions),
        _names(message.wakes),
        message.chain,
    )


def message_from(room_id: str, record: Record) -> Message:
    """The message of a row that begins with `MESSAGE_COLUMNS`."""
    seq, id, at, sender, kind, type, content, to, reply_to, mentions, wakes, chain, *_ = record
    return Message(
        room_id=room_id,
        seq=seq,
        id=id,
        at=moment(at),
        sender=sender,
        sender_type=kind,
        type=type,
        content=None if content is None else json.loads(content),
        to=_names_from(to),
        reply_to=reply_to,
        mentions=_names_from(mentions),
        wakes=_names_from(wakes),
        chain=chain,
    )


@lru_cache(maxsize=4_096)  # in a room the same few are woken again and again
def _names(names: tuple[str, ...]) -> str | None:
    return to_json(names) if names else None


@lru_cache(maxsize=4_096)
def _names_from(kept: str | None) -> tuple[str, ...]:
    return () if kept is None else tuple(json.loads(kept))


# ---- words --------------------------------------------------------------------------------------


def words_value(message: Message) -> str | None:
    """What a message is found by, with spaces between; None for one without words."""
    return None if message.content is None else " ".join(content_tokens(message.content)) or None


def words_wanted(query: str) -> str:
    """A query as a tsquery: all its words; empty when it has none.

    One character of a script that is indexed by pairs stands for all pairs that begin with it.
    """
    return " & ".join(
        f"{_quoted(token)}{':*' if is_half_pair(token) else ''}" for token in tokens(query)
    )


def _quoted(token: str) -> str:
    return "'" + token.replace("\\", "\\\\").replace("'", "''") + "'"


# ---- rooms --------------------------------------------------------------------------------------

# A room that is known under its rev does not travel again. Revs are of an epoch: after a restore
# the same number may stand for another state.
#
# `$1`, `$2` and `$3` are the values of `Known`.
WANTED_ROOMS = """
    SELECT rooms.*, epoch, rev = known_rev AND epoch = $3 AS is_known
    FROM (SELECT (SELECT value FROM meta WHERE name = 'epoch') AS epoch) AS store,
        unnest($1::text[], $2::bigint[]) AS wanted (wanted_id, known_rev)
        JOIN rooms ON rooms.id = wanted_id AND lifecycle <> 'deleted'
"""


def room_columns(when: str = "true") -> str:
    """What `Known.kept` reads of a row of `WANTED_ROOMS`; the long ones only under a condition."""
    sent = f"{when} AND is_known IS NOT TRUE"
    return f"""
        room.id AS room_id, room.no AS room_no, room.rev AS room_rev, room.epoch, room.archived_at,
        CASE WHEN {sent} THEN room.state END AS state,
        CASE WHEN {sent} THEN
            (SELECT source FROM contracts WHERE contracts.room_no = room.no)
        END AS source
    """


class Known(NamedTuple):
    """Rooms that are asked for, and what is known of them already."""

    ids: Sequence[str]
    revs: Sequence[int]
    epoch: str
    rooms: dict[str, Kept]
    cache: RoomCache

    @classmethod
    def of(cls, cache: RoomCache, room_ids: Collection[str]) -> Known:
        epoch = cache.epoch
        ids = [*{askable(id) for id in room_ids}]
        rooms = {id: kept for id in ids if (kept := cache.get(id)) is not None}
        revs = [rooms[id].rev if id in rooms else 0 for id in ids]
        return cls(ids, revs, epoch, rooms, cache)

    @property
    def values(self) -> tuple[Sequence[str], Sequence[int], str]:
        return self.ids, self.revs, self.epoch

    def contract_of(self, record: Record) -> str | None:
        """The contract of a row with `contract_rev`, if it has not changed since it was known."""
        known = self.rooms.get(record["room_id"])
        if known is None or record["epoch"] != self.epoch or record["contract_rev"] > known.rev:
            return None
        return known.room.contract.source

    def kept(self, record: Record, source: str | None) -> Kept:
        """The room of a row with `room_columns`, as it was for that statement.

        Of several rows of one room, the first must hold all that is not known.
        """
        if record["state"] is None:
            return self.rooms[record["room_id"]]
        must_be_here(record["epoch"])  # never the one of `is_known` when they were moved
        kept = room_from(record, source)
        self.cache.found_epoch(record["epoch"])
        self.cache.put(kept)
        self.rooms[kept.room.id] = kept
        return kept


def room_from(record: Record, source: str | None) -> Kept:
    """The room of a row with `room_columns` that holds all of them."""
    state = json.loads(record["state"])
    room = room_of(record["room_id"], state, source)
    archived_at: int | None = record["archived_at"]
    if archived_at is not None and room.closing is not None:
        # A column of its own: versions that do not know it would drop it from the state.
        room = changed(room, archived_at=moment(archived_at))
    return Kept(record["room_no"], record["room_rev"], room, unknown_in(state))
