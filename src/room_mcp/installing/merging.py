"""Puts one server into a config file's text, or takes it out, and leaves everything else alone.

Pure: texts in, texts out. Every edit is read back and compared; one that changed anything but
our entry is thrown away.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from . import jsonc
from .hosts import SERVER, Entry
from .launch import ENV_KEYS, OURS, is_ours, started_by

# The path of keys, and the new value there; None removes what is there.
Change = tuple[tuple[str, ...], Any]


class CannotMerge(Exception):
    """The file is left as it is; the message says why, for the person who owns it."""


@dataclass(frozen=True, slots=True)
class Language:
    """How one kind of file is read and edited. `load` raises ValueError for a broken text."""

    load: Callable[[str], Any]
    set_value: Callable[[str, Sequence[str], Any], str]
    remove: Callable[[str, Sequence[str]], str]


def entries_in(text: str, language: str, container: str) -> dict[str, Any]:
    """The servers in a config file by name; empty when it has none.

    Raises:
        CannotMerge: The text does not parse, or does not hold servers where they belong.
    """
    try:
        data = LANGUAGES[language].load(text)
    except (ValueError, RecursionError) as error:
        raise CannotMerge(
            f"it does not parse as {language.upper()}: {_first_line(error)}"
        ) from None
    found: Any = cast(Any, data).get(container, {}) if isinstance(data, dict) else data
    if found is None and language == "yaml":
        return {}  # `extensions:` with nothing below it
    if not isinstance(found, dict):
        raise CannotMerge(f"it holds something else where '{container}' should be")
    return cast(dict[str, Any], found)


def is_same(existing: Any, entry: Entry) -> bool:
    """Whether a host's present entry starts what `entry` starts, with our settings as in it."""
    present, wanted = started_by(existing), started_by(entry)
    if present is None or wanted is None:
        return False
    return (present.argv, _ours(present.env)) == (wanted.argv, _ours(wanted.env))


def is_plain(existing: Any, entry: Entry) -> bool:
    """Whether the present entry holds nothing that writing `entry` anew would lose."""
    present = started_by(existing)
    if present is None:
        return False
    written = set(entry) | {"type", "transport", "tools", *ENV_KEYS}
    return set(existing) <= written and all(map(_is_ours, present.env))


def with_entry(text: str, language: str, container: str, entry: Entry) -> str:
    """The text with our entry in it; what a person added to an entry of ours is kept.

    Raises:
        CannotMerge: The text does not parse, cannot be edited without harm, or has a server of
            somebody else under our name.
    """
    existing = entries_in(text, language, container).get(SERVER)
    if existing is None:
        return _edited(text, language, [((container, SERVER), entry)])
    must_be_ours(existing)
    old = cast(Entry, existing)
    changes: list[Change] = []
    if "transport" in old:  # Cline's own command nests what we write flat
        changes.append(((container, SERVER, "transport"), None))
    for key in sorted(set(ENV_KEYS) & set(old)):
        kept = {name: value for name, value in dict(old[key]).items() if not _is_ours(name)}
        entry = {**entry, key: {**kept, **entry.get(key, {})}}
    changes += [
        ((container, SERVER, key), value) for key, value in entry.items() if old.get(key) != value
    ]
    return _edited(text, language, changes)


def must_be_ours(existing: Any) -> None:
    """Nothing, when the entry under our name starts some room-mcp.

    Raises:
        CannotMerge: It is somebody else's.
    """
    if not is_ours(started_by(existing)):
        raise CannotMerge(f"it has another server under the name '{SERVER}'")


def without_entry(text: str, language: str, container: str) -> str:
    """The text without our entry; unchanged when it has none.

    Raises:
        CannotMerge: The text does not parse, or cannot be edited without harm.
    """
    existing = entries_in(text, language, container).get(SERVER)
    if existing is None:
        return text
    must_be_ours(existing)
    return _edited(text, language, [((container, SERVER), None)])


def _edited(text: str, language: str, changes: Sequence[Change]) -> str:
    tongue = LANGUAGES[language]
    expected: Any = copy.deepcopy(tongue.load(text))
    try:
        for path, value in changes:
            text = (
                tongue.remove(text, path) if value is None else tongue.set_value(text, path, value)
            )
            _apply(expected, path, value)
        is_as_meant = _lean(tongue.load(text)) == _lean(expected)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CannotMerge(f"it cannot be edited safely: {_first_line(error)}") from None
    if not is_as_meant:
        raise CannotMerge("it cannot be edited without changing something else in it")
    return text


def _apply(data: Any, path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        if data.get(key) is None:
            data[key] = {}
        data = data[key]
    if value is None:
        data.pop(path[-1], None)
    else:
        data[path[-1]] = value


def _lean(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty at the top: TOML cannot tell an empty table from none."""
    return {key: value for key, value in data.items() if value not in ({}, None)}


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _ours(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _is_ours(name)}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _toml_load(text: str) -> Any:
    return tomllib.loads(text)


def _toml_set(text: str, path: Sequence[str], value: Any) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    table: Any = document
    for key in path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = table[key]
    table[path[-1]] = value
    return _as_before(text, tomlkit.dumps(document))


def _toml_remove(text: str, path: Sequence[str]) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    table: Any = document
    for key in path[:-1]:
        table = table[key]
    del table[path[-1]]
    return _as_before(text, tomlkit.dumps(document))


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1_000_000  # never wrap a line that the person did not wrap
    yaml.explicit_start = text.startswith("---")
    if re.search(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1 +- ", text, re.MULTILINE):
        yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _yaml_load(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        loaded: Any = YAML(typ="safe", pure=True).load(text)  # pyright: ignore[reportUnknownMemberType]
    except YAMLError as error:
        raise ValueError(_where(error)) from None
    return {} if loaded is None else loaded


def _where(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is not readable"
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)


def _yaml_set(text: str, path: Sequence[str], value: Any) -> str:
    yaml = _yaml(text)
    data = yaml.load(text)
    if data is None:  # comments alone: the round trip would drop them
        for key in reversed(path):
            value = {key: value}
        return text + ("\n" if text and not text.endswith("\n") else "") + _dumped(yaml, value)
    inner = data
    for key in path[:-1]:
        if inner.get(key) is None:
            inner[key] = {}
        inner = inner[key]
    inner[path[-1]] = value
    return _as_before(text, _dumped(yaml, data))


def _yaml_remove(text: str, path: Sequence[str]) -> str:
    yaml = _yaml(text)
    data = yaml.load(text)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return _as_before(text, _dumped(yaml, data))


def _dumped(yaml: Any, data: Any) -> str:
    import io

    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _as_before(old: str, new: str) -> str:
    """`new` with the line ends of `old`."""
    if "\r\n" in old and old.count("\r\n") == old.count("\n"):
        return new.replace("\r\n", "\n").replace("\n", "\r\n")
    return new


LANGUAGES = {
    "json": Language(jsonc.load, jsonc.set_value, jsonc.remove),
    "toml": Language(_toml_load, _toml_set, _toml_remove),
    "yaml": Language(_yaml_load, _yaml_set, _yaml_remove),
}
