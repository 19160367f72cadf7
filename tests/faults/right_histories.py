"""Histories that a right store can leave, made by chance, and what can be wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from random import Random

from faults.history import NOTICE, ROOM_CLOSED, History, Kept, Posting, Reading

ROOM = "room"
AUTHORS = ("ann", "ben", "cas", "dot")
READERS = ("eve", "fay")
PAGE_MESSAGES = 3
FOUND_OUT_LATE = 0.3  # of postings, and as many whose outcome nobody finds out


class RightStore:
    """Takes one step of one posting or reading at a time, in an order that chance decides."""

    def __init__(self, chance: Random, steps: int, *, may_end: bool = True) -> None:
        self._chance = chance
        self._clock = count(1)
        self._numbers = count(1)
        self._messages: list[str] = []
        self._keys: dict[tuple[str, str], int] = {}
        self._closed_seq: int | None = None
        self._calls: dict[str, Posting] = {}  # invoked, and not yet taken up
        self._taken: dict[str, Posting] = {}  # done, and not yet answered
        self._asked: dict[str, float] = {}  # when a reader asked for his page
        self._cursors = dict.fromkeys(READERS, 0)
        self._end_at = chance.randrange(steps * 2) if may_end else -1
        self.history = History()
        for step in range(steps):
            if chance.random() < 0.25:
                self._read_on(chance.choice(READERS))
            else:
                self._post_on(chance.choice(AUTHORS), ends=step == self._end_at)
        for author, posting in {**self._calls, **self._taken}.items():
            self._leave_unknown(author, posting)
        messages = tuple(enumerate(self._messages, 1))
        self.history.kept.append(Kept(ROOM, messages, self._closed_seq, self._keys))

    def _post_on(self, author: str, *, ends: bool) -> None:
        if author in self._taken:
            posting = self._taken.pop(author)
            if self._chance.random() < FOUND_OUT_LATE:
                self._leave_unknown(author, posting)
            else:
                self.history.postings.append(replace(posting, answered=next(self._clock)))
        elif author in self._calls:
            posting = self._calls.pop(author)
            if self._chance.random() < FOUND_OUT_LATE / 3:
                self._leave_unknown(author, posting)  # it never arrived
            else:
                self._taken[author] = self._done(posting)
        else:
            number = next(self._numbers)
            key, text = f"k{number}", f"{author} says {number}"
            self._calls[author] = Posting(
                ROOM, author, key, text, next(self._clock), None, None, ends=ends
            )

    def _done(self, posting: Posting) -> Posting:
        if self._closed_seq is not None:
            return replace(posting, refused=ROOM_CLOSED)
        self._messages.append(posting.text)
        seq = self._keys[posting.author, posting.key] = len(self._messages)
        if posting.ends:
            self._closed_seq = seq
            self._messages.append(NOTICE + "it has ended")
        return replace(posting, seq=seq)

    def _leave_unknown(self, author: str, posting: Posting) -> None:
        self.history.postings.append(replace(posting, answered=None, seq=None, refused=""))

    def _read_on(self, reader: str) -> None:
        if reader not in self._asked:
            self._asked[reader] = next(self._clock)
            return
        after = self._cursors[reader]
        texts = tuple(self._messages[after : after + self._chance.randint(1, PAGE_MESSAGES)])
        seqs = tuple(range(after + 1, after + 1 + len(texts)))
        invoked = self._asked.pop(reader)
        self.history.readings.append(
            Reading(ROOM, reader, after, invoked, next(self._clock), seqs, texts)
        )
        self._cursors[reader] = after + len(texts)


# ---- what can go wrong --------------------------------------------------------------------------

Wrong = Callable[[History, Random], bool]
"""Spoils a history; False when it has nothing in which that would show."""


def _kept_as(history: History, texts: Sequence[str]) -> None:
    kept = history.kept[0]
    history.kept[0] = replace(kept, messages=tuple(enumerate(texts, 1)))


def _texts(history: History) -> list[str]:
    return [text for _, text in history.kept[0].messages]


def _known_seqs(history: History) -> list[int]:
    told = {posting.seq for posting in history.postings if posting.seq is not None}
    return sorted(told.union(*(reading.seqs for reading in history.readings)))


def lost(history: History, chance: Random) -> bool:
    """A message that somebody knows is gone, and those after it have moved up."""
    if not (known := _known_seqs(history)):
        return False
    texts = _texts(history)
    del texts[chance.choice(known) - 1]
    _kept_as(history, texts)
    return True


def left_out(history: History, chance: Random) -> bool:
    """A message is gone and its number with it."""
    if not (known := _known_seqs(history)):
        return False
    kept, gone = history.kept[0], chance.choice(known)
    messages = tuple(one for one in kept.messages if one[0] != gone)
    history.kept[0] = replace(kept, messages=messages)
    return True


def doubled(history: History, chance: Random) -> bool:
    if not (texts := [text for text in _texts(history) if not text.startswith(NOTICE)]):
        return False
    _kept_as(history, [*_texts(history), chance.choice(texts)])
    return True


def swapped(history: History, chance: Random) -> bool:
    """Two messages, of which somebody knows one, have changed places."""
    texts, known = _texts(history), _known_seqs(history)
    if len(texts) < 2 or not known:
        return False
    one = chance.choice(known) - 1
    other = chance.choice([at for at in range(len(texts)) if at != one])
    texts[one], texts[other] = texts[other], texts[one]
    _kept_as(history, texts)
    return True


def reordered(history: History, chance: Random) -> bool:
    """Two postings, one after the other, have each other's number, and all agree in that."""
    acknowledged = [one for one in history.postings if one.seq is not None and not one.ends]
    pairs = [
        (one, other)
        for one in acknowledged
        for other in acknowledged
        if one.answered is not None and one.answered < other.invoked
    ]
    if not pairs:
        return False
    one, other = chance.choice(pairs)
    history.postings.remove(one)
    history.postings.remove(other)
    history.postings += [replace(one, seq=other.seq), replace(other, seq=one.seq)]
    exchanged = {one.text: other.text, other.text: one.text}
    _kept_as(history, [exchanged.get(text, text) for text in _texts(history)])
    for at, reading in enumerate(history.readings):
        texts = tuple(exchanged.get(text, text) for text in reading.texts)
        history.readings[at] = replace(reading, texts=texts)
    history.kept[0] = replace(history.kept[0], keys={})
    return True


def skipped(history: History, chance: Random) -> bool:
    """A page lacks a message before its last one."""
    return _spoilt(history, chance, 2, lambda page: page[:-2] + page[-1:])


def shown_twice(history: History, chance: Random) -> bool:
    return _spoilt(history, chance, 1, lambda page: [*page, page[-1]])


def shown_backwards(history: History, chance: Random) -> bool:
    return _spoilt(history, chance, 2, lambda page: page[::-1])


def not_shown(history: History, chance: Random) -> bool:
    """A reader did not get the last message of a page, and goes on as if he had."""
    names = [reading.reader for reading in history.readings]
    later = [
        at
        for at, reading in enumerate(history.readings)
        if reading.seqs and reading.reader in names[at + 1 :]
    ]
    return _spoilt_at(history, chance, later, lambda page: page[:-1])


Page = list[tuple[int, str]]


def _spoilt(history: History, chance: Random, least: int, change: Callable[[Page], Page]) -> bool:
    found = [at for at, one in enumerate(history.readings) if len(one.seqs) >= least]
    return _spoilt_at(history, chance, found, change)


def _spoilt_at(
    history: History, chance: Random, places: Sequence[int], change: Callable[[Page], Page]
) -> bool:
    if not places:
        return False
    at = chance.choice(places)
    reading = history.readings[at]
    page = change(list(zip(reading.seqs, reading.texts, strict=True)))
    seqs, texts = tuple(seq for seq, _ in page), tuple(text for _, text in page)
    history.readings[at] = replace(reading, seqs=seqs, texts=texts)
    return True


WRONGS: tuple[Wrong, ...] = (
    lost,
    left_out,
    doubled,
    swapped,
    reordered,
    skipped,
    shown_twice,
    shown_backwards,
    not_shown,
)
