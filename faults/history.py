"""Says whether what posters were told, what readers saw and what is kept fit together.

Every append answers with its number, so no search over possible orders is needed: the check takes
O(n log n). All times are `time.monotonic()` of one machine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

NOTICE = "room: "
"""How the text of a message begins that the room itself wrote, which nobody posted."""

ROOM_CLOSED = "room_closed"
KEYLESS = "without "
"""How the key of a posting begins that was sent without one: it is the recording's name for it."""

SHOWN_CHARS = 60  # of a text, in a finding


@dataclass(frozen=True, slots=True)
class Posting:
    """One append, over all its retries; `text` is unique among all postings.

    Args:
        invoked: When it was first tried.
        answered: When the last answer came; None: there was none.
        seq: The number it was acknowledged as; None: it was not.
        refused: The code of a refusal that ended it, such as room_closed.
        ends: It asked for the end of the room.
    """

    room: str
    author: str
    key: str
    text: str
    invoked: float
    answered: float | None
    seq: int | None
    refused: str = ""
    ends: bool = False

    def __str__(self) -> str:
        return f"{_short(self.text)} (key {self.key} of {self.author})"


@dataclass(frozen=True, slots=True)
class Reading:
    """One read by cursor. A reader's name stands for one cursor, which only goes on."""

    room: str
    reader: str
    after: int
    invoked: float
    answered: float
    seqs: tuple[int, ...]
    texts: tuple[str, ...]

    @property
    def end(self) -> int:
        return self.seqs[-1] if self.seqs else self.after

    def __str__(self) -> str:
        return f"{self.reader}'s reading after #{self.after}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole room as it is at the end, read after everything stopped.

    Args:
        messages: seq and text of each message.
        closed_seq: The message that ended it, after which one notice may stand; None: it is open.
        keys: (author, key) → seq, where the store tells.
    """

    room: str
    messages: tuple[tuple[int, str], ...]
    closed_seq: int | None = None
    keys: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])


@dataclass(slots=True)
class History:
    """What happened in some rooms, as far as anybody outside the store can know."""

    postings: list[Posting] = field(default_factory=list[Posting])
    readings: list[Reading] = field(default_factory=list[Reading])
    kept: list[Kept] = field(default_factory=list[Kept])

    def findings(self) -> list[str]:
        """What cannot have happened in a store that keeps its promises; empty: all is well."""
        postings: dict[str, list[Posting]] = defaultdict(list)
        readings: dict[str, list[Reading]] = defaultdict(list)
        for posting in self.postings:
            postings[posting.room].append(posting)
        for reading in self.readings:
            readings[reading.room].append(reading)
        found = [
            f"room {kept.room}: {finding}"
            for kept in self.kept
            for finding in _Room(kept, postings[kept.room], readings[kept.room]).findings()
        ]
        unread = (postings.keys() | readings.keys()) - {kept.room for kept in self.kept}
        found += [f"room {room}: nobody read what it keeps at the end" for room in sorted(unread)]
        return found


class _Room:
    def __init__(
        self, kept: Kept, postings: Sequence[Posting], readings: Sequence[Reading]
    ) -> None:
        self._kept = kept
        self._postings = postings
        self._readings = readings
        self._text_of = dict(kept.messages)
        self._kept_texts = tuple(text for _, text in kept.messages)
        self._is_whole = all(seq == at for at, (seq, _) in enumerate(kept.messages, 1))
        self._seqs_of: dict[str, list[int]] = defaultdict(list)
        for seq, text in kept.messages:
            self._seqs_of[text].append(seq)
        self._known = _Known(self._facts())

    def findings(self) -> Iterator[str]:
        yield from self._numbers()
        yield from self._texts()
        yield from self._acknowledged()
        yield from self._order()
        yield from self._keys()
        yield from self._close()
        for reading in self._readings:
            yield from self._page(reading)
        yield from self._cursors()

    def _facts(self) -> Iterator[tuple[float, int]]:
        """(when, seq): from then on it was known that the room had got as far as `seq`."""
        for posting in self._postings:
            if posting.answered is None:
                continue
            if posting.seq is not None:
                yield posting.answered, posting.seq
            elif posting.refused == ROOM_CLOSED and self._kept.closed_seq is not None:
                yield posting.answered, self._kept.closed_seq
        for reading in self._readings:
            if reading.seqs:
                yield reading.answered, reading.seqs[-1]

    def _numbers(self) -> Iterator[str]:
        expected = 1
        for seq, _ in self._kept.messages:
            if seq < expected:
                yield f"#{seq} is kept twice or out of order: it follows #{expected - 1}"
            elif seq > expected:
                yield f"{_span(expected, seq - 1)} missing: #{seq} follows #{expected - 1}"
            expected = max(expected, seq + 1)

    def _texts(self) -> Iterator[str]:
        """Nothing is kept twice, and nothing that nobody posted or that was refused."""
        by_text: dict[str, Posting] = {}
        for posting in self._postings:
            other = by_text.setdefault(posting.text, posting)
            if (other.author, other.key) != (posting.author, posting.key):
                yield f"{posting} and {other} have one text, so they cannot be told apart"
            if posting.seq is None and posting.refused and posting.text in self._seqs_of:
                yield (
                    f"{posting} was refused with {posting.refused}, "
                    f"but is kept as #{self._seqs_of[posting.text][0]}"
                )
        for text, seqs in self._seqs_of.items():
            if text.startswith(NOTICE):
                continue
            if len(seqs) > 1:
                yield f"{_short(text)} is kept more than once: as {_numbered(seqs)}"
            if text not in by_text:
                yield f"#{seqs[0]} holds {_short(text)}, which nobody posted"

    def _acknowledged(self) -> Iterator[str]:
        """What was acknowledged is kept, under its number."""
        by_seq: dict[int, Posting] = {}
        for posting in self._postings:
            if posting.seq is None:
                continue
            told = f"{posting} was acknowledged as #{posting.seq}"
            other = by_seq.setdefault(posting.seq, posting)
            if other.text != posting.text:
                yield f"{told}, and so was {other}"
            if self._text_of.get(posting.seq) == posting.text:
                continue
            if elsewhere := self._seqs_of.get(posting.text):
                yield f"{told}, but is kept as {_numbered(elsewhere)}"
            elif posting.seq in self._text_of:
                kept = _short(self._text_of[posting.seq])
                yield f"{told}, but is lost: #{posting.seq} holds {kept}"
            else:
                yield f"{told}, but is lost"

    def _order(self) -> Iterator[str]:
        """What was first tried after a number was known has a higher one."""
        for posting in self._postings:
            seq = posting.seq
            if seq is None:
                seq = min(self._seqs_of.get(posting.text, ()), default=None)
            known = self._known.before(posting.invoked)
            if seq is not None and seq <= known:
                yield f"{posting} was first tried when #{known} was known, but became #{seq}"

    def _keys(self) -> Iterator[str]:
        """A key is one message."""
        by_key: dict[tuple[str, str], Posting] = {}
        for posting in self._postings:
            name = (posting.author, posting.key)
            if posting.seq is not None:
                other = by_key.setdefault(name, posting)
                if (other.seq, other.text) != (posting.seq, posting.text):
                    yield (
                        f"key {posting.key} of {posting.author} stands for two messages: "
                        f"#{other.seq} {_short(other.text)} and #{posting.seq} "
                        f"{_short(posting.text)}"
                    )
            if self._kept.keys and not posting.key.startswith(KEYLESS):
                yield from self._kept_key(posting)
        by_seq: dict[int, tuple[str, str]] = {}
        for name, seq in self._kept.keys.items():
            if by_seq.setdefault(seq, name) != name:
                yield f"#{seq} is kept under two keys: {by_seq[seq]} and {name}"

    def _kept_key(self, posting: Posting) -> Iterator[str]:
        seq = self._kept.keys.get((posting.author, posting.key))
        at = self._seqs_of.get(posting.text, [])
        if seq is None and at:
            yield f"{posting} is kept as {_numbered(at)}, but its key is not"
        elif seq is not None and seq not in at:
            is_at = _numbered(at) or "nowhere"
            yield f"{posting} is kept {is_at}, but its key stands for #{seq}"

    def _close(self) -> Iterator[str]:
        """At most one end, for which somebody asked, and nothing after it."""
        closed_seq = self._kept.closed_seq
        asked = [posting for posting in self._postings if posting.ends]
        ended = {posting.seq: posting for posting in asked if posting.seq is not None}
        if len(ended) > 1:
            yield f"it was closed more than once: as {_numbered(sorted(ended))}"
        for posting in ended.values():
            if posting.seq != closed_seq:
                is_so = "it is open" if closed_seq is None else f"it was closed as #{closed_seq}"
                yield f"{posting} was told that it closed it as #{posting.seq}, but {is_so}"
        if closed_seq is not None:
            if not asked:
                yield f"it is closed as #{closed_seq}, but nobody asked for its end"
            yield from self._after_end(closed_seq)
        yield from self._refusals(min((posting.invoked for posting in asked), default=None))

    def _after_end(self, end: int) -> Iterator[str]:
        if end not in self._text_of:
            yield f"it is closed as #{end}, which is not kept"
            return
        is_notice = self._text_of[end].startswith(NOTICE)
        for seq, text in self._kept.messages:
            closing = seq == end + 1 and text.startswith(NOTICE) and not is_notice
            if seq > end and not closing:
                yield f"#{seq} {_short(text)} is kept after the end, which is #{end}"

    def _refusals(self, asked_at: float | None) -> Iterator[str]:
        """Nobody is told of an end before somebody asked for it (the first at `asked_at`)."""
        for posting in self._postings:
            if posting.seq is not None or posting.refused != ROOM_CLOSED:
                continue
            told = f"{posting} was refused with {ROOM_CLOSED}"
            if asked_at is None or (posting.answered is not None and posting.answered < asked_at):
                yield f"{told} before anybody asked for an end"
            elif self._kept.closed_seq is None:
                yield f"{told}, but it is open"

    def _page(self, reading: Reading) -> Iterator[str]:
        """A page follows its cursor without gaps, is what is kept, and is not stale."""
        if not self._is_exact(reading):
            yield from self._deviations(reading)
        known = self._known.before(reading.invoked)
        if not reading.seqs and reading.after < known:
            yield f"{reading} is empty, although #{known} was known before"

    def _is_exact(self, reading: Reading) -> bool:
        """Whether it shows what is kept there; quick, as nearly all do."""
        after, end = reading.after, reading.after + len(reading.seqs)
        return (
            self._is_whole
            and reading.seqs == tuple(range(after + 1, end + 1))
            and reading.texts == self._kept_texts[after:end]
        )

    def _deviations(self, reading: Reading) -> Iterator[str]:
        for before, seq in pairwise((reading.after, *reading.seqs)):
            if seq != before + 1:
                yield f"{reading} shows #{seq} after #{before}"
        if len(reading.seqs) != len(reading.texts):
            yield f"{reading} has {len(reading.seqs)} numbers and {len(reading.texts)} texts"
        for seq, text in zip(reading.seqs, reading.texts, strict=False):
            kept = self._text_of.get(seq)
            if kept is None:
                yield f"{reading} shows #{seq} {_short(text)}, which is not kept"
            elif kept != text:
                yield f"{reading} shows #{seq} as {_short(text)}, kept is {_short(kept)}"

    def _cursors(self) -> Iterator[str]:
        """Whoever goes on from his cursor gets every message once and in order."""
        by_reader: dict[str, list[Reading]] = defaultdict(list)
        for reading in self._readings:
            by_reader[reading.reader].append(reading)
        for readings in by_reader.values():
            readings.sort(key=lambda reading: reading.invoked)
            for before, reading in pairwise(readings):
                if reading.after > before.end:
                    skipped = _span(before.end + 1, reading.after)
                    yield f"{reading} follows one that ended with #{before.end}: {skipped} skipped"
                elif reading.after < before.end:
                    yield f"{reading} goes back: the one before it ended with #{before.end}"


class _Known:
    """The highest number that was known before a time, from (when, seq) in any order."""

    def __init__(self, facts: Iterable[tuple[float, int]]) -> None:
        self._times: list[float] = []
        self._highest: list[int] = []
        for when, seq in sorted(facts):
            self._times.append(when)
            self._highest.append(max(seq, self._highest[-1] if self._highest else 0))

    def before(self, when: float) -> int:
        count = bisect_left(self._times, when)
        return self._highest[count - 1] if count else 0


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…")


def _span(first: int, last: int) -> str:
    return f"#{first} is" if first == last else f"#{first} to #{last} are"


def _numbered(seqs: Iterable[int]) -> str:
    return ", ".join(f"#{seq}" for seq in seqs)
