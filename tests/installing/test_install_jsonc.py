"""JSON is edited as text; whatever surrounds the edit stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_mcp.installing import jsonc

SET = [
    ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
    ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
    ("// none\n", '// none\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
    ('{"x": 1}', '{"x": 1, "a": {"b": 1}}'),
    ('{"x": 1,}', '{"x": 1, "a": {"b": 1}}'),
    ('{"a": {"b": 2}}', '{"a": {"b": 1}}'),
    ('{\n\t"x": 1 // one\n}', '{\n\t"x": 1, // one\n\t"a": {\n\t\t"b": 1\n\t}\n}'),
    ('{\n  "x": 1, // one\n}', '{\n  "x": 1, // one\n  "a": {\n    "b": 1\n  },\n}'),
    ('{\n  "a": {\n    // c\n  }\n}', '{\n  "a": {\n    // c\n    "b": 1\n  }\n}'),
    ('{\r\n\t"x": 1\r\n}', '{\r\n\t"x": 1,\r\n\t"a": {\r\n\t\t"b": 1\r\n\t}\r\n}'),
    ('{"a": {"b": 0}, "a": {"b": 2}}', '{"a": {"b": 0}, "a": {"b": 1}}'),
]

REMOVE = [
    ('{"b": 1}', "{}"),
    ('{"b": 1, "c": 2}', '{"c": 2}'),
    ('{"c": 2, "b": 1}', '{"c": 2}'),
    ('{\n  "c": 2, // two\n  "b": 1\n}', '{\n  "c": 2 // two\n}'),
    ('{\n  "c": 2,\n  "b": 1,\n}', '{\n  "c": 2,\n}'),
    ('{\n  // c\n  "b": 1\n}', "{\n  // c\n}"),
    ('{\n  "b": 1,\n  // two\n  "c": 2\n}', '{\n  // two\n  "c": 2\n}'),
    ('{"c": 2}', '{"c": 2}'),
]

BROKEN = ["{", '{"a" 1}', '{"a": 1 "b": 2}', "[1 2]", "{} {}", '{"a": tru}', '{"a": "\t"}', "{,}"]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SERVERS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)
INDENTS = st.sampled_from([None, 0, 2, 4, "\t"])


@given(SERVERS, VALUES, INDENTS)
def test_whatever_the_file_holds_only_our_member_comes_and_goes(servers, rest, indent):
    text = json.dumps({"rest": rest, "servers": servers}, indent=indent) + " // end"

    with_us = jsonc.set_value(text, ("servers", "room"), {"args": []})
    without_us = jsonc.remove(with_us, ("servers", "room"))

    assert jsonc.load(with_us) == {"rest": rest, "servers": {**servers, "room": {"args": []}}}
    assert jsonc.load(without_us) == {"rest": rest, "servers": servers}
    assert without_us.endswith(" // end")


@pytest.mark.parametrize(("before", "after"), SET)
def test_a_value_is_set_in_the_manner_of_the_file(before, after):
    assert jsonc.set_value(before, ("a", "b"), 1) == after


@pytest.mark.parametrize(("before", "after"), REMOVE)
def test_a_member_goes_with_its_line_and_its_comma(before, after):
    assert jsonc.remove(before, ("b",)) == after


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_json_is_refused_with_a_line(text):
    with pytest.raises(jsonc.NotJson, match="line 1"):
        jsonc.load(text)


def test_nothing_is_set_inside_what_is_not_an_object():
    with pytest.raises(jsonc.NotJson, match='"a" does not hold an object'):
        jsonc.set_value('{"a": [1]}', ("a", "b"), 1)


def test_endless_nesting_is_refused():
    with pytest.raises(jsonc.NotJson, match="nested too deeply"):
        jsonc.load("[" * 100_000)


def test_plain_json_is_read_as_the_standard_library_reads_it():
    text = json.dumps({"a": [1, -2.5e3, '\\"é\n', {"b": None}], "c": {"": True}, "d": False})

    assert jsonc.load(text) == json.loads(text)
