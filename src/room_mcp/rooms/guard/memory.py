"""What a room remembers of its talk, and how it judges the next message by it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from .features import Features, pack, unpack
from .recall import ENTRY_BYTES, Recall
from .signals import (
    COUNTER_COURTESY,
    MIN_ASK_WORDS,
    NO_SIGNALS,
    WARM,
    News,
    Signals,
    courtesy_of,
    is_rhetorical,
    keeps,
    signals_of,
)
from .sketch import Said, likeness, said
from .tokens import HASHED
from .voices import CLEAN, Standing, Turn, Voices

Numbers = Literal["progress", "ignore"]

VERSION = 1  # of the snapshot
MAX_WORDS_KEPT = 20_000  # content words
MAX_FACTS_KEPT = 4_096  # numbers, links and code lines, each
NEAR = 8  # messages that a new one is compared with
COUNTER_SEEN = 3  # of the near messages: a slot that so many filled may hold a counter
COUNTER_STEP = 2  # at most; work goes on in larger or uneven steps

EXEMPT = frozenset(
    {"accept", "ack", "cancel", "decision", "handoff", "heartbeat", "pass", "progress", "refuse"}
)


class Verdict(NamedTuple):
    """What the guard thinks of one message, and where its sender stands after it.

    `unprogress` is the largest signal, 0 to 1; `asks`: it is a question in new words; `fact`: it
    brings a number, id, link or code line that the room did not know. `score` is held against the
    thresholds, 0 to 12; `own` is the sender's alone. `partner` is whom the sender loops with, None
    for nobody or many. `dry` counts the messages of these since the last fact or question. A
    message that is not `scored` has no signals.
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


class Memory:
    """The guard's state of one room; the state before a message decides about it.

    Messages come in the order of their seq. Equal messages give equal states everywhere.
    """

    __slots__ = (
        "_asker",
        "_code",
        "_count",
        "_exempt",
        "_ignore",
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
        self._asker: str | None = None  # sender of the last message, when it was a question

    def judge(
        self, of: Features, sender: str, *, type: str = "note", human: bool = False
    ) -> Verdict:
        """Where `sender` would stand after this message; nothing changes."""
        return self._judge(of, sender, type, human)[0]

    def take(
        self, of: Features, sender: str, *, type: str = "note", human: bool = False
    ) -> Verdict:
        """Remember the message; gives what `judge` would have given."""
        verdict, standing = self._judge(of, sender, type, human)
        if human:
            self._voices.forget()
        elif verdict.scored or verdict.fact:
            self._voices.hear(sender, standing, verdict.progress)
        if verdict.scored:
            self._near.append(said(of.sketch, of.numbers))
            self._asker = sender if of.asks and verdict.progress else None
        self._words.meet(of.content)
        if of.numbers:
            self._numbers.meet([number for number, _ in of.numbers])
        self._links.meet(of.links)
        self._code.meet(of.code)
        self._count += 1
        return verdict

    # ---- judging ----------------------------------------------------------------------------

    def _judge(self, of: Features, sender: str, type: str, human: bool) -> tuple[Verdict, Standing]:
        news, courtesy = self._news(of, sender)
        scored = not human and type not in self._exempt
        # The first message of a room cannot repeat anything.
        signals = signals_of(of, news, courtesy) if scored and self._count else NO_SIGNALS
        asks = scored and news.asks and not is_rhetorical(of, news)
        progress = asks or news.facts > 0
        turn = Turn(max(signals), progress, keeps(of, news, courtesy), of.warmth >= WARM)
        if scored or news.facts:
            standing = self._voices.after(sender, turn)
        else:
            standing = self._voices.standing(sender)
        if human:
            standing = CLEAN
        verdict = Verdict(
            sender,
            signals,
            turn.unprogress,
            asks,
            news.facts > 0,
            standing.score,
            standing.own.score,
            standing.partner,
            standing.dry,
            scored,
        )
        return verdict, standing

    def _news(self, of: Features, sender: str) -> tuple[News, float]:
        """What is new in a message, and how courteous it is."""
        words = self._words.new_in(of.content)
        novelty = words / len(of.content) if of.content else 0.0
        asks = of.asks and words >= MIN_ASK_WORDS
        courtesy = courtesy_of(of, words, novelty, asks)
        numbers = self._new_numbers(of, courtesy)
        links = self._links.new_in(of.links)
        code = self._code.new_in(of.code)
        alike = likeness(of.sketch, self._near)
        answers = self._asker is not None and self._asker != sender
        warm = self._voices.warm_of(sender)
        facts = numbers + links + code
        news = News(words, novelty, numbers, links, code, facts, asks, alike, answers, warm)
        return news, courtesy

    def _new_numbers(self, of: Features, courtesy: float) -> int:
        """New numbers, without those of a counter that only decorates a courtesy."""
        if not of.numbers:
            return 0
        doubt = self._ignore or courtesy >= COUNTER_COURTESY
        return sum(
            number not in self._numbers and not (doubt and self._counts_up(slot, number))
            for number, slot in of.numbers
        )

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
        """What the memory takes in this process, estimated."""
        kept = len(self._words) + len(self._numbers) + len(self._links) + len(self._code)
        near = sum(len(one.sketch) + len(one.slots) for one in self._near)
        return 4_000 + ENTRY_BYTES * kept + 100 * near + 400 * len(self._voices)

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
            "asker": self._asker,
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
        memory._asker = kept["asker"]
        memory._voices = Voices.restore(kept["voices"])
        return memory
