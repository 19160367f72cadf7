"""Reads a schema once: every keyword is checked and made ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import unquote

from .steps import spend
from .values import (
    LOOP_STEP,
    TYPES,
    WORDS,
    fields_of,
    is_number,
    is_whole,
    items_of,
    key_of,
    listed,
)
from .words import MAX_KEY_CHARS, MAX_VALUE_CHARS, cut, cut_line

_PATTERN_STEP = 500  # bytes times instructions that RE2, at its slowest, takes in a step
_PATTERN_BYTES = 128 * 1024  # what RE2 may keep for a pattern
_MAX_PATTERNS = 32
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_USE_DEFS = 'Put the schema under $defs and refer to it: {"$ref": "#/$defs/name"}.'
_AT_THE_TOP = "Only the whole schema may have one."
_SAY_NOTHING = frozenset(("items", "additionalProperties", "propertyNames"))  # when true


class BadSchema(Exception):
    """A schema that cannot be used. `place` is where in it, such as /properties/a/pattern."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "$dynamicRef"), _USE_DEFS),
    **dict.fromkeys(("$recursiveAnchor", "$recursiveRef"), _USE_DEFS),
    "dependencies": "Use dependentRequired or dependentSchemas.",
    "unevaluatedItems": "Use items beside prefixItems.",
    "unevaluatedProperties": "Use additionalProperties beside all the properties.",
}


_INSTEAD_INSIDE = {**_INSTEAD, "$id": _AT_THE_TOP, "$schema": _AT_THE_TOP}


def _are_names(value: Any) -> bool:
    names = items_of(value)
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )


def _are_types(value: Any) -> bool:
    names = listed(value)
    return names != [] and _are_names(names) and all(name in WORDS for name in names)


# What a keyword's value has to be, and the words for it.
_SHAPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "any": (lambda value: True, "anything"),
    "text": (TYPES["string"], "text"),
    "flag": (TYPES["boolean"], "true or false"),
    "number": (is_number, "a number"),
    "positive": (lambda value: is_number(value) and value > 0, "a number above 0"),
    "count": (lambda value: is_whole(value) and value >= 0, "a whole number, 0 or more"),
    "list": (TYPES["array"], "a list"),
    "names": (_are_names, "a list of texts that all differ"),
    "names by name": (
        lambda value: isinstance(value, dict) and all(map(_are_names, fields_of(value).values())),
        "an object of lists of texts that all differ",
    ),
    "types": (_are_types, f"one of {', '.join(WORDS)}, or a list of them"),
}


# In the order in which they look at a body.
KEYWORDS: Mapping[str, str] = {
    "$ref": "text",
    "type": "types",
    "enum": "list",
    "const": "any",
    "additionalProperties": "schema",
    "required": "names",
    "propertyNames": "schema",
    "dependentRequired": "names by name",
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "number"),
    "multipleOf": "positive",
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), "count"),
    **dict.fromkeys(("minProperties", "maxProperties"), "count"),
    "pattern": "pattern",
    "uniqueItems": "flag",
    "contains": "schema",
    **dict.fromkeys(("minContains", "maxContains"), "count"),
    **dict.fromkeys(("properties", "dependentSchemas"), "schemas by name"),
    "patternProperties": "schemas by pattern",
    "prefixItems": "schemas",
    "items": "schema",
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), "schemas"),
    **dict.fromkeys(("not", "if", "then", "else"), "schema"),
    "examples": "list",
    "default": "any",
}


# Looked at only while the schema is read.
_REMARKS: Mapping[str, str] = {
    **dict.fromkeys(("$defs", "definitions"), "schemas by name"),
    "contentSchema": "schema",
    **dict.fromkeys(("$id", "$schema", "$comment", "title", "description", "format"), "text"),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), "text"),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly"), "flag"),
}


class Node(dict[str, Any]):
    """A schema made ready: its keywords in the order in which they look at a body."""

    __slots__ = ("written",)

    def __init__(self, written: Any, **ready: Any) -> None:
        super().__init__(ready)
        self.written = written


NEVER = Node(False, false=None)  # for false jsonschema would print the whole body


class _Pattern(NamedTuple):
    regex: Any
    instructions: int

    def found_in(self, text: str) -> bool:
        encoded = text.encode("utf-8", "surrogatepass")
        spend(1 + len(encoded) * self.instructions / _PATTERN_STEP)
        return self.regex.search(encoded) is not None

    def first_match(self) -> str:
        """The first text in order that may match, where RE2 can tell."""
        spend(1 + self.instructions / LOOP_STEP)
        try:
            first, _ = self.regex.possiblematchrange(MAX_VALUE_CHARS)
        except _re2().error:
            return ""
        return first.decode(errors="ignore")


class Reader:
    """Reads one schema: every keyword is checked and made ready, every `$ref` followed."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, ...], Node | bool] = {}
        self._patterns: dict[str, _Pattern] = {}
        self._refs: list[tuple[Node, tuple[str, ...]]] = []
        self._makers: Mapping[str, Callable[[Any, tuple[str, ...]], Any]] = {
            "schema": self._node,
            "schemas": self._list,
            "schemas by name": self._named,
            "schemas by pattern": self._patterned,
            "pattern": self._pattern,
        }

    def root(self, document: Any) -> Node | bool:
        root = self._node(document, ())
        dialect = fields_of(document).get("$schema", _DIALECT)
        _must(dialect.rstrip("#") == _DIALECT, ("$schema",), f"Only {_DIALECT} is understood.")
        for node, place in self._refs:
            node["$ref"] = self._target(node["$ref"], (*place, "$ref"))
        return root

    def _node(self, written: Any, place: tuple[str, ...]) -> Node | bool:
        _must(isinstance(written, dict | bool), place, "It must be an object, true or false.")
        if isinstance(written, bool):
            node = written or NEVER
        else:
            node = self._read(fields_of(written), place) or True
        self._nodes[place] = node
        return node

    def _read(self, written: dict[str, Any], place: tuple[str, ...]) -> Node:
        instead = _INSTEAD_INSIDE if place else _INSTEAD
        for keyword in filter(instead.__contains__, written):
            raise _bad((*place, keyword), f"{keyword} is not allowed here. {instead[keyword]}")
        node = Node(written)
        for keyword, shape in chain(KEYWORDS.items(), _REMARKS.items()):
            if keyword in written:
                made = self._made(keyword, shape, written[keyword], (*place, keyword))
                if keyword in KEYWORDS and not (made is True and keyword in _SAY_NOTHING):
                    node[keyword] = made
        if "$ref" in node:
            self._refs.append((node, place))
        return node

    def _made(self, keyword: str, shape: str, value: Any, place: tuple[str, ...]) -> Any:
        if shape in self._makers:
            return self._makers[shape](value, place)
        fits, words = _SHAPES[shape]
        _must(fits(value), place, f"It must be {words}.")
        if keyword == "const":
            return frozenset((key_of(value),))
        return frozenset(map(key_of, items_of(value))) if keyword == "enum" else value

    def _list(self, value: Any, place: tuple[str, ...]) -> list[Any]:
        _must(isinstance(value, list) and value != [], place, "It must be a list of schemas.")
        return [self._node(one, (*place, str(index))) for index, one in enumerate(items_of(value))]

    def _named(self, value: Any, place: tuple[str, ...]) -> dict[str, Any]:
        _must(isinstance(value, dict), place, "It must be an object of schemas.")
        return {name: self._node(one, (*place, name)) for name, one in value.items()}

    def _patterned(self, value: Any, place: tuple[str, ...]) -> dict[_Pattern, Any]:
        nodes = self._named(value, place)
        return {self._pattern(name, (*place, name)): node for name, node in nodes.items()}

    def _pattern(self, value: Any, place: tuple[str, ...]) -> _Pattern:
        _must(isinstance(value, str), place, "It must be text.")
        if value not in self._patterns:
            _must(len(self._patterns) < _MAX_PATTERNS, place, "There are too many patterns.")
            self._patterns[value] = _Pattern(*_regex(value, place))
        return self._patterns[value]

    def _target(self, ref: str, place: tuple[str, ...]) -> Node | bool:
        _must(ref.startswith("#"), place, "It must begin with #: nothing is fetched.")
        first, *steps = unquote(ref[1:]).split("/")
        target = tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
        _must(not first and target in self._nodes, place, f"No schema is there. {_USE_DEFS}")
        return self._nodes[target]


def _must(holds: bool, place: tuple[str, ...], reason: str) -> None:
    if not holds:
        raise _bad(place, reason)


def _bad(place: tuple[str, ...], reason: str) -> BadSchema:
    keys = (cut(key, MAX_KEY_CHARS).replace("~", "~0").replace("/", "~1") for key in place)
    return BadSchema("/" + "/".join(map(cut_line, keys)), reason)


def _re2() -> Any:
    """The engine of patterns, imported with the first of them."""
    import re2  # pyright: ignore[reportMissingTypeStubs] -- it has none

    return re2


def _regex(written: str, place: tuple[str, ...]) -> tuple[Any, int]:
    """The pattern for RE2, and how many instructions it became."""
    re2 = _re2()
    options = re2.Options()
    options.max_mem = _PATTERN_BYTES
    options.never_capture = True  # else a match is sought a second time, slowly
    options.log_errors = False
    try:
        regex = re2.compile(written.encode(), options)
    except UnicodeEncodeError:
        raise _bad(place, "It holds half a character.") from None
    except re2.error as cause:
        why = cause.args[0].decode(errors="replace")
        advice = "Write it without look-around, back-references and large counts."
        raise _bad(place, f"RE2 does not take this pattern: {cut(why)}. {advice}") from None
    return regex, regex.programsize
