"""JSON Schema (2020-12) for the bodies of typed messages, bounded: strangers write both sides.

`format` is a remark, as the standard has it: no body is refused because of it. Patterns are
RE2's, which takes linear time. jsonschema and RE2 are imported with the first schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import cache, lru_cache
from itertools import chain, groupby, islice, product
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_STEPS = 20_000  # a step is one keyword looking at one value: 5 to 10 µs

_MAX_LEVELS = 100  # of keywords inside keywords, each some five frames of Python's stack
_INVENTING_STEPS = MAX_STEPS // 4
_ERROR_STEPS = 2  # an error costs more than a look
_FRACTION_STEPS = 4
_READING_STEPS = 4
_MAX_ERRORS = 50
_MAX_BRANCH_ERRORS = 10  # of each branch of anyOf and oneOf
_LOOP_STEP = 16  # entries that a keyword looks through in a step
_KEY_STEP = 4  # values made comparable in a step
_PATTERN_STEP = 500  # bytes times instructions that RE2, at its slowest, takes in a step
_PATTERN_BYTES = 128 * 1024  # what RE2 may keep for a pattern
_MAX_PATTERNS = 32
_MAX_EXCERPT_CHARS = 1024
_MAX_VALUE_CHARS = 80
_MAX_KEY_CHARS = 40
_MAX_LIST_CHARS = 200
_MAX_PATH_CHARS = 200
_MAX_INVENTED = 1_000  # characters of a text, items of a list
_MAX_NUMBER = 2**53  # the whole numbers that every reader of JSON knows end here
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOTHING: Any = object()


class BadSchema(Exception):
    """A schema that cannot be used. `place` is where in it, such as /properties/a/pattern."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class Violation(NamedTuple):
    """What is wrong with a body, for the one who has to mend it."""

    path: str  # where in the body: issues[0].severity, or body for all of it
    rule: str  # a short plain sentence without its subject: must be text
    schema: Any  # the keyword that failed, shortened to about 1 KiB


class Schema:
    """A schema ready for use. `document` is how it was written; it is shared, so only read it."""

    __slots__ = ("_root", "_validator", "document")

    def __init__(self, document: Any) -> None:
        library = _library()
        self.document = document
        self._root = _Reader().root(document)
        self._validator: Any = library.validator(self._root, registry=library.registry)

    def violation(self, body: Any) -> Violation | None:
        """What the sender should mend first, or None when the body fits.

        The same schema and body give the same answer in every process. A body that takes more
        than `MAX_STEPS` does not fit.
        """
        try:
            with _bounded():
                found = self._validator.iter_errors(body)
                errors: list[Any] = list(islice(found, _MAX_ERRORS))
                return _violation(_nearest(errors)) if errors else None
        except (_TooMuch, RecursionError):
            return _TOO_COMPLICATED

    def accepts(self, body: Any) -> bool:
        """Whether the body fits."""
        return self.violation(body) is None

    def invented(self) -> Any | None:
        """A body made from the schema that should fit, or None."""
        try:
            with _bounded(_INVENTING_STEPS):
                return next(_invented(self._validator, [self._root]), None)
        except (_TooMuch, RecursionError):
            return None


def compiled(document: Any) -> Schema:
    """The schema, made once for all who bring the same text.

    Raises:
        BadSchema: It is no valid schema, is too large, or holds what cannot be bounded.
    """
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise BadSchema("/", _TOO_DEEP) from None
    except (TypeError, ValueError):
        raise BadSchema("/", "It is not JSON: it holds NaN, Infinity or worse.") from None
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_SCHEMA_BYTES:
        raise BadSchema("/", f"It has {size} bytes; at most {MAX_SCHEMA_BYTES} are allowed.")
    return _compiled(text)


@lru_cache(maxsize=128)
def _compiled(text: str) -> Schema:
    document = json.loads(text)
    level = [document]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [child for one in level for child in (*_fields(one).values(), *_items(one))]
    if any(isinstance(value, dict | list) for value in level):
        raise BadSchema("/", _TOO_DEEP)
    with _bounded(MAX_SCHEMA_BYTES):  # a step for each byte: more than reading can take
        return Schema(document)


def example_for(schema: Schema, given: Any = _NOTHING) -> Any | None:
    """A body that the schema accepts: `given`, an example of its own, or an invented one.

    Returns:
        None when none was found; there may be one all the same.
    """
    if given is not _NOTHING and schema.accepts(given):
        return given
    found = schema.invented()
    return deepcopy(found) if schema.accepts(found) else None


# -- Steps ------------------------------------------------------------------------------------


class _TooMuch(Exception):
    """More steps or levels than one piece of work may take."""


class _Budget:
    """What is left to one piece of work."""

    __slots__ = ("levels", "steps")

    def __init__(self, steps: int) -> None:
        self.steps: float = steps
        self.levels = _MAX_LEVELS


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def _bounded(steps: int = MAX_STEPS) -> Generator[None]:
    """Work that `_TooMuch` ends after so many steps."""
    token = _budget.set(_Budget(steps))
    try:
        yield
    finally:
        _budget.reset(token)


def _spend(steps: float) -> None:
    budget = _budget.get()
    budget.steps -= steps
    if budget.steps < 0:
        raise _TooMuch


def _one_level(errors: Iterable[Any]) -> Iterator[Any]:
    """The errors, looked for one level deeper."""
    budget = _budget.get()
    if not budget.levels:
        raise _TooMuch
    budget.levels -= 1
    try:
        yield from errors
    finally:
        budget.levels += 1


# -- Reading a schema -------------------------------------------------------------------------

_TOO_DEEP = f"It is nested too deep; at most {MAX_SCHEMA_DEPTH} levels are allowed."
_USE_DEFS = 'Put the schema under $defs and refer to it: {"$ref": "#/$defs/name"}.'
_AT_THE_TOP = "Only the whole schema may have one."

_INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "$dynamicRef"), _USE_DEFS),
    **dict.fromkeys(("$recursiveAnchor", "$recursiveRef"), _USE_DEFS),
    "dependencies": "Use dependentRequired or dependentSchemas.",
    "unevaluatedItems": "Use items beside prefixItems.",
    "unevaluatedProperties": "Use additionalProperties beside all the properties.",
}
_INSTEAD_INSIDE = {**_INSTEAD, "$id": _AT_THE_TOP, "$schema": _AT_THE_TOP}

_WORDS: Mapping[str, str] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _are_names(value: Any) -> bool:
    names = _items(value)
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )


def _are_types(value: Any) -> bool:
    names = _listed(value)
    return names != [] and _are_names(names) and all(name in _WORDS for name in names)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_whole,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}

# What a keyword's value has to be, and the words for it.
_SHAPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "any": (lambda value: True, "anything"),
    "text": (_TYPES["string"], "text"),
    "flag": (_TYPES["boolean"], "true or false"),
    "number": (_is_number, "a number"),
    "positive": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "count": (lambda value: _is_whole(value) and value >= 0, "a whole number, 0 or more"),
    "list": (_TYPES["array"], "a list"),
    "names": (_are_names, "a list of texts that all differ"),
    "names by name": (
        lambda value: isinstance(value, dict) and all(map(_are_names, _fields(value).values())),
        "an object of lists of texts that all differ",
    ),
    "types": (_are_types, f"one of {', '.join(_WORDS)}, or a list of them"),
}

# In the order in which they look at a body.
_KEYWORDS: Mapping[str, str] = {
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

_SAY_NOTHING = frozenset(("items", "additionalProperties", "propertyNames"))  # when true

# Looked at only while the schema is read.
_REMARKS: Mapping[str, str] = {
    **dict.fromkeys(("$defs", "definitions"), "schemas by name"),
    "contentSchema": "schema",
    **dict.fromkeys(("$id", "$schema", "$comment", "title", "description", "format"), "text"),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), "text"),
    **dict.fromkeys(("deprecated", "readOnly", "writeOnly"), "flag"),
}


class _Node(dict[str, Any]):
    """A schema made ready: its keywords in the order in which they look at a body."""

    __slots__ = ("written",)

    def __init__(self, written: Any) -> None:
        super().__init__()
        self.written = written


_NEVER = _Node(False)
_NEVER["false"] = None  # jsonschema would copy the whole body into its message


class _Pattern(NamedTuple):
    regex: Any
    instructions: int

    def found_in(self, text: str) -> bool:
        encoded = text.encode("utf-8", "surrogatepass")
        _spend(1 + len(encoded) * self.instructions / _PATTERN_STEP)
        return self.regex.search(encoded) is not None

    def first_match(self) -> str:
        """The first text in order that may match, where RE2 can tell."""
        _spend(1 + self.instructions / _LOOP_STEP)
        try:
            first, _ = self.regex.possiblematchrange(_MAX_VALUE_CHARS)
        except _library().re2.error:
            return ""
        return first.decode(errors="ignore")


class _Reader:
    """Reads one schema: every keyword is checked and made ready, every `$ref` followed."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, ...], _Node | bool] = {}
        self._patterns: dict[str, _Pattern] = {}
        self._refs: list[tuple[_Node, tuple[str, ...]]] = []
        self._makers: Mapping[str, Callable[[Any, tuple[str, ...]], Any]] = {
            "schema": self._node,
            "schemas": self._list,
            "schemas by name": self._named,
            "schemas by pattern": self._by_pattern,
            "pattern": self._pattern,
        }

    def root(self, document: Any) -> _Node | bool:
        root = self._node(document, ())
        dialect = _fields(document).get("$schema", _DIALECT)
        _must(dialect.rstrip("#") == _DIALECT, ("$schema",), f"Only {_DIALECT} is understood.")
        for node, place in self._refs:
            node["$ref"] = self._target(node["$ref"], (*place, "$ref"))
        return root

    def _node(self, written: Any, place: tuple[str, ...]) -> _Node | bool:
        _must(isinstance(written, dict | bool), place, "It must be an object, true or false.")
        if isinstance(written, bool):
            node = written or _NEVER
        else:
            node = self._read(_fields(written), place) or True
        self._nodes[place] = node
        return node

    def _read(self, written: dict[str, Any], place: tuple[str, ...]) -> _Node:
        instead = _INSTEAD_INSIDE if place else _INSTEAD
        for keyword in filter(instead.__contains__, written):
            raise _bad((*place, keyword), f"{keyword} is not allowed here. {instead[keyword]}")
        node = _Node(written)
        for keyword, shape in chain(_KEYWORDS.items(), _REMARKS.items()):
            if keyword in written:
                made = self._made(keyword, shape, written[keyword], (*place, keyword))
                if keyword in _KEYWORDS and not (made is True and keyword in _SAY_NOTHING):
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
            return frozenset((_key(value),))
        return frozenset(map(_key, _items(value))) if keyword == "enum" else value

    def _list(self, value: Any, place: tuple[str, ...]) -> list[Any]:
        _must(isinstance(value, list) and value != [], place, "It must be a list of schemas.")
        return [self._node(one, (*place, str(index))) for index, one in enumerate(_items(value))]

    def _named(self, value: Any, place: tuple[str, ...]) -> dict[str, Any]:
        _must(isinstance(value, dict), place, "It must be an object of schemas.")
        return {name: self._node(one, (*place, name)) for name, one in value.items()}

    def _by_pattern(self, value: Any, place: tuple[str, ...]) -> dict[_Pattern, Any]:
        nodes = self._named(value, place)
        return {self._pattern(name, (*place, name)): node for name, node in nodes.items()}

    def _pattern(self, value: Any, place: tuple[str, ...]) -> _Pattern:
        _must(isinstance(value, str), place, "It must be text.")
        if value not in self._patterns:
            _must(len(self._patterns) < _MAX_PATTERNS, place, "There are too many patterns.")
            self._patterns[value] = _Pattern(*_regex(value, place))
        return self._patterns[value]

    def _target(self, ref: str, place: tuple[str, ...]) -> _Node | bool:
        _must(ref.startswith("#"), place, "It must begin with #: nothing is fetched.")
        first, *steps = unquote(ref[1:]).split("/")
        target = tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)
        _must(not first and target in self._nodes, place, f"No schema is there. {_USE_DEFS}")
        return self._nodes[target]


def _must(holds: bool, place: tuple[str, ...], reason: str) -> None:
    if not holds:
        raise _bad(place, reason)


def _bad(place: tuple[str, ...], reason: str) -> BadSchema:
    keys = (_cut(key, _MAX_KEY_CHARS).replace("~", "~0").replace("/", "~1") for key in place)
    return BadSchema("/" + "/".join(map(_cut_line, keys)), reason)


def _regex(written: str, place: tuple[str, ...]) -> tuple[Any, int]:
    """The pattern for RE2, and how many instructions it became."""
    re2 = _library().re2
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
        raise _bad(place, f"RE2 does not take this pattern: {_cut(why)}. {advice}") from None
    return regex, regex.programsize


def _fields(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def _listed(value: Any) -> list[Any]:
    return _items(value) if isinstance(value, list) else [value]


def _key(value: Any, levels: int = _MAX_LEVELS) -> Any:
    """The same key for what JSON calls equal: 1 and 1.0, but not 1 and true."""
    match value:
        case bool():
            return ("true",) if value else ("false",)
        case float() if value.is_integer():
            return _key(int(value))
        case int() if abs(value) >= 2**61:
            return "#", hex(value)  # as itself, its hash could be chosen to collide
        case list() | dict() if not levels:
            raise _TooMuch
        case list():
            items = _items(value)
            _spend((1 + len(items)) / _KEY_STEP)
            return "[", *(_key(one, levels - 1) for one in items)
        case dict():
            fields = _fields(value)
            _spend((1 + len(fields)) / _KEY_STEP)
            return "{", frozenset((name, _key(one, levels - 1)) for name, one in fields.items())
        case _:
            return value


# -- Looking at a body ------------------------------------------------------------------------

_Check = Callable[[Any, Any, Any, Any], Iterable[Any]]  # validator, value, body, schema


class _Types:
    """Takes the place of jsonschema's, whose Rust panics where Python's stack ends."""

    def is_type(self, value: Any, type: str) -> bool:
        return _TYPES[type](value)


class _Library(NamedTuple):
    validator: Any
    error: Any
    registry: Any
    re2: Any


@cache
def _library() -> _Library:
    """jsonschema with our keywords, and RE2; importing them takes longer than all of ours."""
    import re2  # pyright: ignore[reportMissingTypeStubs] -- it has none
    from jsonschema import Draft202012Validator, ValidationError, validators
    from referencing import Registry

    base: Any = Draft202012Validator
    checks: Mapping[str, _Check] = {**base.VALIDATORS, **_CHECKS}
    mine = {keyword: _ticking(keyword, check) for keyword, check in checks.items()}
    nothing_fetched: Registry[Any] = Registry()
    made = cast("Any", validators).extend(base, mine, type_checker=_Types())
    return _Library(made, ValidationError, nothing_fetched, re2)


# The keywords that look through their own value, or through the body.
_LOOPS: Mapping[str, str] = {
    **dict.fromkeys(("properties", "required", "dependentRequired", "dependentSchemas"), "own"),
    **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), "own"),
    **dict.fromkeys(("items", "contains", "uniqueItems"), "body"),
    **dict.fromkeys(("additionalProperties", "propertyNames"), "body"),
}


def _ticking(keyword: str, check: _Check) -> _Check:
    """The check, which pays for its looks."""
    loops = _LOOPS.get(keyword)
    nests = "schema" in _KEYWORDS.get(keyword, "") or keyword == "$ref"

    def paid(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
        loop = value if loops == "own" else body if loops == "body" else ()
        _spend(1 + len(_fields(loop) or _items(loop)) / _LOOP_STEP)
        errors = check(validator, value, body, schema)
        return _one_level(errors) if nests else errors

    return paid


def _error(detail: Any = "", path: Sequence[Any] = (), context: Sequence[Any] = ()) -> Any:
    _spend(_ERROR_STEPS)
    return _library().error(detail, path=path, context=context)


def _test(type: str, fails: Callable[[Any, Any], bool]) -> _Check:
    """A check of bodies of one type, which is told the keyword's value and the body."""

    def check(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
        return (_error(),) if validator.is_type(body, type) and fails(value, body) else ()

    return check


def _is_no_multiple(step: Any, number: Any) -> bool:
    """As the numbers are written, so 0.3 is a multiple of 0.1."""
    if isinstance(step, int) and isinstance(number, int):
        return number % step != 0
    _spend(_FRACTION_STEPS)
    if isinstance(number, float) and not math.isfinite(number):
        return True
    return _fraction(number) % _fraction(step) != 0


def _fraction(number: Any) -> Any:
    from fractions import Fraction  # late: few schemas need it, and it brings decimal

    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _type(validator: Any, types: Any, body: Any, schema: Any) -> Iterable[Any]:
    return () if any(validator.is_type(body, one) for one in _listed(types)) else (_error(),)


def _among(validator: Any, keys: Any, body: Any, schema: Any) -> Iterable[Any]:
    return () if _key(body) in keys else (_error(),)


def _required(validator: Any, names: Any, body: Any, schema: Any) -> Iterator[Any]:
    missing = [name for name in names if name not in body] if isinstance(body, dict) else []
    if missing:
        yield _error(missing, path=missing[:1])


def _dependent(validator: Any, needs: Any, body: Any, schema: Any) -> Iterator[Any]:
    for name in needs if isinstance(body, dict) else ():
        if name in body:
            _spend(len(needs[name]) / _LOOP_STEP)
            yield from (_error(name, path=[one]) for one in needs[name] if one not in body)


def _additional(validator: Any, rest: Any, body: Any, schema: Any) -> Iterator[Any]:
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for name in _fields(body):
        if name in known or any(pattern.found_in(name) for pattern in patterns):
            continue
        if rest is _NEVER:
            yield _error(path=[name])
        else:
            yield from validator.descend(body[name], rest, path=name)


def _by_pattern(validator: Any, nodes: Any, body: Any, schema: Any) -> Iterator[Any]:
    for pattern, node in nodes.items():
        for name in filter(pattern.found_in, _fields(body)):
            yield from validator.descend(body[name], node, path=name)


def _property_names(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    for name in _fields(body):
        errors: list[Any] = list(islice(validator.descend(name, node), _MAX_BRANCH_ERRORS))
        if errors:
            yield _error(path=[name], context=errors)


def _unique(validator: Any, wanted: Any, body: Any, schema: Any) -> Iterator[Any]:
    items = _items(body) if wanted else []
    _spend(len(items) / _LOOP_STEP)  # once more: remembering takes as long as looking
    seen: dict[Any, int] = {}
    for index, item in enumerate(items):
        first = seen.setdefault(_key(item), index)
        if first != index:
            yield _error(first, path=[index])


def _contains(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    if isinstance(body, list):
        looker = validator.evolve(schema=node)
        found = sum(map(looker.is_valid, _items(body)))
        if not schema.get("minContains", 1) <= found <= schema.get("maxContains", math.inf):
            yield _error(found)


def _branches(most: float) -> _Check:
    """At least one branch fits, and at most this many."""

    def check(validator: Any, branches: Any, body: Any, schema: Any) -> Iterator[Any]:
        fitting: list[int] = []
        context: list[Any] = []
        for index, branch in enumerate(branches):
            found = validator.descend(body, branch, schema_path=index)
            errors: list[Any] = list(islice(found, _MAX_BRANCH_ERRORS))
            context += errors
            fitting += [] if errors else [index]
            if fitting and most == math.inf:
                return
        if not 1 <= len(fitting) <= most:
            yield _error(fitting, context=() if fitting else context)

    return check


def _not(validator: Any, node: Any, body: Any, schema: Any) -> Iterator[Any]:
    if validator.evolve(schema=node).is_valid(body):
        yield _error()


def _refer(validator: Any, node: Any, body: Any, schema: Any) -> Iterable[Any]:
    return validator.descend(body, node)


def _never(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
    return (_error(),)


def _always(validator: Any, value: Any, body: Any, schema: Any) -> Iterable[Any]:
    return ()


_CHECKS: Mapping[str, _Check] = {
    "$ref": _refer,
    "false": _never,
    "type": _type,
    "enum": _among,
    "const": _among,
    "additionalProperties": _additional,
    "required": _required,
    "propertyNames": _property_names,
    "dependentRequired": _dependent,
    "minimum": _test("number", lambda least, number: number < least),
    "maximum": _test("number", lambda most, number: number > most),
    "exclusiveMinimum": _test("number", lambda least, number: number <= least),
    "exclusiveMaximum": _test("number", lambda most, number: number >= most),
    "multipleOf": _test("number", _is_no_multiple),
    "minLength": _test("string", lambda least, text: len(text) < least),
    "maxLength": _test("string", lambda most, text: len(text) > most),
    "minItems": _test("array", lambda least, items: len(items) < least),
    "maxItems": _test("array", lambda most, items: len(items) > most),
    "minProperties": _test("object", lambda least, fields: len(fields) < least),
    "maxProperties": _test("object", lambda most, fields: len(fields) > most),
    "pattern": _test("string", lambda pattern, text: not pattern.found_in(text)),
    "uniqueItems": _unique,
    "contains": _contains,
    "patternProperties": _by_pattern,
    "anyOf": _branches(math.inf),
    "oneOf": _branches(1),
    "not": _not,
    # Alone they always hold, but have to be paid for.
    **dict.fromkeys(("then", "else", "minContains", "maxContains", "examples", "default"), _always),
}


# -- Telling what is wrong --------------------------------------------------------------------

_TOO_COMPLICATED = Violation(
    "body", "is too complicated to check against its schema: make it smaller", {}
)

# What stands in the way of mending the rest comes first.
_RANKS: Mapping[str, int] = {
    "enum": 0,
    "const": 0,
    "type": 1,
    "additionalProperties": 2,  # a name misspelled is both unknown and missing
    "required": 3,
    "not": 5,
    "anyOf": 5,
    "oneOf": 5,
}
_LATER = 4
_NAMING = ("properties", "patternProperties")
_NAMES_A_FIELD = frozenset(("additionalProperties", "required", "dependentRequired"))


def _nearest(errors: Sequence[Any]) -> Any:
    """The error nearest to the root, and among those what should be mended first."""
    return min(errors, key=_distance)


def _distance(error: Any) -> tuple[int, int]:
    depth = len(error.path) - (error.validator in _NAMES_A_FIELD)  # it is about the object
    return depth, _RANKS.get(error.validator, _LATER)


def _violation(error: Any) -> Violation:
    if error.context and error.validator in ("anyOf", "oneOf"):
        groups = groupby(error.context, key=lambda one: one.schema_path[0])
        branches = [list(branch) for _, branch in groups]
        return _shared(error, branches) or _violation(_nearest(min(branches, key=_misfit)))
    return _told(error, error.absolute_path, _rule(error))


def _told(error: Any, path: Iterable[Any], rule: str) -> Violation:
    excerpt = {error.validator: _written(error)} if error.schema.written else False
    return Violation(_path(path), rule, _shortened(excerpt))


def _misfit(branch: Sequence[Any]) -> tuple[bool, bool, int]:
    """How far a branch is from what was meant: another type, another tag, many errors."""
    other_type = any(one.validator in ("type", "false") and not one.path for one in branch)
    return other_type, _tag(branch) is not None, len(branch)


def _tag(branch: Sequence[Any], keywords: Sequence[str] = ("const", "enum"), depth: int = 1) -> Any:
    """The first error about the value itself or a field of it, or None."""
    return next((e for e in branch if e.validator in keywords and len(e.path) <= depth), None)


def _shared(error: Any, branches: Sequence[Sequence[Any]]) -> Violation | None:
    """What all the branches miss in one place: types, values or fields, any of which would do."""
    if all(len(b) == 1 and b[0].validator == "required" and len(b[0].path) == 1 for b in branches):
        ways = dict.fromkeys(_listing(b[0].message, _name, " and ") for b in branches)
        return _told(error, error.absolute_path, f"must have {_listing(ways, str, ' or ')}")
    for keywords, depth in ((("type",), 0), (("const", "enum"), 1)):
        tags = [_tag(branch, keywords, depth) for branch in branches]
        if all(tags) and len({tuple(tag.path) for tag in tags}) == 1:
            values = [value for tag in tags for value in _alternatives(tag)]
            every = list({repr(_key(value)): value for value in values}.values())
            rule = _RULES["enum" if depth else "type"](every, error)
            return _told(error, tags[0].absolute_path, rule)
    return None


def _alternatives(error: Any) -> list[Any]:
    return [_written(error)] if error.validator == "const" else _listed(_written(error))


def _written(error: Any) -> Any:
    return error.schema.written.get(error.validator) if error.schema.written else None


def _rule(error: Any) -> str:
    return _RULES[error.validator](_written(error), error)


def _limit(words: str, unit: str = "") -> Callable[[Any, Any], str]:
    """A rule about a size, which also says what the size is."""

    def rule(limit: Any, error: Any) -> str:
        if not unit:
            return f"must be {words} {_shown(limit)}"
        return f"must have {words} {_count(limit, unit)}; it has {len(error.instance)}"

    return rule


def _unknown(value: Any, error: Any) -> str:
    names, patterns = (error.schema.written.get(one, {}) for one in _NAMING)
    known = [_listing(names, _name)] if names else []
    known += [f"names that match {_listing(patterns, _cut_line)}"] if patterns else []
    return f"is not known here; known are: {' and '.join(known) or 'none'}"


def _missing(value: Any, error: Any) -> str:
    others = error.message[1:]
    so = "so is" if len(others) == 1 else "so are"
    return f"is missing; {so} {_listing(others, _name)}" if others else "is missing"


def _contains_rule(value: Any, error: Any) -> str:
    least, most = (error.schema.get(name) for name in ("minContains", "maxContains"))
    least = 1 if least is None else least
    bounds = f"at least {least}" if most is None else f"{_shown(least)} to {_shown(most)}"
    return f"must hold {bounds} of the items that contains asks for; it holds {error.message}"


def _forbidden(value: Any, error: Any) -> str:
    keyword, *others = _fields(value) or ("",)
    if not others and keyword in ("const", "enum", "type", "pattern"):
        return _RULES[keyword](value[keyword], error).replace("must", "must not", 1)
    return "must not be as its schema says under not"


_RULES: Mapping[str, Callable[[Any, Any], str]] = {
    "false": lambda value, error: "is not allowed here",
    "type": lambda types, error: f"must be {' or '.join(_WORDS[one] for one in _listed(types))}",
    "enum": lambda values, error: f"must be one of {_listing(values) or 'none'}",
    "const": lambda value, error: f"must be {_shown(value)}",
    "additionalProperties": _unknown,
    "required": _missing,
    "propertyNames": lambda value, error: (
        f"has a name that {_violation(_nearest(error.context)).rule}"
    ),
    "dependentRequired": lambda value, error: f"is missing; {_name(error.message)} needs it",
    "minimum": _limit("at least"),
    "maximum": _limit("at most"),
    "exclusiveMinimum": _limit("more than"),
    "exclusiveMaximum": _limit("less than"),
    "multipleOf": _limit("a multiple of"),
    "minLength": _limit("at least", "character"),
    "maxLength": _limit("at most", "character"),
    "minItems": _limit("at least", "item"),
    "maxItems": _limit("at most", "item"),
    "minProperties": _limit("at least", "field"),
    "maxProperties": _limit("at most", "field"),
    "pattern": lambda pattern, error: f"must match the pattern {_cut_line(pattern)}",
    "uniqueItems": lambda value, error: f"is the same as item {error.message}; all must differ",
    "contains": _contains_rule,
    "not": _forbidden,
    "oneOf": lambda value, error: (
        "must fit exactly one of oneOf, but fits its schemas "
        f"{error.message[0]} and {error.message[1]}"
    ),
}


def _count(number: Any, unit: str) -> str:
    return f"{_shown(number)} {unit}" if number == 1 else f"{_shown(number)} {unit}s"


def _cut(text: str, size: int = _MAX_VALUE_CHARS) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _cut_line(text: str) -> str:
    """The text cut to one line, with what cannot be seen escaped."""
    return _cut(text if text.isprintable() else json.dumps(text)[1:-1])


def _shown(value: Any) -> str:
    """The value as JSON on one line, cut short."""
    value = _cut(value) if isinstance(value, str) else value
    line = json.dumps(value, ensure_ascii=False)
    return _cut(line if line.isprintable() else json.dumps(value), _MAX_VALUE_CHARS + len('""'))


def _name(key: str) -> str:
    """A field's name as it stands in a path or a list."""
    return _cut(key, _MAX_KEY_CHARS) if key.isidentifier() else _shown(_cut(key, _MAX_KEY_CHARS))


def _listing(
    values: Collection[Any], show: Callable[[Any], str] = _shown, comma: str = ", "
) -> str:
    """The values side by side, as many as can be read at a glance."""
    kept: list[str] = []
    for value in values:
        if sum(map(len, kept)) > _MAX_LIST_CHARS:
            break
        kept.append(show(value))
    more = len(values) - len(kept)
    return comma.join(kept) + (f" and {more} more" if more else "")


def _path(parts: Iterable[Any]) -> str:
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{_name(part)}" if part.isidentifier() else f"[{_name(part)}]"
    text = text.removeprefix(".")
    half = _MAX_PATH_CHARS // 2
    return (text if len(text) <= _MAX_PATH_CHARS else f"{text[:half]}…{text[-half:]}") or "body"


def _shortened(excerpt: Any) -> Any:
    """A copy of about 1 KiB at most, with … for what was left out."""
    copy = json.loads(json.dumps(excerpt))
    for width, depth in ((20, 6), (8, 5), (8, 3), (3, 3), (3, 2)):
        if len(json.dumps(copy, ensure_ascii=False)) <= _MAX_EXCERPT_CHARS:
            break
        copy = _trimmed(copy, width, depth)
    return copy


def _trimmed(value: Any, width: int, depth: int) -> Any:
    if isinstance(value, str):
        return _cut(value)
    if not isinstance(value, dict | list):
        return value if len(json.dumps(value)) <= _MAX_VALUE_CHARS else _shown(value)
    if not depth:
        return "…"
    if isinstance(value, list):
        value = _items(value)
        kept = [_trimmed(one, width, depth - 1) for one in value[:width]]
        return kept + ["…"] * (len(value) > width)
    value = _fields(value)
    kept = {_cut(k): _trimmed(v, width, depth - 1) for k, v in islice(value.items(), width)}
    return kept | ({"…": "…"} if len(value) > width else {})


# -- Inventing a body -------------------------------------------------------------------------

_SAMPLES: Mapping[str, str] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

# Which keywords tell the type of a schema that does not.
_TELLING: Mapping[str, frozenset[str]] = {
    "object": frozenset(("properties", "required", "additionalProperties", "minProperties")),
    "array": frozenset(("items", "prefixItems", "minItems", "contains", "uniqueItems")),
    "number": frozenset(("minimum", "maximum", "multipleOf", "exclusiveMinimum")),
    "string": frozenset(("minLength", "maxLength", "pattern")),
}


def _invented(validator: Any, schemas: Sequence[Any]) -> Iterator[Any]:
    """Values that fit all the schemas."""
    for nodes in _readings(schemas):
        for value in _offers(validator, nodes):
            if all(validator.evolve(schema=schema).is_valid(value) for schema in schemas):
                yield value


def _readings(schemas: Sequence[Any], read: Sequence[_Node] = ()) -> Iterator[Sequence[_Node]]:
    """The schemas with what they refer to, once for each way to choose among branches."""
    if not schemas:
        yield read
        return
    _spend(_READING_STEPS)
    first, *rest = schemas
    if first is _NEVER:
        return
    if first is True:
        yield from _readings(rest, read)
        return
    rest += [*first.get("allOf", ()), *([first["$ref"]] if "$ref" in first else ())]
    choices: list[list[tuple[Any, ...]]]
    choices = [[(one,) for one in first[name]] for name in ("anyOf", "oneOf") if name in first]
    if "if" in first:
        choices.append([(first["if"], first.get("then", True)), (first.get("else", True),)])
    for choice in product(*choices):
        yield from _readings([*rest, *chain(*choice)], [*read, first])


def _offers(validator: Any, nodes: Sequence[_Node]) -> Iterator[Any]:
    """Values worth a try, those of the schemas' writer first."""
    for node in nodes:
        yield from node.get("examples", ())
        yield from [node["default"]] if "default" in node else ()
    for node in nodes:
        if "const" in node or "enum" in node:
            yield from node.written["enum"] if "enum" in node else [node.written["const"]]
            return
    for type in _likely_types(nodes):
        yield from _INVENTORS[type](validator, nodes)


def _likely_types(nodes: Sequence[_Node]) -> Sequence[str]:
    """The types that all the schemas allow, those first whose keywords they use."""
    named = [_listed(types) for types in _every(nodes, "type")]
    whole = [[*types, "integer"] if "number" in types else types for types in named]
    allowed = [type for type in _WORDS if all(type in types for types in whole)]
    used = set(chain(*nodes))
    return sorted(allowed, key=lambda type: not used & _TELLING.get(type, frozenset()))


def _every(nodes: Sequence[_Node], *keywords: str) -> list[Any]:
    return [node[keyword] for node in nodes for keyword in keywords if keyword in node]


def _texts(validator: Any, nodes: Sequence[_Node]) -> Iterator[str]:
    least = max(_every(nodes, "minLength"), default=0)
    most = min(_every(nodes, "maxLength"), default=_MAX_INVENTED)
    formats = [_SAMPLES.get(node.written.get("format", ""), "") for node in nodes]
    patterns = [pattern.first_match() for pattern in _every(nodes, "pattern")]
    simple = ("text", "a", "A", "0", *(f"text{number}" for number in range(2, 20)))
    for text in filter(None, (*formats, *patterns, *simple)):
        size = int(min(max(least, len(text)), most, _MAX_INVENTED))
        yield (text * size)[:size]


def _numbers(validator: Any, nodes: Sequence[_Node], whole: bool = False) -> Iterator[Any]:
    low = max(map(_fraction, _every(nodes, "minimum", "exclusiveMinimum")), default=None)
    high = min(map(_fraction, _every(nodes, "maximum", "exclusiveMaximum")), default=None)
    steps = [_fraction(1)] * whole + [_fraction(one) for one in _every(nodes, "multipleOf")]
    parts = [(step.numerator, step.denominator) for step in steps or [_fraction(1)]]
    step = _fraction(math.lcm(*(over for over, _ in parts)))
    step /= math.gcd(*(under for _, under in parts))
    start = _fraction(0)
    if low is not None:
        start = math.ceil(low / step) * step
    elif high is not None:
        start = min(start, math.floor(high / step) * step)
    middle = [(low + high) / 2] if low is not None and high is not None else []
    for value in (start, *middle, *(start + n * step for n in range(1, 20)), start - step):
        if abs(value) < _MAX_NUMBER:
            yield int(value) if value.denominator == 1 else float(value)


def _lists(validator: Any, nodes: Sequence[_Node]) -> Iterator[list[Any]]:
    wanted = [node.get("minContains", 1) for node in nodes if "contains" in node]
    size = max([*_every(nodes, "minItems"), *wanted], default=0)
    unique = any(_every(nodes, "uniqueItems"))
    made: list[Any] = []
    seen: set[Any] = set()
    for index in range(int(size) if size <= _MAX_INVENTED else 0):
        schemas = chain.from_iterable(_schemas_of_item(node, index) for node in nodes)
        values = _invented(validator, list(schemas))
        value = next((one for one in values if not unique or _key(one) not in seen), _NOTHING)
        if value is _NOTHING:
            return
        made.append(value)
        seen.add(_key(value))
    yield made


def _schemas_of_item(node: _Node, index: int) -> Iterator[Any]:
    prefix = node.get("prefixItems", ())
    yield prefix[index] if index < len(prefix) else node.get("items", True)
    if "contains" in node and index < node.get("minContains", 1):
        yield node["contains"]


def _objects(validator: Any, nodes: Sequence[_Node]) -> Iterator[dict[str, Any]]:
    known: list[str] = list(dict.fromkeys(chain(*_every(nodes, "properties"))))
    needed: dict[str, None] = dict.fromkeys(chain(*_every(nodes, "required")))
    for name in (queue := list(needed)):  # which grows: a field may need others
        more = chain(*(needs.get(name, ()) for needs in _every(nodes, "dependentRequired")))
        queue += (added := [one for one in dict.fromkeys(more) if one not in needed])
        needed |= dict.fromkeys(added)
    least = int(min(max(_every(nodes, "minProperties"), default=0), _MAX_INVENTED))
    spare = [name for name in known if name not in needed]
    needed |= dict.fromkeys(spare[: max(0, least - len(needed))])
    made: dict[str, Any] = {}
    for name in dict.fromkeys([name for name in known if name in needed] + list(needed)):
        schemas = chain.from_iterable(_schemas_of_field(node, name) for node in nodes)
        made[name] = next(_invented(validator, list(schemas)), _NOTHING)
        if made[name] is _NOTHING:
            return
    yield made


def _schemas_of_field(node: _Node, name: str) -> list[Any]:
    patterns = node.get("patternProperties", {})
    found = [schema for pattern, schema in patterns.items() if pattern.found_in(name)]
    found += [node["properties"][name]] if name in node.get("properties", ()) else []
    return found or [node.get("additionalProperties", True)]


_INVENTORS: Mapping[str, Callable[[Any, Sequence[_Node]], Iterator[Any]]] = {
    "string": _texts,
    "integer": lambda validator, nodes: _numbers(validator, nodes, whole=True),
    "number": _numbers,
    "boolean": lambda validator, nodes: iter((True, False)),
    "object": _objects,
    "array": _lists,
    "null": lambda validator, nodes: iter((None,)),
}
