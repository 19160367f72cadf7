"""What is read from a store in memory: by looking at everything there is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from room_mcp.rooms import Room, skeleton
from room_mcp.rooms.names import folded

from ..interface import MAX_PAGE_MESSAGES, MAX_SCANNED, Hit, Listed, Listing, Page
from ..tokens import is_half_pair, tokens
from .place import KeptMessage, KeptRoom, Place

_NEVER = datetime.min.replace(tzinfo=UTC)


class PageWanted(NamedTuple):
    """The arguments of `Store.read`."""

    after: int | None
    before: int | None
    limit: int
    max_bytes: int
    sender: str | None
    type: str | None

    @property
    def is_filtered(self) -> bool:
        return self.sender is not None or self.type is not None

    def fits(self, one: KeptMessage) -> bool:
        """Whether the filters let it through; a sender is known by any spelling of his name."""
        if self.type not in (None, one.bare.type):
            return False
        return self.sender is None or skeleton(self.sender) == skeleton(one.bare.sender)


def page(kept: KeptRoom, wanted: PageWanted) -> Page:
    """As `Store.read` promises it."""
    first = 1 if wanted.after is None else max(wanted.after, 0) + 1
    last = len(kept.messages)
    if wanted.before is not None:
        last = min(last, wanted.before - 1)
    if first > last:
        return Page((), None, None, has_more=False)
    stretch = range(first, last + 1)
    forward = wanted.after is not None
    ordered = stretch if forward else stretch[::-1]
    if wanted.is_filtered:
        ordered = ordered[:MAX_SCANNED]
    found, looked_at = _collected(kept, wanted, ordered)
    low, high = (ordered[0], looked_at) if forward else (looked_at, ordered[0])
    messages = tuple(one.message for one in (found if forward else found[::-1]))
    return Page(messages, low, high, has_more=high < last if forward else low > 1)


def _collected(kept: KeptRoom, wanted: PageWanted, seqs: range) -> tuple[list[KeptMessage], int]:
    """What fits on a page, in the order of these seqs, and the last seq that was looked at."""
    limit = max(1, min(wanted.limit, MAX_PAGE_MESSAGES))
    found: list[KeptMessage] = []
    size_bytes = 0
    for seq in seqs:
        one = kept.messages[seq - 1]
        if not wanted.fits(one):
            continue
        size_bytes += one.size_bytes
        if found and size_bytes > wanted.max_bytes:
            return found, found[-1].bare.seq
        found.append(one)
        if len(found) == limit:
            return found, seq
    return found, seqs[-1]


def seq_at(kept: KeptRoom, at: datetime | None, message_id: str | None) -> int:
    """As `Store.seq_at` promises it."""

    def is_meant(one: KeptMessage) -> bool:
        if message_id is not None:
            return one.bare.id == message_id
        return at is not None and one.bare.at <= at

    return max((one.bare.seq for one in kept.messages if is_meant(one)), default=0)


# ---- across rooms --------------------------------------------------------------------------------


def _takes(wanted: Listing, kept: KeptRoom) -> bool:
    room = kept.room
    return (
        room.is_archived == wanted.archived
        and (wanted.include_closed or room.lifecycle != "closed")
        and (wanted.member is None or room.member(wanted.member) is not None)
        and _may_show(wanted, room)
        and _names(wanted, room)
        and (wanted.before is None or kept.updated_at < wanted.before)
    )


def _may_show(wanted: Listing, room: Room) -> bool:
    if not wanted.listed_only or room.listed:
        return True
    if not wanted.principal:
        return wanted.member is not None
    return room.admission.owner == wanted.principal or any(
        one.principal == wanted.principal for one in room.active_members
    )


def _names(wanted: Listing, room: Room) -> bool:
    query = folded(wanted.query)
    return query in folded(f"{room.name}\n{room.purpose}") or room.id.startswith(query)


def directory(place: Place, wanted: Listing) -> list[Listed]:
    """As `Store.directory` promises it."""
    taken = [kept for kept in place.rooms.values() if _takes(wanted, kept)]
    found = sorted(taken, key=_changed_at, reverse=True)
    return [_listed(kept) for kept in found[: max(0, wanted.limit)]]


def stale(
    place: Place, *, before: datetime | None, beyond: int | None, ended_only: bool, limit: int
) -> list[Listed]:
    """As `Store.stale` promises it."""
    counted = [
        kept
        for kept in sorted(place.rooms.values(), key=_changed_at, reverse=True)
        if kept.room.lifecycle == "closed" or not ended_only
    ]
    found = [
        kept
        for rank, kept in enumerate(counted)
        if (before is not None and kept.updated_at < before)
        or (beyond is not None and rank >= beyond)
    ]
    return [_listed(kept) for kept in found[::-1][: max(0, limit)]]


def _changed_at(kept: KeptRoom) -> datetime:
    return kept.updated_at


def _listed(kept: KeptRoom) -> Listed:
    return Listed(kept.room, kept.updated_at)


def open_room_named(place: Place, like: Room) -> Room | None:
    """The room of the same name that has not ended, and is listed or of the same owner; of
    several the last changed."""
    owner = like.admission.owner
    found = [
        kept
        for kept in place.rooms.values()
        if skeleton(kept.room.name) == skeleton(like.name)
        and kept.room.lifecycle != "closed"
        and (kept.room.listed or (owner != "" and kept.room.admission.owner == owner))
    ]
    return max(found, key=_changed_at).room if found else None


def search(place: Place, query: str, room_ids: Collection[str], limit: int) -> list[Hit]:
    """As `Store.search` promises it."""
    tests = [_test(token) for token in tokens(query)]
    if not tests:
        return []
    found = [
        (one.bare.at, kept.no, one.bare.seq, kept, one)
        for kept in _rooms(place, room_ids)
        for one in kept.messages
        if all(test(one.words) for test in tests)
    ]
    newest = sorted(found, key=lambda hit: hit[:3], reverse=True)[:limit]
    return [Hit(kept.room, one.message) for *_, kept, one in newest]


def _test(token: str) -> Callable[[Collection[str]], bool]:
    """Whether words hold the token; one character of a script that is indexed by pairs stands for
    all pairs that begin with it."""
    if is_half_pair(token):
        return lambda words: any(word.startswith(token) for word in words)
    return lambda words: token in words


def _rooms(place: Place, room_ids: Collection[str]) -> Iterator[KeptRoom]:
    for room_id in dict.fromkeys(room_ids):
        if room_id in place.rooms:
            yield place.rooms[room_id]
