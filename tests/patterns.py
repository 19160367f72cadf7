"""Every regular expression of the package, and texts that were made to keep each one busy.

As a script: runs all of them, telling which one it is at.
"""

from __future__ import annotations

import ast
import heapq
import importlib
import itertools
import re
import re._constants as ops  # pyright: ignore[reportMissingModuleSource]
import re._parser as parser  # pyright: ignore[reportMissingModuleSource]
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import room_mcp

PACKAGE = Path(room_mcp.__file__).parent
PATTERN_CALLS = frozenset(
    {"compile", "match", "search", "fullmatch", "sub", "subn", "findall", "finditer", "split"}
)
SHORT_CHARS, LONG_CHARS = 2 * 1024, 256 * 1024  # of which the square takes minutes
MAX_S = 15  # a thousand times what a text takes whose length alone counts
MAX_TRIED = 5
_ANY_USE = frozenset({"search", "fullmatch", "sub"})
# The functions that make a pattern out of arguments, and with which.
MAKING: dict[str, list[tuple[Any, ...]]] = {
    "_hidden": [(True,), (False,)],
    "_mention": [(True,), (False,)],
    "_of_name": [("ann",)],
    "_of_place": [("/home/ann",)],
}
TAILS = ("", "\x00")
MAX_SEEDS, MAX_PAIRED, MAX_BEGINNING = 6, 4, 6


@dataclass(frozen=True)
class Found:
    """A pattern where it stands, and how it is used there."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]

    def use(self, text: Any) -> None:
        """To its end, as the package does."""
        for method in self.methods:
            match method:
                case "sub" | "subn":
                    self.pattern.sub(text[:0], text)
                case "finditer":
                    deque(self.pattern.finditer(text), maxlen=0)
                case _:
                    getattr(self.pattern, method)(text)


def found_patterns() -> list[Found]:
    return [one for file in sorted(PACKAGE.rglob("*.py")) for one in _patterns_in(file)]


def _patterns_in(file: Path) -> Iterator[Found]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [one for one in ast.walk(tree) if _is_pattern_call(one)]
    if not calls:
        return
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    used = _methods_by_name(tree)
    homes = {one: home for home in ast.walk(tree) for one in _walk(home) if _names(home, one)}
    for call in calls:
        place = f"{'/'.join(parts[1:])}.py:{call.lineno}"
        attr = call.func.attr  # type: ignore[attr-defined]
        home = homes.get(call)
        if attr != "compile":
            yield Found(place, _evaluated(call, module), frozenset({attr}))
        elif isinstance(home, ast.Assign):
            name = home.targets[0].id  # type: ignore[attr-defined]
            yield Found(place, getattr(module, name), used.get(name, _ANY_USE))
        else:
            assert isinstance(home, ast.FunctionDef), f"{place}: give the pattern a name"
            for arguments in MAKING.get(home.name, [()]):
                yield Found(place, getattr(module, home.name)(*arguments), _ANY_USE)


def _is_pattern_call(one: ast.AST) -> bool:
    return (
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and isinstance(one.func.value, ast.Name)
        and one.func.value.id == "re"
        and one.func.attr in PATTERN_CALLS
    )


def _walk(home: ast.AST) -> Iterator[ast.AST]:
    return ast.walk(home) if isinstance(home, (ast.Assign, ast.FunctionDef)) else iter(())


def _names(home: ast.AST, one: ast.AST) -> bool:
    """Whether a call's pattern is found under the name that `home` gives."""
    if not _is_pattern_call(one):
        return False
    if isinstance(home, ast.Assign):
        return home.value is one
    return isinstance(home, ast.FunctionDef)


def _methods_by_name(tree: ast.AST) -> dict[str, frozenset[str]]:
    used: dict[str, set[str]] = {}
    for one in ast.walk(tree):
        if isinstance(one, ast.Attribute) and one.attr in PATTERN_CALLS:
            name = one.value.id if isinstance(one.value, ast.Name) else ""
            used.setdefault(name, set()).add(one.attr)
    return {name: frozenset(methods) for name, methods in used.items()}


def _evaluated(call: Any, module: Any) -> re.Pattern[Any]:
    source = ast.unparse(call.args[0])
    flags = [ast.unparse(one) for one in call.args[1:] if "re." in ast.unparse(one)]
    return re.compile(eval(source, vars(module)), eval("|".join(flags) or "0", vars(module)))


# ---- hostile texts ------------------------------------------------------------------------------


def hostile_texts(pattern: re.Pattern[Any], size_chars: int) -> Iterator[Any]:
    """Long runs of what the pattern repeats, alone and in pairs, behind each of its beginnings."""
    written: Any = pattern.pattern
    tree = parser.parse(written, pattern.flags & ~re.UNICODE if isinstance(written, str) else 0)
    whole = _sample(tree)
    seeds = list(dict.fromkeys(seed for seed in _seeds(tree) if seed))[:MAX_SEEDS]
    pairs = [a + b for a, b in itertools.permutations(seeds[:MAX_PAIRED], 2)]
    beginnings = {whole, *(whole[:end] for end in range(MAX_BEGINNING))}
    for seed in [*seeds, *pairs, whole or "x"]:
        run = seed * (size_chars // len(seed))
        for text in (beginning + run + tail for beginning in beginnings for tail in TAILS):
            yield text.encode() if isinstance(written, bytes) else text


def worst_texts(one: Found) -> list[Any]:
    """Those that take longest while they are short, made long."""
    taken: list[tuple[float, int]] = []
    for number, text in enumerate(hostile_texts(one.pattern, SHORT_CHARS)):
        begun = time.perf_counter()
        one.use(text)
        taken.append((time.perf_counter() - begun, number))
    numbers = {number for _, number in heapq.nlargest(MAX_TRIED, taken)}
    texts = enumerate(hostile_texts(one.pattern, LONG_CHARS))
    return [text for number, text in texts if number in numbers]


def _seeds(tree: Any) -> Iterator[str]:
    """What the parts of a pattern match, the repeated ones first."""
    for repeated in (True, False):
        for op, value in _parts(tree):
            if (op in _REPEATS) is repeated:
                yield from _examples(op, value)


_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)


def _parts(tree: Any) -> Iterator[tuple[Any, Any]]:
    for op, value in tree:
        yield op, value
        for inner in _inner(op, value):
            yield from _parts(inner)


def _inner(op: Any, value: Any) -> list[Any]:
    if op in _REPEATS:
        return [value[2]]
    if op is ops.SUBPATTERN:
        return [value[3]]
    if op is ops.BRANCH:
        return value[1]
    if op in (ops.ASSERT, ops.ASSERT_NOT):
        return [value[1]]
    return [value] if op is ops.ATOMIC_GROUP else []


def _examples(op: Any, value: Any) -> list[str]:
    match op:
        case ops.LITERAL:
            return [chr(value)]
        case ops.NOT_LITERAL:
            return ["x" if value != ord("x") else "y"]
        case ops.ANY:
            return ["x"]
        case ops.IN:
            return _members(value)
        case _ if op in _REPEATS:
            return [_sample(value[2]) * max(1, value[0])]
        case _:
            return []


_CATEGORIES = {
    ops.CATEGORY_DIGIT: "1",
    ops.CATEGORY_WORD: "a",
    ops.CATEGORY_SPACE: " ",
    ops.CATEGORY_NOT_DIGIT: "x",
    ops.CATEGORY_NOT_WORD: "-",
    ops.CATEGORY_NOT_SPACE: "x",
}
_ANY_OF = "ax1 -_.,/#\"'\\\néあ\u0301"


def _members(items: list[Any]) -> list[str]:
    """A few characters of a class."""
    if items[0][0] is ops.NEGATE:
        known = re.compile(f"[{''.join(map(re.escape, _listed(items[1:])))}]")
        categories = {value for op, value in items if op is ops.CATEGORY}
        fit = [one for one in _ANY_OF if not known.match(one) and not _in_one(one, categories)]
        return fit[:3]
    return _listed(items)[:4]


def _listed(items: list[Any]) -> list[str]:
    found: list[str] = []
    for op, value in items:
        if op is ops.LITERAL:
            found.append(chr(value))
        elif op is ops.RANGE:
            found += [chr(value[0]), chr(value[1])]
        elif op is ops.CATEGORY:
            found.append(_CATEGORIES[value])
    return found


def _in_one(char: str, categories: set[Any]) -> bool:
    tests = {
        ops.CATEGORY_DIGIT: str.isdigit,
        ops.CATEGORY_SPACE: str.isspace,
        ops.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
        ops.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
        ops.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
        ops.CATEGORY_NOT_DIGIT: lambda one: not one.isdigit(),
    }
    return any(tests[one](char) for one in categories)


def _sample(tree: Any) -> str:
    """A text that the pattern matches, or nearly."""
    text = ""
    for op, value in tree:
        if op in _REPEATS:
            text += _sample(value[2]) * max(1, value[0])
        elif op is ops.BRANCH:
            text += _sample(value[1][0])
        elif op in (ops.SUBPATTERN, ops.ATOMIC_GROUP):
            text += _sample(_inner(op, value)[0])
        else:
            text += "".join(_examples(op, value)[:1])
    return text


if __name__ == "__main__":
    for one in found_patterns():
        print(one.place, flush=True)
        for text in worst_texts(one):
            signal.alarm(MAX_S)  # its end is the end of the script: Python gets no turn meanwhile
            one.use(text)
            signal.alarm(0)
    print("all", flush=True)
