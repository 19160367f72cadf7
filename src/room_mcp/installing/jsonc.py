"""Edits JSON as text, so that comments, order, spacing and trailing commas stay as they are.

There are libraries that read JSON with comments; none was found that writes a change back
without setting the whole file anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_LINE_REST = re.compile(r"(?:[ \t]+|//[^\r\n]*|/\*[^\n]*?\*/)*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_INDENT = re.compile(r"[ \t]*")


class NotJson(ValueError):
    """The text is no JSON, or not of the shape that an edit needs; the message says where."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands; `members` only for an object."""

    start: int
    end: int
    value: Any
    members: tuple[Member, ...] | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One key of an object; `comma` is where the comma behind it stands, if there is one."""

    key: str
    start: int
    node: Node
    comma: int | None


def load(text: str) -> Any:
    """The value; an empty file, or one of comments alone, is an empty object.

    Raises:
        NotJson: The text is neither.
    """
    return _read(_not_empty(text)).value


def set_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with `value` at `path`; objects on the way are made where they are missing.

    Raises:
        NotJson: The text is no JSON, or something on the way is not an object.
    """
    text = _not_empty(text)
    root = _read(text)
    node, rest = _walk(root, path)
    unit = _unit(text, root)
    if not rest:
        return text[: node.start] + _rendered(text, value, unit, node.start) + text[node.end :]
    key, *inner = rest
    for name in reversed(inner):
        value = {name: value}
    return _inserted(text, node, key, value, unit)


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the member at `path`; unchanged when there is none."""
    text = _not_empty(text)
    node, rest = _walk(_read(text), path[:-1])
    if rest or node.members is None:
        return text
    for index in reversed(range(len(node.members))):
        if node.members[index].key == path[-1]:
            return _without(text, node, index)
    return text


def _not_empty(text: str) -> str:
    match = _TRIVIA.match(text)
    if match is None or match.end() < len(text):
        return text
    return text + ("\n" if text and not text.endswith("\n") else "") + "{}\n"


def _read(text: str) -> Node:
    reader = _Reader(text)
    try:
        root = reader.value()
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    reader.skip()
    if reader.at < len(text):
        raise reader.stuck("the end of the file")
    return root


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        match = _TRIVIA.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def stuck(self, wanted: str) -> NotJson:
        line = self.text.count("\n", 0, self.at) + 1
        return NotJson(f"line {line} does not read on as JSON; expected {wanted}")

    def next_is(self, character: str) -> bool:
        self.skip()
        if not self.text.startswith(character, self.at):
            return False
        self.at += 1
        return True

    def value(self) -> Node:
        self.skip()
        start = self.at
        if self.next_is("{"):
            return self._object(start)
        if self.next_is("["):
            return self._array(start)
        for pattern in (_STRING, _SCALAR):
            match = pattern.match(self.text, start)
            if match:
                return self._scalar(match)
        raise self.stuck("a value")

    def _scalar(self, match: re.Match[str]) -> Node:
        try:
            value = json.loads(match[0])
        except ValueError:
            raise self.stuck("a value") from None
        self.at = match.end()
        return Node(match.start(), match.end(), value)

    def _object(self, start: int) -> Node:
        members: list[Member] = []
        while not self.next_is("}"):
            if members and members[-1].comma is None:
                raise self.stuck("a comma or }")
            key = _STRING.match(self.text, self.at)
            if key is None:
                raise self.stuck('a key in "quotes"')
            name = self._scalar(key).value
            if not self.next_is(":"):
                raise self.stuck("a colon")
            node = self.value()
            comma = self.at - 1 if self.next_is(",") else None
            members.append(Member(name, key.start(), node, comma))
        value = {member.key: member.node.value for member in members}
        return Node(start, self.at, value, tuple(members))

    def _array(self, start: int) -> Node:
        items: list[Any] = []
        may_go_on = True
        while not self.next_is("]"):
            if not may_go_on:
                raise self.stuck("a comma or ]")
            items.append(self.value().value)
            may_go_on = self.next_is(",")
        return Node(start, self.at, items)


def _walk(root: Node, path: Sequence[str]) -> tuple[Node, list[str]]:
    """The deepest node on the path, and the keys below it that are missing."""
    node = root
    for depth, key in enumerate(path):
        if node.members is None:
            where = f'"{path[depth - 1]}"' if depth else "the file"
            raise NotJson(f"{where} does not hold an object")
        found = [member.node for member in node.members if member.key == key]
        if not found:
            return node, list(path[depth:])
        node = found[-1]  # of two equal keys the last one counts, as for every reader
    return node, []


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text: str, at: int) -> str:
    """The white space with which the line of `at` begins."""
    match = _INDENT.match(text, text.rfind("\n", 0, at) + 1)
    return match[0] if match else ""


def _unit(text: str, root: Node) -> str:
    """One step of indentation, as the file has it; two spaces where it shows none."""
    if root.members and _starts_line(text, root.members[0].start):
        return _indent(text, root.members[0].start) or "  "
    return "  "


def _starts_line(text: str, at: int) -> bool:
    return text.rfind("\n", 0, at) >= 0 and not text[text.rfind("\n", 0, at) : at].strip()


def _rendered(text: str, value: Any, unit: str, at: int) -> str:
    lines = json.dumps(value, indent=unit, ensure_ascii=False).split("\n")
    return (_newline(text) + _indent(text, at)).join(lines)


def _inserted(text: str, node: Node, key: str, value: Any, unit: str) -> str:
    """The text with a new last member in the object `node`."""
    if node.members is None:
        raise NotJson(f'"{key}" has no object to stand in')
    name = json.dumps(key, ensure_ascii=False)
    new = f"{name}: {json.dumps(value, indent=unit, ensure_ascii=False)}"
    if not node.members:
        outer = _newline(text) + _indent(text, node.start)
        body = text[node.start + 1 : node.end - 1].rstrip()  # comments, perhaps
        new = outer + unit + new.replace("\n", outer + unit) + outer
        return text[: node.start + 1] + body + new + text[node.end - 1 :]
    last = node.members[-1]
    if not _starts_line(text, last.start):
        new = f" {name}: {json.dumps(value, ensure_ascii=False)}"
        at = last.node.end if last.comma is None else last.comma + 1
        return text[:at] + ("," if last.comma is None else "") + new + text[at:]
    line = _newline(text) + _indent(text, last.start)
    new = line + new.replace("\n", line) + ("" if last.comma is None else ",")
    after = last.node.end if last.comma is None else last.comma + 1
    rest = _LINE_REST.match(text, after)  # what is noted behind the last member stays with it
    at = after + len(rest[0].rstrip()) if rest else after
    comma = "," if last.comma is None else ""
    return text[: last.node.end] + comma + text[last.node.end : at] + new + text[at:]


def _without(text: str, node: Node, index: int) -> str:
    """The text without one member, its line and the comma that it needed."""
    members = node.members or ()
    member = members[index]
    end = member.node.end if member.comma is None else member.comma + 1
    start = member.start
    if _starts_line(text, start):
        start = len(text[:start].rstrip(" \t").removesuffix("\n").removesuffix("\r"))
    elif index == 0:
        end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    else:
        start = len(text[:start].rstrip(" \t"))
    before = text[:start]
    comma = members[index - 1].comma if index else None
    if member.comma is None and comma is not None:
        before = text[:comma] + text[comma + 1 : start]
    if len(members) == 1 and not (text[node.start + 1 : start] + text[end : node.end - 1]).strip():
        return text[: node.start] + "{}" + text[node.end :]
    return before + text[end:]
