"""What a room remembers of its talk, and how it judges the next message by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from .features import Features, pack, unpack
from .floor import Floor
from .levels import MAX_SCORE
from .recall import ENTRY_BYTES, Recall
from .signals import (
    COUNTER_COURTESY,
    HOT,
    LINE_WORDS,
    MIN_ASK_WORDS,
    NO_SIGNALS,
    POLITE,
    WARM,
    Reading,
    Signals,
    courtesy_of,
    heat_of,
    is_decoration,
    is_report,
    keeps,
    signals_of,
)
from .sketch import Said, likeness, said
from .tokens import HASHED
from .voices import CLEAN, Standing, Turn, Voices

Numbers = Literal["progress", "ignore"]

VERSION = 2  # of the snapshot
MAX_WORDS_KEPT = 20_000  # content words
MAX_FACTS_KEPT = 4_096  # numbers, links and code lines, each
NEAR = 8  # messages that a new one is compared with
COUNTER_SEEN = 3  # of the near messages: a slot that so many filled may hold a counter
COUNTER_STEP = 2  # at most; work goes on in larger or uneven steps
AGAIN_LIKENESS, AGAIN_NOVELTY = 0.7, 0.1  # of a longer text that has been said before

# As measured with tracemalloc in CPython 3.11.
EMPTY_BYTES = 4_000
NEAR_BYTES = 1_000  # of a near message, with empty tables
HASH_BYTES = 100  # of each hash in its tuple and its set

REPORT_SCORE = 4.5  # no higher by reports alone: they deserve a notice, but are no loop
UNSURE_SCORE = 8.5  # no higher by praise alone, nor while work is under way: below every hush
MARK_COUNTS_FROM = 6.0  # a lone "###STOP###" before is taken at its word

EXEMPT = frozenset(
    {"accept", "ack", "cancel", "decision", "handoff", "heartbeat", "pass", "progress", "refuse"}
)


class Verdict(NamedTuple):
    """What the guard thinks of one message, and where its sender stands after it.

    `unprogress` is the largest signal, 0 to 1; `asks`: it is a question in new words; `fact`: it
    brings a number, id, link or code line that the room did not know, other than to praise.
    `score` is held against the thresholds, 0 to 12; `own` is the sender's alone. `partner` is whom
    the sender loops with, None for nobody or many. `dry` counts the messages of these since the
    last fact or question. A message that is not `scored` has no signals.
    """

    sender: str
    signals: Signals
    unprogress: float
    asks: bool
    fact: bool
    score: float
    own: float
    partner: str | None
    dry: int
    scored: bool

    @property
    def progress(self) -> bool:
        return self.asks or self.fact


class Judged(NamedTuple):
    """A judgement, and what it is about."""

    of: Features
    sender: str
    type: str
    human: bool
    verdict: Verdict
    standing: Standing
    is_report: bool

    def is_about(self, of: Features, sender: str, type: str, human: bool) -> bool:
        return (
            (self.of is of or self.of == of)
            and self.sender == sender
            and self.type == type
            and self.human == human
        )


def type_as(scored: bool) -> str:
    """A type that a memory scores, or one of which it takes the facts alone."""
    return "note" if scored else "ack"


class Memory:
    """The guard's state of one room; the state before a message decides about it.

    Messages come in the order of their seq. Equal messages give equal states everywhere.
    """

    __slots__ = (
        "_code",
        "_count",
        "_exempt",
        "_floor",
        "_ignore",
        "_judged",
        "_links",
        "_near",
        "_numbers",
        "_voices",
        "_words",
    )

    def __init__(self, *, numbers: Numbers = "progress", exempt: Collection[str] = EXEMPT) -> None:
        """`numbers="ignore"`: a number in a slot that is filled again and again is no fact.

        `exempt` are the types that are not scored; a fact in them is progress nevertheless.
        """
        self._ignore = numbers == "ignore"
        self._exempt = frozenset(exempt)
        self._count = 0
        self._words = Recall(MAX_WORDS_KEPT)
        self._numbers = Recall(MAX_FACTS_KEPT)
        self._links = Recall(MAX_FACTS_KEPT)
        self._code = Recall(MAX_FACTS_KEPT)
        self._near: deque[Said] = deque(maxlen=NEAR)
        self._voices = Voices()
        self._floor = Floor()
        self._judged: Judged | None = None  # the last judgement, until a message is taken

    def judge(
        self, of: Features, sender: str, *, type: str = "note", human: bool = False
    ) -> Verdict:
        """Where `sender` would stand after this message; nothing changes."""
        judged = self._judged = self._judge(of, sender, type, human)
        return judged.verdict

    def take(
        self, of: Features, sender: str, *, type: str = "note", human: bool = False
    ) -> Verdict:
        """Remember the message; gives what `judge` would have given, or has just given."""
        judged, self._judged = self._judged, None
        if judged is None or not judged.is_about(of, sender, type, human):
            judged = self._judge(of, sender, type, human)
        verdict = judged.verdict
        if human:
            self._voices.forget()
        elif verdict.scored or verdict.fact:
            self._voices.hear(sender, judged.standing, verdict.progress)
        report = verdict.scored and judged.is_report
        self._floor.take(sender, verdict.progress, verdict.asks, report, report and of.asks)
        if verdict.scored:
            self._near.append(said(of.sketch, of.numbers))
        self._words.meet(of.content)
        if of.numbers:
            self._numbers.meet([number for number, _ in of.numbers])
        if of.links:
            self._links.meet(of.links)
        if of.code:
            self._code.meet(of.code)
        self._count += 1
        return verdict

    # ---- judging ----------------------------------------------------------------------------

    def _judge(self, of: Features, sender: str, type: str, human: bool) -> Judged:
        read = self._read(of, sender)
        scored = not human and type not in self._exempt
        signals, unprogress = NO_SIGNALS, 0.0
        if scored and not self._is_first_word(of, sender):
            signals = signals_of(of, read)
            unprogress = max(signals)
        decorates = is_decoration(read)
        asks = scored and read.asks and not decorates
        fact = read.facts > 0 and not decorates
        if human:
            standing = CLEAN
        elif scored or fact:
            turn = Turn(
                unprogress,
                asks or fact,
                keeps(of, read, decorates),
                of.warmth >= WARM or read.heat >= HOT,
                self._highest(signals, unprogress, read),
            )
            standing = self._voices.after(sender, turn)
        else:
            standing = self._voices.standing(sender)
        verdict = Verdict(
            sender,
            signals,
            unprogress,
            asks,
            fact,
            standing.score,
            standing.own.score,
            standing.partner,
            standing.dry,
            scored,
        )
        return Judged(of, sender, type, human, verdict, standing, read.is_report)

    def _is_first_word(self, of: Features, sender: str) -> bool:
        """Whether it cannot go on with anything: a room's first message, or a sign to end."""
        if not self._count:
            return True
        return of.is_mark and self._voices.standing(sender).score < MARK_COUNTS_FROM

    def _highest(self, signals: Signals, unprogress: float, read: Reading) -> float:
        """The score that this message cannot lift anybody above."""
        if read.is_report or (read.is_log and not signals.degenerate):
            return REPORT_SCORE
        is_praise = signals.courtesy == unprogress > read.courtesy
        if is_praise or read.is_masked or self._floor.has_report:
            return UNSURE_SCORE
        return MAX_SCORE

    def _read(self, of: Features, sender: str) -> Reading:
        new = self._words.new_in(of.content)
        novelty = new / len(of.content) if of.content else 0.0
        asks = of.asks and new >= MIN_ASK_WORDS
        asks_little = of.asks and new > 0 and novelty >= 0.5
        courtesy = courtesy_of(of, new, novelty, asks or asks_little)
        alike = likeness(of.sketch, self._near)
        is_again = of.words > LINE_WORDS and (alike >= AGAIN_LIKENESS or novelty <= AGAIN_NOVELTY)
        doubt = is_again or courtesy >= COUNTER_COURTESY
        numbers, counters = self._new_numbers(of, doubt) if of.numbers else (0, 0)
        links = self._links.new_in(of.links) if of.links else 0
        code = self._code.new_in(of.code) if of.code else 0
        if code == 1 and courtesy >= POLITE:
            code = 0  # the brackets of "[turn 3/40] Thank you!" are no code
        heat = heat_of(of)
        floor, voices = self._floor, self._voices
        is_receipt = floor.awaits(sender) and voices.may_acknowledge(sender)
        return Reading(
            new,
            novelty,
            numbers,
            links,
            code,
            numbers + links + code,
            asks or (asks_little and courtesy < COUNTER_COURTESY),
            alike,
            is_again and counters > 0,
            courtesy,
            heat,
            is_receipt,
            is_receipt and floor.awaits_answer(sender),
            is_report(of, courtesy, heat, floor.is_polled(sender)),
            voices.is_log(sender),
            voices.warm_of(sender),
        )

    def _new_numbers(self, of: Features, doubt: bool) -> tuple[int, int]:
        """New numbers that are facts, and, where there is doubt, those that only count up."""
        new = [(number, slot) for number, slot in of.numbers if number not in self._numbers]
        doubt = doubt or self._ignore
        counters = sum(self._counts_up(slot, number) for number, slot in new) if doubt else 0
        return len(new) - counters, counters

    def _counts_up(self, slot: int, number: int) -> bool:
        """Whether the slot was filled often, and by small steps or by what has no steps."""
        seen = [near.slots[slot] for near in self._near if slot in near.slots]
        if len(seen) < COUNTER_SEEN:
            return False
        steps = (abs(number - one) for one in seen)
        return self._ignore or number >= HASHED or any(step <= COUNTER_STEP for step in steps)

    # ---- keeping ----------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """What the memory takes in this process, estimated from above."""
        kept = len(self._words) + len(self._numbers) + len(self._links) + len(self._code)
        near = sum(len(one.sketch) + len(one.slots) for one in self._near)
        return (
            EMPTY_BYTES
            + ENTRY_BYTES * kept
            + NEAR_BYTES * len(self._near)
            + HASH_BYTES * near
            + self._voices.size_bytes
            + self._floor.size_bytes
        )

    def snapshot(self) -> dict[str, Any]:
        """The state as a JSON value; at most 200 KiB, and 100 bytes for each sender."""
        return {
            "version": VERSION,
            "count": self._count,
            "words": [pack(one) for one in self._words.generations()],
            "numbers": [pack(one) for one in self._numbers.generations()],
            "links": [pack(one) for one in self._links.generations()],
            "code": [pack(one) for one in self._code.generations()],
            "near": [
                [pack(one.sketch), pack(list(one.slots)), pack(list(one.slots.values()))]
                for one in self._near
            ],
            "floor": self._floor.snapshot(),
            "voices": self._voices.snapshot(),
        }

    @classmethod
    def restore(
        cls,
        kept: dict[str, Any],
        *,
        numbers: Numbers = "progress",
        exempt: Collection[str] = EXEMPT,
    ) -> Memory | None:
        """The memory that gave the snapshot; None when another version made it."""
        if kept["version"] != VERSION:
            return None
        memory = cls(numbers=numbers, exempt=exempt)
        memory._count = kept["count"]
        memory._words.restore(*map(unpack, kept["words"]))
        memory._numbers.restore(*map(unpack, kept["numbers"]))
        memory._links.restore(*map(unpack, kept["links"]))
        memory._code.restore(*map(unpack, kept["code"]))
        memory._near.extend(
            said(unpack(pairs), tuple(zip(unpack(numbers), unpack(slots), strict=True)))
            for pairs, slots, numbers in kept["near"]
        )
        memory._floor = Floor.restore(kept["floor"])
        memory._voices = Voices.restore(kept["voices"])
        return memory
