"""Labelled conversations: how they are read, who looks for loops in them, and how well.

One conversation is a line of JSON. Only its messages are required:

    {"id": "chatdev/qwen/12", "source": "where it is from", "loop_start": 4, "loop_end": null,
     "messages": [{"sender": "a", "content": "Hello", "type": "note"}, ...]}

A loop is given by the index of its first and last message; no start means no loop, no end that it
lasts to the end.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from room_mcp.rooms.guard import MAX_SCORE, Memory, features

CLOSE = 9.0  # score that may close a room
SLACK = 2  # messages before and after the label in which an alarm is a hit
REARM = 8  # messages after an alarm before the next one counts


class BadLine(Exception):
    """A line that is no labelled conversation; says which line, and what is wrong with it."""


class Line(NamedTuple):
    sender: str
    content: str
    type: str = "note"


@dataclass(frozen=True)
class Talk:
    """A conversation; `loop` are the indexes of its messages that loop, empty for none."""

    id: str
    source: str
    lines: tuple[Line, ...]
    loop: range

    @property
    def senders(self) -> set[str]:
        return {line.sender for line in self.lines}


# ---- reading ------------------------------------------------------------------------------------


def talks_in(path: Path) -> dict[str, list[Talk]]:
    """The conversations of a file, or of all *.jsonl below a folder, by the name of the file.

    Raises:
        BadLine: A line cannot be used, or there is none.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    found = {str(file.relative_to(path) if file != path else file.name): file for file in files}
    read = {name: list(_talks_of(name, file)) for name, file in found.items()}
    read = {name: talks for name, talks in read.items() if talks}
    if not read:
        raise BadLine(f"{path}: no such file, or no conversation in any *.jsonl there")
    return read


def _talks_of(name: str, file: Path) -> Iterator[Talk]:
    for number, text in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if not text.strip():
            continue
        try:
            yield talk_from(json.loads(text), f"{Path(name).stem}/{number}")
        except (ValueError, RecursionError) as wrong:  # a JSON error is a ValueError
            raise BadLine(f"{name}, line {number}: {wrong}") from None


def talk_from(value: Any, default_id: str) -> Talk:
    """The conversation that a line of JSON gives.

    Raises:
        ValueError: It gives none; the message names the field.
    """
    if not isinstance(value, dict):
        raise ValueError(f"a conversation is an object, not {_kind(value)}")
    rows = value.get("messages")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"messages must be a list with something in it, not {_kind(rows)}")
    lines = tuple(_line_from(row, at) for at, row in enumerate(rows))
    id = _text(value, "id", default_id) or default_id
    return Talk(id, _text(value, "source", ""), lines, _loop_of(value, len(lines)))


def _line_from(row: Any, at: int) -> Line:
    if not isinstance(row, dict):
        raise ValueError(f"messages[{at}] must be an object, not {_kind(row)}")
    for name in ("sender", "content"):
        if not isinstance(row.get(name), str):
            raise ValueError(f"messages[{at}].{name} must be text, not {_kind(row.get(name))}")
    return Line(row["sender"], row["content"], _text(row, "type", "note"))


def _loop_of(value: Mapping[str, Any], length: int) -> range:
    start, end = (_index(value, name, length) for name in ("loop_start", "loop_end"))
    if start is None:
        if end is not None:
            raise ValueError("loop_end stands without loop_start")
        return range(0)
    if end is not None and end < start:
        raise ValueError(f"loop_end {end} lies before loop_start {start}")
    return range(start, length if end is None else end + 1)


def _index(value: Mapping[str, Any], name: str, length: int) -> int | None:
    index = value.get(name)
    if index is None:
        return None
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < length:
        raise ValueError(f"{name} must be null or from 0 to {length - 1}, not {index!r}")
    return index


def _text(value: Mapping[str, Any], name: str, default: str) -> str:
    text = value.get(name)
    if text is None:
        return default
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text, not {_kind(text)}")
    return text


def _kind(value: Any) -> str:
    names = {type(None): "missing or null", dict: "an object", list: "a list", str: "text"}
    return names.get(type(value), repr(value))


def source_of(talk: Talk) -> str:
    """The first part of an id: "tau/airline/77" is of tau. Without parts, what `source` says."""
    head, slash, _ = talk.id.partition("/")
    return head if slash else talk.source or talk.id


# ---- who looks for loops ------------------------------------------------------------------------

Scorer = Callable[[Talk], list[float]]


def guard(talk: Talk) -> list[float]:
    memory = Memory()
    return [
        memory.take(features(line.content), line.sender, type=line.type).score
        for line in talk.lines
    ]


def max_turns(limit: int) -> Scorer:
    return lambda talk: [MAX_SCORE * (at + 1 >= limit) for at in range(len(talk.lines))]


def exact_repeat(times: int) -> Scorer:
    """The last messages were `times` times the same, or the same two in turns."""

    def score(talk: Talk) -> list[float]:
        texts = [line.content.strip() for line in talk.lines]
        run, scores = 0, [0.0, 0.0]
        for before, text in zip(texts, texts[2:], strict=False):
            run = run + 1 if text == before else 0
            scores.append(MAX_SCORE * (run >= 2 * (times - 1)))
        return scores[: len(texts)]

    return score


_SIGNS = re.compile(r"TERMINATE|TASK_DONE|###STOP###|<INFO>")
_FAREWELLS = re.compile(r"\b(?:goodbye|farewell|bye)\b", re.IGNORECASE)


def text_mention(pattern: re.Pattern[str]) -> Scorer:
    return lambda talk: [MAX_SCORE * bool(pattern.search(line.content)) for line in talk.lines]


# What each baseline may be set to; the first is what is in use elsewhere.
BASELINES: Mapping[str, Mapping[str, Scorer]] = {
    "max turns": {str(limit): max_turns(limit) for limit in (10, 20, 30)},
    "exact repeat": {f"{times}x": exact_repeat(times) for times in (3, 2)},
    "text mention": {"sign": text_mention(_SIGNS), "farewell": text_mention(_FAREWELLS)},
}


# ---- how well -----------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of the alarms at one threshold.

    A hit is a first alarm between SLACK messages before the loop and SLACK after it; an earlier
    one is false, and the loop is missed. `alarms` counts every alarm outside of that, at most one
    in REARM messages, and `premature` the conversations with a score of CLOSE where no loop was.
    """

    hits: int = 0
    false: int = 0
    missed: int = 0
    quiet: int = 0
    alarms: int = 0
    productive: int = 0
    premature: int = 0
    delays: list[int] = field(default_factory=list)

    def add(self, talk: Talk, scores: Sequence[float], threshold: float) -> None:
        loop = talk.loop
        near = range(loop.start - SLACK, loop.stop + SLACK) if loop else loop
        alarms = [at for at, score in enumerate(scores) if score >= threshold]
        hit = bool(alarms) and alarms[0] in near
        self.hits += hit
        self.false += bool(alarms) and not hit
        self.missed += bool(loop) and not hit
        self.quiet += not loop and not alarms
        if hit:
            self.delays.append(alarms[0] - loop.start)
        before = scores[: max(0, near.start)] if loop else scores
        self.premature += max(before, default=0.0) >= CLOSE
        self.productive += len(scores) - len(loop)
        last = -REARM
        for at in alarms:
            if at - last >= REARM:
                last = at
                self.alarms += at not in near

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.false)

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.missed)

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def false_per_1000(self) -> float:
        return 1000 * self.alarms / max(1, self.productive)

    @property
    def delay(self) -> float | None:
        """Messages from the start of a loop to its alarm, the median."""
        return statistics.median(self.delays) if self.delays else None


Scored = Sequence[tuple[Talk, Sequence[float]]]


def scored(talks: Sequence[Talk], scorer: Scorer) -> Scored:
    return [(talk, scorer(talk)) for talk in talks]


def tally(of: Scored, threshold: float) -> Tally:
    result = Tally()
    for talk, scores in of:
        result.add(talk, scores, threshold)
    return result


# ---- what was fitted elsewhere ------------------------------------------------------------------

GRID = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0)  # thresholds to choose from


class Fold(NamedTuple):
    """One source left out: what the other sources chose, and how it did on this one."""

    source: str
    chosen: str
    tally: Tally


def left_out(settings: Mapping[str, tuple[Scored, float]]) -> list[Fold]:
    """For each source the setting with the best F1 on all others, tried on that source.

    Args:
        settings: By name the scores of all conversations, and the threshold they are held against.
    """
    sources = sorted({source_of(talk) for of, _ in settings.values() for talk, _ in of})
    folds: list[Fold] = []
    for source in sources:
        rest = {
            name: tally([one for one in of if source_of(one[0]) != source], threshold)
            for name, (of, threshold) in settings.items()
        }
        chosen = max(rest, key=lambda name: (rest[name].f1, -rest[name].false_per_1000))
        of, threshold = settings[chosen]
        here = [one for one in of if source_of(one[0]) == source]
        folds.append(Fold(source, chosen, tally(here, threshold)))
    return folds


def pooled(folds: Sequence[Fold]) -> Tally:
    total = Tally()
    for fold in folds:
        for name, value in vars(fold.tally).items():
            setattr(total, name, getattr(total, name) + value)
    return total
