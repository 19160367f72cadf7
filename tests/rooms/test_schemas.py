"""Schemas of strangers: what is wrong is told exactly, and nothing they write costs much."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from room_mcp.rooms.schemas import (
    MAX_SCHEMA_BYTES,
    BadSchema,
    Violation,
    compiled,
    example_for,
)

TOO_COMPLICATED = Violation(
    "body", "is too complicated to check against its schema: make it smaller", {}
)

ISSUE = {
    "type": "object",
    "required": ["id", "severity", "text"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": r"^[A-Z]+-\d+$"},
        "severity": {"enum": ["blocker", "major"]},
        "text": {"type": "string", "minLength": 3},
    },
}
REVIEW = {
    "type": "object",
    "required": ["ref", "issues"],
    "properties": {
        "ref": {"type": "string"},
        "issues": {"type": "array", "maxItems": 2, "items": ISSUE},
    },
}
GOOD_ISSUE = {"id": "A-1", "severity": "major", "text": "it leaks"}
MOVES = {
    "oneOf": [
        {"properties": {"kind": {"const": "go"}, "to": {"type": "string"}}, "required": ["to"]},
        {"properties": {"kind": {"const": "stay"}, "for": {"type": "integer"}}},
    ]
}


def review(**issue: Any) -> dict[str, Any]:
    return {"ref": "r", "issues": [{**GOOD_ISSUE, **issue}]}


def fields(**schemas: Any) -> dict[str, Any]:
    return {"properties": schemas}


VIOLATIONS: list[tuple[Any, Any, str, str]] = [
    (REVIEW, 3, "body", "must be an object"),
    (REVIEW, {"ref": "r"}, "issues", "is missing"),
    (REVIEW, {}, "ref", "is missing; so is issues"),
    ({"required": ["a", "b", "c"]}, {}, "a", "is missing; so are b, c"),
    (REVIEW, review(severity="urgent"), "issues[0].severity", 'must be one of "blocker", "major"'),
    (REVIEW, review(id="1"), "issues[0].id", r"must match the pattern ^[A-Z]+-\d+$"),
    (REVIEW, review(text=3), "issues[0].text", "must be text"),
    (
        REVIEW,
        review(text="no"),
        "issues[0].text",
        "must have at least 3 characters; it has 2",
    ),
    (
        REVIEW,
        review(line=3),
        "issues[0].line",
        "is not known here; known are: id, severity, text",
    ),
    (
        REVIEW,
        {"ref": "r", "issues": [GOOD_ISSUE] * 3},
        "issues",
        "must have at most 2 items; it has 3",
    ),
    ({"type": ["integer", "null"]}, 1.5, "body", "must be a whole number or null"),
    ({"type": "boolean"}, 1, "body", "must be true or false"),
    ({"const": {"a": 1}}, {"a": True}, "body", 'must be {"a": 1}'),
    ({"const": "x" * 99}, 1, "body", 'must be "' + "x" * 79 + '…"'),
    ({"enum": [1, None]}, True, "body", "must be one of 1, null"),
    ({"minimum": 3}, 2, "body", "must be at least 3"),
    ({"maximum": 3}, 4, "body", "must be at most 3"),
    ({"exclusiveMinimum": 3}, 3, "body", "must be more than 3"),
    ({"exclusiveMaximum": 0.5}, 0.5, "body", "must be less than 0.5"),
    ({"multipleOf": 0.1}, 0.35, "body", "must be a multiple of 0.1"),
    ({"maxLength": 1}, "ab", "body", "must have at most 1 character; it has 2"),
    ({"minItems": 1}, [], "body", "must have at least 1 item; it has 0"),
    ({"minProperties": 2}, {"a": 1}, "body", "must have at least 2 fields; it has 1"),
    ({"maxProperties": 0}, {"a": 1}, "body", "must have at most 0 fields; it has 1"),
    ({"uniqueItems": True}, [1, 2, 1.0], "[2]", "is the same as item 0; all must differ"),
    (
        {"contains": {"const": 1}, "minContains": 2},
        [1],
        "body",
        "must hold at least 2 of the items that contains asks for; it holds 1",
    ),
    (
        {"contains": {"const": 1}, "maxContains": 1},
        [1, 1],
        "body",
        "must hold 1 to 1 of the items that contains asks for; it holds 2",
    ),
    ({"additionalProperties": False}, {"a": 1}, "a", "is not known here; known are: none"),
    (
        {"additionalProperties": False, "patternProperties": {"^x-": True}},
        {"a": 1},
        "a",
        "is not known here; known are: names that match ^x-",
    ),
    ({"additionalProperties": {"type": "null"}}, {"a": 1}, "a", "must be null"),
    ({"patternProperties": {"^x": {"type": "array"}}}, {"x1": 1}, "x1", "must be a list"),
    (
        {"propertyNames": {"maxLength": 3}},
        {"abcd": 1},
        "abcd",
        "has a name that must have at most 3 characters; it has 4",
    ),
    ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "b", "is missing; a needs it"),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, "b", "is missing"),
    (fields(a=False), {"a": 1}, "a", "is not allowed here"),
    ({"prefixItems": [True], "items": False}, [1, 2], "[1]", "is not allowed here"),
    ({"not": {"const": "x"}}, "x", "body", 'must not be "x"'),
    ({"not": {"minimum": 1}}, "x", "body", "must not be as its schema says under not"),
    ({"if": {"minimum": 9}, "then": {"type": "integer"}}, 9.5, "body", "must be a whole number"),
    ({"if": {"minimum": 9}, "else": {"minimum": 5}}, 4, "body", "must be at least 5"),
    ({"allOf": [True, {"minimum": 5}]}, 4, "body", "must be at least 5"),
    (
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"minimum": 5}}},
        4,
        "body",
        "must be at least 5",
    ),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 3, "body", "must be text or null"),
    ({"anyOf": [{"const": 1}, {"enum": [2, 3]}]}, 4, "body", "must be one of 1, 2, 3"),
    (
        {"anyOf": [{"required": ["a"]}, {"required": ["b", "c"]}]},
        {},
        "body",
        "must have a or b and c",
    ),
    ({"anyOf": [{"type": "null"}, ISSUE]}, {"id": "A-1"}, "severity", "is missing; so is text"),
    (MOVES, {"kind": "go", "to": 3}, "to", "must be text"),
    (MOVES, {"kind": "fly", "to": "x", "for": "y"}, "kind", 'must be one of "go", "stay"'),
    (
        {"oneOf": [{"minimum": 1}, {"type": "string"}, {"minimum": 2}]},
        3,
        "body",
        "must fit exactly one of oneOf, but fits its schemas 0 and 2",
    ),
    (False, 1, "body", "is not allowed here"),
]


@pytest.mark.parametrize(("schema", "body", "path", "rule"), VIOLATIONS)
def test_a_violation_names_its_place_and_its_rule(schema: Any, body: Any, path: str, rule: str):
    violation = compiled(schema).violation(body)

    assert violation is not None
    assert (violation.path, violation.rule) == (path, rule)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (REVIEW, {"ref": "", "issues": [GOOD_ISSUE] * 2}),
        ({"minimum": 1, "maximum": 1, "multipleOf": 0.5}, 1),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"minLength": 2, "maxLength": 2, "format": "email"}, "é😀"),
        ({"minItems": 1, "maxItems": 1, "items": {"type": "integer"}}, [1.0]),
        ({"minProperties": 1, "maxProperties": 1}, {"a": 1}),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 2}, [1, 1.0, True]),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, {"a": True}, 0, False, None, ""]),
        ({"const": {"a": 1, "b": [2]}}, {"b": [2.0], "a": 1}),
    ],
)
def test_a_body_at_the_bounds_of_its_schema_fits(schema: Any, body: Any):
    assert compiled(schema).violation(body) is None


CHOICES: list[tuple[str, Any, Any, str]] = [
    ("a name misspelled before what is missing", ISSUE, {"sevrity": "major"}, "sevrity"),
    ("what is missing before how much is", {"minProperties": 2, "required": ["a"]}, {}, "a"),
    ("the outer before the inner", REVIEW, {"issues": [{}]}, "ref"),
    ("the earlier of equals", {"items": {"type": "null"}}, [None, 1, 2], "[1]"),
    ("the root, though fifty items are wrong", REVIEW, {"issues": [{}] * 99}, "ref"),
]


@pytest.mark.parametrize(
    ("schema", "body", "path"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES]
)
def test_what_has_to_be_mended_first_is_told_first(schema: Any, body: Any, path: str):
    violation = compiled(schema).violation(body)

    assert violation is not None
    assert violation.path == path


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        (("a", "b_c", "ключ"), "a.b_c.ключ"),
        (("odd key",), '["odd key"]'),
        (("a", "two\nlines\u2028"), 'a["two\\nlines\\u2028"]'),
        (("x" * 99,), "x" * 39 + "…"),
        (("\ud800",), '["\\ud800"]'),
        (("abcdefghi",) * 40, "abcdefghi." * 10 + "…" + ".abcdefghi" * 10),
    ],
)
def test_a_path_can_be_read_whatever_the_keys_are(keys: tuple[str, ...], path: str):
    tree = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object"}}}
    tree["$defs"]["tree"]["additionalProperties"] = {"$ref": "#/$defs/tree"}
    body: Any = 1
    for key in reversed(keys):
        body = {key: body}

    violation = compiled(tree).violation(body)

    assert violation is not None
    assert violation.path == path


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "long\n" * 2_000},
        {"enum": [f"value {n}\u2028" for n in range(999)]},
        {"enum": [10**4000, {"a": ["b" * 9_000]}]},
        {"pattern": "^" + "a" * 900},
        {"additionalProperties": False, "properties": {"p" * n: True for n in range(1, 200)}},
        {"required": ["n" * n for n in range(1, 200)]},
        {"anyOf": [{"required": ["n" * n]} for n in range(1, 200)]},
        {"oneOf": [{"type": "array", "maxItems": n} for n in range(500)]},
        {"not": {"enum": ["here", "x" * 9_000]}, "minLength": 5},
        {"minimum": 10**4000},
    ],
)
@pytest.mark.parametrize("body", ["here", {"x" * 70_000: "y" * 70_000}, 3])
def test_a_violation_is_short_whatever_the_schema_and_the_body_hold(schema: Any, body: Any):
    violation = compiled(schema).violation(body) or TOO_COMPLICATED

    assert violation.rule.isprintable()
    assert len(violation.rule) < 600
    assert len(violation.path) <= 201
    assert len(json.dumps(violation.schema, ensure_ascii=False)) <= 1024


def test_a_violation_carries_the_keyword_that_failed():
    schema = {"properties": {"a": {"type": "string", "enum": ["x", "y"], "title": "A"}}}

    violation = compiled(schema).violation({"a": "z"})

    assert violation is not None
    assert violation.schema == {"enum": ["x", "y"]}


# -- Refused schemas ------------------------------------------------------------------------

DEEP: Any = {}
for _ in range(32):
    DEEP = {"not": DEEP}

ENDLESS: Any = []
for _ in range(100_000):
    ENDLESS = [ENDLESS]

BAD: list[tuple[Any, str, str]] = [
    ("text", "/", "It must be an object, true or false."),
    (None, "/", "It must be an object, true or false."),
    ({"const": "x" * MAX_SCHEMA_BYTES}, "/", "It has 32780 bytes; at most 32768 are allowed."),
    (DEEP, "/", "It is nested too deep; at most 32 levels are allowed."),
    (ENDLESS, "/", "It is nested too deep; at most 32 levels are allowed."),
    ({"minimum": float("nan")}, "/", "It is not JSON: it holds NaN, Infinity or worse."),
    ({"maximum": float("inf")}, "/", "It is not JSON: it holds NaN, Infinity or worse."),
    ({"const": {1, 2}}, "/", "It is not JSON: it holds NaN, Infinity or worse."),
    ({"const": 10**5000}, "/", "It is not JSON: it holds NaN, Infinity or worse."),
    (
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        "/$schema",
        "Only https://json-schema.org/draft/2020-12/schema is understood.",
    ),
    (
        {"not": {"$id": "x"}},
        "/not/$id",
        "$id is not allowed here. Only the whole schema may have one.",
    ),
    (
        {"items": {"$dynamicRef": "#a"}},
        "/items/$dynamicRef",
        "$dynamicRef is not allowed here. Put the schema under $defs and refer to it: "
        '{"$ref": "#/$defs/name"}.',
    ),
    (
        {"unevaluatedProperties": False},
        "/unevaluatedProperties",
        "unevaluatedProperties is not allowed here. "
        "Use additionalProperties beside all the properties.",
    ),
    (
        {"unevaluatedItems": False},
        "/unevaluatedItems",
        "unevaluatedItems is not allowed here. Use items beside prefixItems.",
    ),
    ({"$ref": "https://a.example/s"}, "/$ref", "It must begin with #: nothing is fetched."),
    (
        {"$ref": "#/$defs/b", "$defs": {"a": {}}},
        "/$ref",
        'No schema is there. Put the schema under $defs and refer to it: {"$ref": "#/$defs/name"}.',
    ),
    (
        {"$ref": "#/default", "default": {"type": "string"}},
        "/$ref",
        'No schema is there. Put the schema under $defs and refer to it: {"$ref": "#/$defs/name"}.',
    ),
    (
        {"properties": {"a/b": {"minLength": -1}}},
        "/properties/a~1b/minLength",
        "It must be a whole number, 0 or more.",
    ),
    ({"minItems": True}, "/minItems", "It must be a whole number, 0 or more."),
    ({"multipleOf": 0}, "/multipleOf", "It must be a number above 0."),
    (
        {"type": "text"},
        "/type",
        "It must be one of string, integer, number, boolean, object, array, null, "
        "or a list of them.",
    ),
    ({"required": "a"}, "/required", "It must be a list of texts that all differ."),
    ({"anyOf": []}, "/anyOf", "It must be a list of schemas."),
    ({"items": [True]}, "/items", "It must be an object, true or false."),
    ({"properties": {"a": 1}}, "/properties/a", "It must be an object, true or false."),
    (
        {"properties": {"x" * 99: 1}},
        "/properties/" + "x" * 39 + "…",
        "It must be an object, true or false.",
    ),
    ({"pattern": "\ud800"}, "/pattern", "It holds half a character."),
    (
        {"anyOf": [{"pattern": str(n)} for n in range(33)]},
        "/anyOf/32/pattern",
        "There are too many patterns.",
    ),
]


@pytest.mark.parametrize(("document", "place", "reason"), BAD, ids=range(len(BAD)))
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(
    document: Any, place: str, reason: str
):
    with pytest.raises(BadSchema) as caught:
        compiled(document)

    assert (caught.value.place, caught.value.reason) == (place, reason)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "/properties/a/pattern"),
        ({"patternProperties": {r"(a)\1": True}}, r"/patternProperties/(a)\1"),
        ({"pattern": "((a{99}){99}){99}"}, "/pattern"),
        ({"pattern": r"^\pL{1,20}$"}, "/pattern"),
    ],
)
def test_a_pattern_that_takes_much_time_or_room_is_refused(document: Any, place: str):
    with pytest.raises(BadSchema, match="RE2 does not take this pattern: ") as caught:
        compiled(document)

    assert caught.value.place == place


def test_a_schema_is_made_once_and_is_nobodys_to_change():
    document = {"properties": {"a": {"type": "string"}}}
    schema = compiled(document)
    document["properties"]["a"]["type"] = "null"

    assert schema.violation({"a": "x"}) is None
    assert compiled({"properties": {"a": {"type": "string"}}}) is schema


def test_a_process_without_schemas_imports_no_engine():
    code = "import sys, room_mcp.rooms.schemas; print({'jsonschema', 're2'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


# -- Against jsonschema as it is ------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.one_of(st.integers(-3, 5), st.sampled_from([0.5, 1.0, 2.5]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "a", "ab", "abc"]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
COUNTS = st.integers(0, 3)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])
PATTERNS = st.sampled_from(["^a", "b$", "^[a-c]+$", "^$", "."])


def with_some_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, inner, max_size=3)
    some = st.lists(inner, min_size=1, max_size=3)
    names = st.lists(NAMES, max_size=2, unique=True)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, max_size=3),
        "const": VALUES,
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), COUNTS),
        **dict.fromkeys(("minProperties", "maxProperties"), COUNTS),
        "multipleOf": st.integers(1, 3),
        "pattern": PATTERNS,
        "uniqueItems": st.booleans(),
        "required": names,
        "dependentRequired": st.dictionaries(NAMES, names, max_size=2),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        **dict.fromkeys(("properties", "dependentSchemas"), named),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
        **dict.fromkeys(("items", "contains", "additionalProperties"), inner),
        **dict.fromkeys(("not", "propertyNames"), inner),
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
    }
    pairs = [st.tuples(st.just(name), value) for name, value in keywords.items()]
    choices = st.fixed_dictionaries({"if": inner, "then": inner, "else": inner})
    counted = st.fixed_dictionaries(
        {"contains": inner}, optional={"minContains": COUNTS, "maxContains": COUNTS}
    )
    closed = st.fixed_dictionaries({"properties": named, "additionalProperties": inner})
    single = st.lists(st.one_of(pairs), min_size=1, max_size=3).map(dict)
    return single | choices | counted | closed


BRANCHES = st.booleans() | with_some_of(st.booleans())
SCHEMAS = with_some_of(BRANCHES).map(
    lambda schema: {
        **schema,
        "$defs": {"a": {"$ref": "#/$defs/b", "minLength": 1}, "b": {"type": ["string", "object"]}},
    }
)


@settings(deadline=None, max_examples=500)
@given(SCHEMAS, VALUES)
def test_a_body_fits_exactly_when_jsonschema_says_so(document: Any, body: Any):
    expected = Draft202012Validator(document).is_valid(body)

    assert compiled(document).accepts(body) == expected


KEYWORDS = st.sampled_from(
    (
        *("type", "enum", "const", "required", "dependentRequired", "minimum", "multipleOf"),
        *("minLength", "pattern", "uniqueItems", "contains", "properties", "patternProperties"),
        *("items", "prefixItems", "anyOf", "not", "examples", "default", "$defs", "title"),
        *("format", "readOnly", "contentSchema", "dependentSchemas", "$comment", "unheardOf"),
    )
)
ODDITIES = VALUES | TYPES | st.lists(NAMES | TYPES) | st.dictionaries(KEYWORDS, VALUES)


@settings(deadline=None, max_examples=500)
@given(st.dictionaries(KEYWORDS, ODDITIES, min_size=1, max_size=2))
def test_a_schema_is_refused_exactly_when_its_meta_schema_refuses_it(document: Any):
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError:
        with pytest.raises(BadSchema):
            compiled(document)
    else:
        compiled(document)


# -- Examples -------------------------------------------------------------------------------


@settings(deadline=None)
@given(SCHEMAS)
def test_an_example_is_accepted_or_there_is_none(document: Any):
    schema = compiled(document)
    example = example_for(schema)

    assert example is None or schema.accepts(example)


EXAMPLES: list[tuple[Any, Any]] = [
    (REVIEW, {"ref": "text", "issues": []}),
    (ISSUE, {"id": "A-0", "severity": "blocker", "text": "text"}),
    ({"type": "object", "examples": [3, {"a": 1}]}, {"a": 1}),
    ({"type": "object", "default": {"b": 1}}, {"b": 1}),
    ({"const": {"a": [1]}}, {"a": [1]}),
    ({"type": "string", "minLength": 6}, "textte"),
    ({"type": "string", "maxLength": 2}, "te"),
    ({"type": "string", "format": "date"}, "2026-01-31"),
    ({"pattern": "^[0-9a-f]{40}$"}, "0" * 40),
    ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 5),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"maximum": -2.5, "type": "integer"}, -3),
    ({"multipleOf": 0.3, "minimum": 0.1}, 0.3),
    ({"minItems": 3, "uniqueItems": True, "items": {"type": "integer"}}, [0, 1, 2]),
    ({"prefixItems": [{"const": 1}], "items": {"type": "null"}, "minItems": 2}, [1, None]),
    ({"contains": {"type": "boolean"}, "minContains": 2}, [True, True]),
    ({"minProperties": 1, "properties": {"a": {"type": "null"}, "b": True}}, {"a": None}),
    ({"required": ["x-1"], "patternProperties": {"^x-": {"type": "null"}}}, {"x-1": None}),
    ({"required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": "text", "b": "text"}),
    ({"required": ["a"], "additionalProperties": {"type": "array"}}, {"a": []}),
    ({"allOf": [{"minimum": 3}, {"type": "integer"}]}, 3),
    ({"anyOf": [False, {"type": "null"}]}, None),
    ({"oneOf": [{"type": "string"}, {"type": "integer"}], "not": {"type": "string"}}, 0),
    ({"if": {"type": "string"}, "then": {"minLength": 9}}, "texttextt"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, True),
    ({**MOVES, "required": ["kind"]}, {"kind": "go", "to": "text"}),
]


@pytest.mark.parametrize(("document", "example"), EXAMPLES)
def test_an_example_is_small_and_plain(document: Any, example: Any):
    found = example_for(compiled(document))

    assert found == example
    assert compiled(document).accepts(found)


def test_an_example_that_was_given_is_kept_if_it_fits():
    assert example_for(compiled(ISSUE), GOOD_ISSUE) is GOOD_ISSUE
    assert example_for(compiled(ISSUE), 3) == {"id": "A-0", "severity": "blocker", "text": "text"}


@pytest.mark.parametrize(
    "document",
    [
        False,
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 900, "items": {"const": [[]] * 900}},
        {"required": ["a"], "properties": {"a": {"$ref": "#"}}, "type": "object"},
        {"allOf": [{"oneOf": [{"type": "null"}, {"type": "string"}]}] * 60, "not": True},
        {"multipleOf": 7e-301, "minimum": 1e300, "type": "number"},
    ],
)
def test_where_no_small_example_is_found_there_is_none(document: Any):
    assert example_for(compiled(document)) is None


# -- Bounds ---------------------------------------------------------------------------------


def chained(keyword: str, width: int, length: int) -> dict[str, Any]:
    """Schemas of which each refers to the next several times."""
    links = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * width} for n in range(length)}
    return {"$ref": "#/$defs/a0", "$defs": {**links, f"a{length}": {"type": "string"}}}


def nested(levels: int) -> Any:
    body: Any = []
    for _ in range(levels):
        body = [body]
    return body


LISTS = [[]] * 16_000
OBJECTS = [{}] * 16_000

ENDLESS_WORK: list[tuple[Any, Any]] = [
    ({"$ref": "#"}, 1),
    ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
    ({"items": {"$ref": "#"}}, nested(60)),
    ({"items": {"$ref": "#"}}, nested(900)),
    ({"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}, nested(60)),
    ({"const": []}, nested(900)),
    (chained("allOf", 10, 12), "x"),
    (chained("anyOf", 2, 25), 1),
    (chained("anyOf", 2, 25), {"x": "y" * 60_000}),
    (chained("oneOf", 2, 25), "x"),
    ({"anyOf": [{"items": {"type": "null"}}] * 900}, LISTS),
    ({"allOf": [{"uniqueItems": True}] * 900}, [nested(60), 1]),
    ({"anyOf": [{"enum": [1]}] * 900}, LISTS),
    ({"items": {"properties": {f"k{n}": True for n in range(2_000)}}}, OBJECTS),
    ({"items": {"not": {"required": [f"k{n}" for n in range(3_000)]}}}, OBJECTS),
    (
        {"patternProperties": {f"a{n}": True for n in range(30)}},
        dict.fromkeys(map(str, range(999))),
    ),
    ({"items": {"pattern": "(x?){500}y"}}, ["x" * 1_000] * 64),
    ({"items": {"multipleOf": 1e-300}}, [1e300] * 16_000),
    *(
        ({"allOf": [{"items": {keyword: value}}] * 2}, LISTS)
        for keyword, value in [
            ("then", {"type": "null"}),
            ("else", {"type": "null"}),
            ("minContains", 1),
            ("maxContains", 1),
            ("default", 1),
            ("examples", [1]),
        ]
    ),
]


@pytest.mark.parametrize(("document", "body"), ENDLESS_WORK, ids=range(len(ENDLESS_WORK)))
def test_work_that_would_not_end_is_ended(document: Any, body: Any):
    schema = compiled(document)

    assert schema.violation(body) == TOO_COMPLICATED
    assert not schema.accepts(body)
    example_for(schema)


AFFORDABLE: list[tuple[Any, Any, bool]] = [
    ({"pattern": "^(a+)+$"}, "a" * 30 + "!", False),
    ({"uniqueItems": True}, [[n] for n in range(16_000)], True),
    ({"type": "array", "items": {"type": "integer"}}, list(range(16_000)), True),
    ({"enum": [*range(6_000)]}, 6_000, False),
    ({"anyOf": [{"type": "null"}] * 1_900}, {"x" * 60_000: "y"}, False),
    ({"items": {"$ref": "#"}}, nested(40), True),
    ({"multipleOf": 0.1}, 0.3, True),
    ({"multipleOf": 1e-300}, 1.7e308, True),
    ({"multipleOf": 0.5}, 10**5000, True),
    ({"multipleOf": 2}, float("inf"), False),
    ({"maximum": 10**4000}, 10**4001, False),
    (
        {"type": "object", "required": ["issues"], "properties": {"issues": {"items": ISSUE}}},
        {"issues": [{**GOOD_ISSUE, "text": "it leaks " * 8}] * 600},
        True,
    ),
]


@pytest.mark.parametrize(("document", "body", "fits"), AFFORDABLE, ids=range(len(AFFORDABLE)))
def test_what_honest_schemas_ask_for_is_affordable(document: Any, body: Any, fits: bool):
    violation = compiled(document).violation(body)

    assert violation != TOO_COMPLICATED
    assert (violation is None) == fits


class Counted(int):
    """A large number that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return super().__eq__(other)

    __hash__ = int.__hash__


def test_numbers_with_equal_hashes_are_not_compared_one_by_one():
    numbers = [Counted(n * (2**61 - 1)) for n in range(1_000)]

    assert compiled({"uniqueItems": True}).accepts(numbers)
    assert Counted.comparisons < 1_000


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
)


ANY_KIND = {
    "uniqueItems": True,
    "multipleOf": 0.1,
    "pattern": "^.$",
    "enum": [1, "a"],
    "propertyNames": {"pattern": r"\pL"},
    "additionalProperties": {"$ref": "#"},
    "items": {"$ref": "#"},
    "not": {"const": {}},
    "minimum": 1,
    "maxProperties": 1,
}


@settings(deadline=None)
@given(ANYTHING)
@example("\ud800")
@example({"\ud800": [float("nan"), "\ud800"]})
@example(float("inf"))
def test_no_body_breaks_the_check(body: Any):
    plain, odd = compiled(REVIEW), compiled({"anyOf": [ANY_KIND, {"allOf": [ANY_KIND]}]})

    assert plain.accepts(body) == (plain.violation(body) is None)
    assert odd.violation(body) == odd.violation(body)
