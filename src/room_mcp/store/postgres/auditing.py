"""The audit as rows."""

from __future__ import annotations

from collections.abc import Sequence

from ..auditing import (
    FIRST_LINK,
    MAX_PAGE_ENTRIES,
    AuditPage,
    Entry,
    Recorded,
    entry_values,
    keepable,
    link,
)
from ..codec import moment
from .database import Database
from .rows import askable

_COLUMNS = "at, act, outcome, room_id, name, key_id, subject, request, detail"

_APPEND = f"""
    INSERT INTO audit (no, link, {_COLUMNS})
    SELECT * FROM unnest(
        $1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[])
"""


class Sent:
    """How far the refusals that a node has noted still have come on their way into the audit.

    It has not to be asked what became of a transaction whose COMMIT was not answered: the next
    one that writes them looks whether they are there.
    """

    def __init__(self) -> None:
        self._known = 0  # so many, the first, are there
        self._sent = 0  # so many went with the last transaction, the last of them as:
        self._no, self._link = 0, FIRST_LINK

    async def missing(self, db: Database, refusals: Sequence[Entry]) -> Sequence[Entry]:
        """Those that are not there yet; asked while nobody else can write any."""
        if self._sent > self._known and await self._are_there(db):
            self._known = self._sent
        return refusals[self._known :]

    async def _are_there(self, db: Database) -> bool:
        found = await db.value("SELECT link FROM audit WHERE no = $1", self._no)
        return found == self._link

    def went(self, count: int, no: int, link: str) -> None:
        """All refusals are written now; whether that will be committed is not known."""
        self._sent, self._no, self._link = count, no, link


async def append(
    db: Database, entries: Sequence[Entry], refusals: Sequence[Entry] = (), sent: Sent | None = None
) -> None:
    """Write entries behind those that are there, inside a transaction, near its end: until it
    is committed nobody else can do the same.

    Args:
        refusals: Written behind them, unless an earlier try has.
        sent: What is known of such tries.
    """
    if not (entries or refusals):
        return
    last = await db.row("SELECT no, link FROM counters WHERE name = 'audit' FOR UPDATE")
    assert last is not None
    no, before = last
    missing = refusals if sent is None else await sent.missing(db, refusals)
    rows: list[tuple[object, ...]] = []
    for entry in (*entries, *missing):
        kept = keepable(entry)
        no += 1
        before = link(before, no, kept)
        rows.append((no, before, *entry_values(kept)))
    if not rows:
        return
    await db.run(_APPEND, *(list(column) for column in zip(*rows, strict=True)))
    if missing and sent is not None:
        sent.went(len(refusals), no, before)
    await db.run("UPDATE counters SET no = $1, link = $2 WHERE name = 'audit'", no, before)


# The last number and link are read in the same statement, so that they fit to the entries.
_PAGE = f"""
    SELECT last.no AS last_no, last.link AS head, entry.* FROM counters AS last LEFT JOIN LATERAL (
        SELECT no, (SELECT link FROM audit AS b WHERE b.no = a.no - 1), link, {_COLUMNS}
        FROM audit AS a WHERE no > $1 {{of_room}} ORDER BY no LIMIT {{limit}}
    ) AS entry ON true
    WHERE last.name = 'audit' ORDER BY entry.no
"""
_PAGE_OF_ALL = _PAGE.format(of_room="", limit="$2")
_PAGE_OF_ROOM = _PAGE.format(of_room="AND room_id = $2", limit="$3")


async def page(db: Database, room_id: str | None, after: int, limit: int) -> AuditPage:
    """As `AuditStore.audit` promises it."""
    limit = max(1, min(limit, MAX_PAGE_ENTRIES))
    if room_id is None:
        rows = await db.rows(_PAGE_OF_ALL, after, limit + 1)
    else:
        rows = await db.rows(_PAGE_OF_ROOM, after, askable(room_id), limit + 1)
    last_no, head, *first = rows[0]
    found = tuple(
        Recorded(no, Entry(moment(at), *fields), previous or FIRST_LINK, kept_link)
        for _, _, no, previous, kept_link, at, *fields in (rows[:limit] if first[0] else ())
    )
    return AuditPage(found, len(rows) > limit, last_no, head or FIRST_LINK)
