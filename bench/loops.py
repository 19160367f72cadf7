"""How well and how fast the guard finds loops in labelled conversations.

    python -m bench.loops FOLDER [--quick]

FOLDER holds `*.jsonl`, one conversation a line: {"id", "source", "messages": [{"sender",
"content", "type"?}], "loop_start", "loop_end"}; a loop is given by the index of its first and last
message, null for none or for the end. A hit is a first alarm between loop_start - 2 and
loop_end + 2; an earlier one is a false alarm and a miss. False alarms per 1,000 count every alarm
outside that span, at most one in 8 messages, over all productive messages. A premature close is a
score of 9 or more before the span, or in a conversation without loop.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from room_mcp.rooms.guard import MAX_SCORE, Features, Memory, features

THRESHOLDS = (4.0, 5.0, 6.0, 9.0)
CLOSE = 9.0
SLACK = 2  # messages before and after the label in which an alarm is a hit
REARM = 8  # messages after an alarm before the next one counts
USUAL = 5.0  # threshold of the tables by source and for busy rooms

Talk = Mapping[str, Any]
Scorer = Callable[[Talk], list[float]]


@dataclass
class Tally:
    hits: int = 0
    false: int = 0
    missed: int = 0
    quiet: int = 0
    alarms: int = 0
    productive: int = 0
    premature: int = 0
    delays: tuple[int, ...] = ()

    def add(self, talk: Talk, scores: Sequence[float], threshold: float) -> None:
        start, end = span(talk)
        alarms = [at for at, score in enumerate(scores) if score >= threshold]
        first = alarms[0] if alarms else None
        if start is None:
            self.false += first is not None
            self.quiet += first is None
            self.premature += max(scores, default=0.0) >= CLOSE
        else:
            hit = first is not None and start - SLACK <= first <= end + SLACK
            self.hits += hit
            self.missed += not hit
            self.false += first is not None and not hit
            self.delays += (first - start,) if hit and first is not None else ()
            self.premature += any(score >= CLOSE for score in scores[: max(0, start - SLACK)])
        self._count_alarms(alarms, len(scores), start, end)

    def _count_alarms(self, alarms: list[int], length: int, start: int | None, end: int) -> None:
        loop = range(0) if start is None else range(start, end + 1)
        near = range(0) if start is None else range(start - SLACK, end + SLACK + 1)
        self.productive += length - len(loop)
        last = -REARM
        for at in alarms:
            if at - last >= REARM:
                last = at
                self.alarms += at not in near

    def row(self) -> str:
        precision = self.hits / max(1, self.hits + self.false)
        recall = self.hits / max(1, self.hits + self.missed)
        f1 = 2 * precision * recall / (precision + recall) if self.hits else 0.0
        delay = f"{statistics.median(self.delays):g}" if self.delays else "-"
        per_1000 = 1000 * self.alarms / max(1, self.productive)
        return (
            f"{precision:6.2f} {recall:6.2f} {f1:6.2f} {self.hits:4} {self.false:4} "
            f"{self.missed:4} {self.quiet:4} {per_1000:7.1f} {delay:>6} {self.premature:9}"
        )


HEAD = f"{'':22}{'P':>6} {'R':>6} {'F1':>6} {'tp':>4} {'fp':>4} {'fn':>4} {'tn':>4} {'fa/1k':>7} {'delay':>6} {'premature':>9}"  # noqa: E501 -- one line of the table


def span(talk: Talk) -> tuple[int | None, int]:
    """First and last index of the loop; None and the last index when there is none."""
    end = talk["loop_end"]
    return talk["loop_start"], len(talk["messages"]) - 1 if end is None else end


# ---- the contestants ----------------------------------------------------------------------------


def guard(talk: Talk) -> list[float]:
    memory = Memory()
    return [
        memory.take(features(one["content"]), one["sender"], type=one.get("type", "note")).score
        for one in talk["messages"]
    ]


def max_turns(limit: int) -> Scorer:
    def score(talk: Talk) -> list[float]:
        return [MAX_SCORE * (at + 1 >= limit) for at in range(len(talk["messages"]))]

    return score


def exact_repeat(talk: Talk) -> list[float]:
    """The last six messages are A-B-A-B-A-B, or all equal."""
    texts = [one["content"].strip() for one in talk["messages"]]
    return [
        MAX_SCORE * (at >= 5 and all(texts[at - back] == texts[at - back - 2] for back in range(4)))
        for at in range(len(texts))
    ]


_MENTION = re.compile(r"\b(TERMINATE|TASK_DONE|STOP|goodbye|farewell|bye)\b", re.IGNORECASE)


def text_mention(talk: Talk) -> list[float]:
    return [MAX_SCORE * bool(_MENTION.search(one["content"])) for one in talk["messages"]]


BASELINES: Mapping[str, Scorer] = {
    "max turns 10": max_turns(10),
    "max turns 20": max_turns(20),
    "exact repeat": exact_repeat,
    "text mention": text_mention,
}


# ---- tables -------------------------------------------------------------------------------------


def tally(talks: Sequence[Talk], scores: Sequence[list[float]], threshold: float) -> Tally:
    result = Tally()
    for talk, one in zip(talks, scores, strict=True):
        result.add(talk, one, threshold)
    return result


def print_detection(talks: Sequence[Talk]) -> None:
    print(HEAD)
    scores = [guard(talk) for talk in talks]
    for threshold in THRESHOLDS:
        print(f"{f'guard, S >= {threshold:g}':22}{tally(talks, scores, threshold).row()}")
    for name, scorer in BASELINES.items():
        row = tally(talks, [scorer(talk) for talk in talks], USUAL).row()
        print(f"{name:22}{row}")


def print_sources(talks: Sequence[Talk]) -> None:
    """All but one source in turn: a source that carries the result shows."""
    print(f"\nleaving one source out, guard, S >= {USUAL:g}\n{HEAD}")
    sources = sorted({source_of(talk) for talk in talks})
    for source in sources:
        rest = [talk for talk in talks if source_of(talk) != source]
        row = tally(rest, [guard(talk) for talk in rest], USUAL).row()
        print(f"{source[:21]:22}{row}")


def source_of(talk: Talk) -> str:
    """The first two parts of an id: "tau/airline-gpt4o/77" is of tau/airline-gpt4o."""
    return "/".join(talk["id"].split("/")[:-1][:2])


def print_busy_rooms(talks: Sequence[Talk]) -> None:
    """A looping pair and a productive one, message by message in one room."""
    loops = [talk for talk in talks if talk["loop_start"] is not None and len(senders(talk)) == 2]
    works = [talk for talk in talks if talk["loop_start"] is None and len(senders(talk)) == 2]
    found = harmed = rooms = 0
    for at, loop in enumerate(loops):
        for work in works[at::7][:4]:
            rooms += 1
            named = named_in(loop, work)
            found += "loop" in named
            harmed += "work" in named
    print(
        f"\nbusy rooms, S >= {USUAL:g}: {rooms} rooms, loop found in {found}, "
        f"a productive sender named in {harmed}"
    )


def senders(talk: Talk) -> set[str]:
    return {one["sender"] for one in talk["messages"]}


def named_in(loop: Talk, work: Talk) -> set[str]:
    """Which of the two pairs the guard names when both talk in turns."""
    memory, named = Memory(), set[str]()
    longest = max(len(loop["messages"]), len(work["messages"]))
    for at in range(longest):
        for pair, talk in (("loop", loop), ("work", work)):
            if at >= len(talk["messages"]):
                continue
            one = talk["messages"][at]
            verdict = memory.take(features(one["content"]), f"{pair} {one['sender']}")
            if verdict.score >= USUAL and (pair == "work" or at >= loop["loop_start"] - SLACK):
                named.add(pair)
    return named


# ---- time and size ------------------------------------------------------------------------------

HOSTILE: Mapping[str, str] = {
    "hyphens": "-",
    "word and hyphens": "a-",
    "slashes": "/",
    "paths": "a/b.c/",
    "digits": "1",
    "digits apart": "1 ",
    "digits and dots": "1.",
    "times": "1:",
    "ids": "A1 ",
    "ids in capitals": "ABCDEF",
    "emoji": "🙏",
    "emoji joined": "👩\u200d💻",
    "one long word": "a",
    "one long hexadecimal": "a1",
    "dots": ".",
    "letters and dots": "a.",
    "apostrophes": "a'",
    "nested brackets": "[",
    "brackets both ways": "{[(<>)]}",
    "lines of code": "a=(b);\n",
    "list marks": "1.\n",
    "line ends": "\n",
    "a line end each": "a\n",
    "blanks": "a ",
    "tabs": "\ta",
    "Chinese": "的一是不了人我在有他",
    "hangul": "각간갇갈",
    "Thai": "กขคงจ",
    "marks": "\u0301\u0323",
    "letter and marks": "e\u0323\u0301",
    "question marks": "?",
    "percent": "5%",
    "underscores": "_a",
    "backslashes": "\\a",
    "courtesy": "thank you ",
    "beginnings of phrases": "have a ",
    "at signs": "@a",
    "half surrogates": "\ud83d",
}


def timed_us(act: Callable[[], object], repeats: int) -> float:
    """The fastest of `repeats` runs: what the machine's other work adds is no property of ours."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


def print_times(talks: Sequence[Talk]) -> None:
    texts = [one["content"] for talk in talks for one in talk["messages"]]
    features("")  # reads the word lists
    reading = sorted(timed_us(lambda text=text: features(text), 3) for text in texts)
    made = [
        [(features(one["content"]), one["sender"]) for one in talk["messages"]] for talk in talks
    ]
    folding = sorted(map(min, zip(*(folding_us(made) for _ in range(3)), strict=True)))
    sizes = sorted(float(len(one.to_json())) for talk in made for one, _ in talk)
    print(f"\nfeatures: {quantiles(reading)}; bars: median 300 µs, worst 10,000 µs")
    print(f"fold:     {quantiles(folding)}; bar: median 30 µs")
    print(f"features as JSON: {quantiles(sizes, 'bytes')}")
    chars = statistics.median(map(len, texts))
    print(f"{len(texts)} messages, median {chars:g} characters")


def folding_us(talks: Sequence[Sequence[tuple[Features, str]]]) -> list[float]:
    """What `take` took, judging included, message by message."""
    took: list[float] = []
    for talk in talks:
        memory = Memory()
        for made, sender in talk:
            began = time.perf_counter()
            memory.take(made, sender)
            took.append((time.perf_counter() - began) * 1e6)
    return took


def quantiles(of: Sequence[float], unit: str = "µs") -> str:
    middle, high = of[len(of) // 2], of[int(len(of) * 0.99)]
    return f"median {middle:.0f}, p99 {high:.0f}, worst {of[-1]:.0f} {unit}"


def print_hostile() -> None:
    """The slowest 8,000 characters, and whether half the input takes half the time."""
    rows: list[tuple[float, float, str]] = []
    for name, piece in HOSTILE.items():
        whole = (piece * 8_000)[:8_000]
        took = timed_us(lambda text=whole: features(text), 3)
        half = timed_us(lambda text=whole[:4_000]: features(text), 3)
        rows.append((took, took / max(half, 1.0), name))
    rows.sort(reverse=True)
    print("\nslowest hostile inputs of 8,000 characters, and their time over that of 4,000:")
    for took, growth, name in rows[:8]:
        print(f"  {took / 1000:6.2f} ms  x{growth:.1f}  {name}")


def print_state(talks: Sequence[Talk]) -> None:
    memory, messages = Memory(), 0
    for talk in talks:
        for one in talk["messages"]:
            memory.take(features(one["content"]), one["sender"])
            messages += 1
    kept = len(json.dumps(memory.snapshot()))
    print(
        f"\none room with all {messages} messages: about {memory.size_bytes / 1e6:.1f} MB, "
        f"snapshot {kept / 1000:.0f} kB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold the guard against labelled conversations.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="detection only, no times")
    arguments = parser.parse_args()
    everything: list[Talk] = []
    for path in sorted(arguments.folder.glob("*.jsonl")):
        talks = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        everything += talks
        loops = sum(talk["loop_start"] is not None for talk in talks)
        print(f"\n{path.name}: {len(talks)} conversations, {loops} loops")
        print_detection(talks)
    if not everything:
        raise SystemExit(f"no *.jsonl in {arguments.folder}")
    print_sources(everything)
    print_busy_rooms(everything)
    if not arguments.quick:
        print_times(everything)
        print_hostile()
        print_state(everything)


if __name__ == "__main__":
    main()
