"""How well and how fast the guard finds loops in labelled conversations.

    python -m bench.loops PATH [--quick]

PATH is a file of conversations, or a folder with *.jsonl in it; `bench/talks.py` says what stands
in a line, and what counts as a hit, a false alarm and a premature close. A source is the first part
of a conversation's id, or else what its `source` says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.talks import (
    BASELINES,
    GRID,
    SLACK,
    BadLine,
    Scored,
    Talk,
    Tally,
    guard,
    left_out,
    pooled,
    scored,
    source_of,
    talks_in,
    tally,
)
from room_mcp.rooms.guard import Features, Memory, features

THRESHOLDS = (4.0, 5.0, 6.0, 9.0)
USUAL = 5.0  # threshold of the table by source and for busy rooms
ALARM = 1.0  # of a baseline, which scores nothing or the most
RUNS = 5  # of each timing; the fastest counts

HEAD = "{:24}{:>6} {:>6} {:>6} {:>4} {:>4} {:>4} {:>4} {:>7} {:>6} {:>9}".format(
    "", "P", "R", "F1", "tp", "fp", "fn", "tn", "fa/1k", "delay", "premature"
)


# ---- how well -----------------------------------------------------------------------------------


def row(name: str, of: Tally) -> str:
    delay = "-" if of.delay is None else f"{of.delay:g}"
    precision = f"{of.precision:.2f}" if of.hits + of.false else "-"
    recall, f1 = (f"{of.recall:.2f}", f"{of.f1:.2f}") if of.hits + of.missed else ("-", "-")
    return (
        f"{name[:23]:24}{precision:>6} {recall:>6} {f1:>6} {of.hits:4} {of.false:4} "
        f"{of.missed:4} {of.quiet:4} {of.false_per_1000:7.1f} {delay:>6} {of.premature:9}"
    )


def print_detection(name: str, talks: Sequence[Talk]) -> None:
    loops = sum(bool(talk.loop) for talk in talks)
    print(f"\n{name}: {len(talks)} conversations, {loops} of them loop\n{HEAD}")
    by_guard = scored(talks, guard)
    for threshold in THRESHOLDS:
        print(row(f"guard, S >= {threshold:g}", tally(by_guard, threshold)))
    for baseline, settings in BASELINES.items():
        for setting, scorer in settings.items():
            print(row(f"{baseline}, {setting}", tally(scored(talks, scorer), ALARM)))


def print_sources(by_guard: Scored) -> None:
    print(f"\nby source, guard, S >= {USUAL:g}\n{HEAD}")
    for source in sorted({source_of(talk) for talk, _ in by_guard}):
        of = [one for one in by_guard if source_of(one[0]) == source]
        print(row(f"{source[:17]} ({len(of)})", tally(of, USUAL)))


def print_left_out(talks: Sequence[Talk], by_guard: Scored) -> None:
    """What is chosen on all other sources, tried on the one that is left out."""
    print(f"\none source left out, its setting chosen on the others\n{HEAD}")
    if len({source_of(talk) for talk in talks}) < 2:
        print("only one source: nothing to choose from")
        return
    folds = left_out({f"S >= {threshold:g}": (by_guard, threshold) for threshold in GRID})
    for fold in folds:
        print(row(f"{fold.source[:13]}, {fold.chosen}", fold.tally))
    print(row("guard, all sources", pooled(folds)))
    for baseline, settings in BASELINES.items():
        of = {name: (scored(talks, scorer), ALARM) for name, scorer in settings.items()}
        print(row(f"{baseline}, all", pooled(left_out(of))))


def print_busy_rooms(talks: Sequence[Talk]) -> None:
    """A looping pair and a productive one, message by message in one room."""
    pairs = [talk for talk in talks if len(talk.senders) == 2]
    loops = [talk for talk in pairs if talk.loop]
    works = [talk for talk in pairs if not talk.loop]
    rooms = [(loop, work) for at, loop in enumerate(loops) for work in works[at::7][:4]]
    named = [named_in(loop, work) for loop, work in rooms]
    print(
        f"\nbusy rooms, S >= {USUAL:g}: {len(rooms)} rooms, loop found in "
        f"{sum('loop' in one for one in named)}, a productive sender named in "
        f"{sum('work' in one for one in named)}"
    )


def named_in(loop: Talk, work: Talk) -> set[str]:
    """Which of the two pairs the guard names when both talk in turns."""
    memory, named = Memory(), set[str]()
    for at in range(max(len(loop.lines), len(work.lines))):
        for pair, talk in (("loop", loop), ("work", work)):
            if at >= len(talk.lines):
                continue
            line = talk.lines[at]
            verdict = memory.take(features(line.content), f"{pair} {line.sender}", type=line.type)
            if verdict.score >= USUAL and (pair == "work" or at >= loop.loop.start - SLACK):
                named.add(pair)
    return named


# ---- how fast, and how large --------------------------------------------------------------------

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
    "commas": ",",
    "tags": ",a b c d",
    "tags with question marks": ",a b c d?",
    "exclamations": "a!",
    "marks of programs": "#A ",
    "small ids": "a1 ",
    "letters and digits": "abcdef1",
    "status": "still running ",
    "beginnings of status": "not ",
    "half surrogates": "\ud83d",
}


def timed_us(act: Callable[[], object]) -> float:
    """The fastest of RUNS: what the machine's other work adds is no property of ours."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


Fold = Callable[[Memory, Features, str, str], object]


def judge_and_take(memory: Memory, of: Features, sender: str, type: str) -> None:
    memory.judge(of, sender, type=type)
    memory.take(of, sender, type=type)


FOLDS: Mapping[str, Fold] = {
    "take": lambda memory, of, sender, type: memory.take(of, sender, type=type),
    "judge, take": judge_and_take,
}


def folding_us(talks: Sequence[Sequence[tuple[Features, str, str]]], fold: Fold) -> list[float]:
    """What it took, message by message, in the order of size."""
    runs: list[list[float]] = []
    for _ in range(RUNS):
        took: list[float] = []
        for talk in talks:
            memory = Memory()
            for of, sender, type in talk:
                began = time.perf_counter()
                fold(memory, of, sender, type)
                took.append((time.perf_counter() - began) * 1e6)
        runs.append(took)
    return sorted(map(min, zip(*runs, strict=True)))


def print_times(talks: Sequence[Talk]) -> None:
    lines = [line for talk in talks for line in talk.lines]
    features("")  # reads the word lists
    reading = sorted(timed_us(lambda text=line.content: features(text)) for line in lines)
    made = [
        [(features(line.content), line.sender, line.type) for line in talk.lines] for talk in talks
    ]
    print("\ntime per message, bars in brackets")
    print(f"features:    {quantiles(reading)} (300 in the middle, 10,000 at worst)")
    for name, fold in FOLDS.items():
        bar = " (30 in the middle)" if fold is judge_and_take else ""
        print(f"{name + ':':12} {quantiles(folding_us(made, fold))}{bar}")
    sizes = sorted(float(len(of.to_json())) for talk in made for of, _, _ in talk)
    print(f"kept:        {quantiles(sizes, 'bytes of JSON')}")
    chars = statistics.median(len(line.content) for line in lines)
    print(f"{len(lines)} messages, median {chars:g} characters")


def quantiles(of: Sequence[float], unit: str = "µs") -> str:
    middle, high = of[len(of) // 2], of[int(len(of) * 0.99)]
    return f"median {middle:.0f}, p99 {high:.0f}, worst {of[-1]:.0f} {unit}"


def print_hostile() -> None:
    """The slowest 8,000 characters, and whether half the input takes half the time."""
    rows: list[tuple[float, float, str]] = []
    for name, piece in HOSTILE.items():
        whole = (piece * 8_000)[:8_000]
        took = timed_us(lambda text=whole: features(text))
        half = timed_us(lambda text=whole[:4_000]: features(text))
        rows.append((took, took / max(half, 1.0), name))
    rows.sort(reverse=True)
    print("\nslowest hostile inputs of 8,000 characters, and their time over that of 4,000:")
    for took, growth, name in rows[:8]:
        print(f"  {took / 1000:6.2f} ms  x{growth:.1f}  {name}")


def print_state(talks: Sequence[Talk]) -> None:
    memory, messages = Memory(), 0
    for talk in talks:
        for line in talk.lines:
            memory.take(features(line.content), line.sender, type=line.type)
            messages += 1
    kept = len(json.dumps(memory.snapshot()))
    print(
        f"\none room with all {messages} messages: at most {memory.size_bytes / 1e6:.1f} MB, "
        f"snapshot {kept / 1000:.0f} kB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold the guard against labelled conversations.")
    parser.add_argument("path", type=Path, help="a file of conversations, or a folder of them")
    parser.add_argument("--quick", action="store_true", help="detection only, no times")
    arguments = parser.parse_args()
    try:
        files = talks_in(arguments.path)
    except (BadLine, OSError, UnicodeDecodeError) as wrong:
        raise SystemExit(str(wrong)) from None
    for name, talks in files.items():
        print_detection(name, talks)
    everything = [talk for talks in files.values() for talk in talks]
    if len(files) > 1:
        print_detection("all files together", everything)
    by_guard = scored(everything, guard)
    print_sources(by_guard)
    print_left_out(everything, by_guard)
    print_busy_rooms(everything)
    if not arguments.quick:
        print_times(everything)
        print_hostile()
        print_state(everything)


if __name__ == "__main__":
    main()
