"""JSON Schema (2020-12) for the bodies of typed messages, bounded: strangers write both sides.

`format` is a remark, as the standard has it: no body is refused because of it. Patterns are
RE2's, which takes linear time. jsonschema and RE2 are imported with the first schema.
"""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
from itertools import islice
from typing import Any

from .checks import engine
from .examples import invented
from .reading import BadSchema, Reader
from .steps import MAX_STEPS, TooMuch, bounded, together
from .telling import TOO_COMPLICATED, Violation, nearest, violation_of
from .values import NOTHING, fields_of, items_of

__all__ = [
    "MAX_SCHEMA_BYTES",
    "MAX_SCHEMA_DEPTH",
    "MAX_STEPS",
    "BadSchema",
    "Schema",
    "Violation",
    "compiled",
    "example_for",
    "together",
]

MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 32
_MAX_ERRORS = 50


_INVENTING_STEPS = MAX_STEPS // 4


class Schema:
    """A schema ready for use. `document` is how it was written; it is shared, so only read it."""

    __slots__ = ("_root", "_validator", "document")

    def __init__(self, document: Any) -> None:
        library = engine()
        self.document = document
        self._root = Reader().root(document)
        self._validator: Any = library.validator(self._root, registry=library.registry)

    def violation(self, body: Any) -> Violation | None:
        """What the sender should mend first, or None when the body fits.

        The same schema and body give the same answer in every process. A body that takes more
        than `MAX_STEPS` does not fit.
        """
        try:
            with bounded():
                found = self._validator.iter_errors(body)
                errors: list[Any] = list(islice(found, _MAX_ERRORS))
                return violation_of(nearest(errors)) if errors else None
        except (TooMuch, RecursionError):
            return TOO_COMPLICATED

    def accepts(self, body: Any) -> bool:
        """Whether the body fits."""
        try:
            with bounded():
                return next(iter(self._validator.iter_errors(body)), None) is None
        except (TooMuch, RecursionError):
            return False

    def invented(self) -> Any | None:
        """A body made from the schema that should fit, or None."""
        try:
            with bounded(_INVENTING_STEPS):
                return next(invented(self._validator, [self._root]), None)
        except (TooMuch, RecursionError):
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
        level = [child for one in level for child in (*fields_of(one).values(), *items_of(one))]
    if any(isinstance(value, dict | list) for value in level):
        raise BadSchema("/", _TOO_DEEP)
    try:
        with bounded(MAX_SCHEMA_BYTES):  # a step for each byte: more than reading one can take
            return Schema(document)
    except TooMuch:
        raise BadSchema("/", "The schemas are too many to be read together.") from None


def example_for(schema: Schema, given: Any = NOTHING) -> Any | None:
    """A body that the schema accepts: `given`, an example of its own, or an invented one.

    Returns:
        None when none was found; there may be one all the same.
    """
    if given is not NOTHING and schema.accepts(given):
        return given
    found = schema.invented()
    return deepcopy(found) if schema.accepts(found) else None


_TOO_DEEP = f"It is nested too deep; at most {MAX_SCHEMA_DEPTH} levels are allowed."
