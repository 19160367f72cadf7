"""Copies of frozen objects with some fields changed.

`dataclasses.replace` reads every field and sets it again; for a room that is most of what a post
costs. Objects with a dictionary are copied in one step instead.
"""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def changed(of: T, **fields: Any) -> T:
    """The same object but for these fields.

    Args:
        of: An instance of a frozen dataclass without slots and without `__post_init__`.

    Raises:
        TypeError: It has no field of that name.
    """
    kept = of.__dict__ | fields
    if len(kept) > len(of.__dict__):
        raise TypeError(f"{type(of).__name__} has not all of the fields {', '.join(fields)}.")
    copy = object.__new__(type(of))
    object.__setattr__(copy, "__dict__", kept)  # past the guard of frozen dataclasses
    return copy
