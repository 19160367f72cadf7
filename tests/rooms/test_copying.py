"""Copies of frozen objects."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, is_dataclass, replace
from functools import cached_property

import pytest
from room_talk import NOON

from room_mcp.rooms import Member, Room
from room_mcp.rooms.admission import Admission
from room_mcp.rooms.copying import changed

ROOM = Room(id="r1", name="review", created_at=NOON)


def test_a_copy_differs_in_the_named_fields_alone():
    copy = changed(ROOM, name="other", last_seq=3)

    assert copy == replace(ROOM, name="other", last_seq=3)
    assert (ROOM.name, ROOM.last_seq) == ("review", 0)


def test_a_copy_is_as_frozen_as_its_original():
    copy = changed(ROOM, name="other")

    with pytest.raises(FrozenInstanceError):
        copy.name = "third"  # pyright: ignore -- what must not work


def test_a_field_that_is_none_is_refused():
    with pytest.raises(TypeError, match="Room has not all of the fields nmae"):
        changed(ROOM, nmae="other")


@pytest.mark.parametrize("kind", [Room, Member, Admission])
def test_what_is_copied_so_keeps_nothing_beside_its_fields(kind: type):
    assert is_dataclass(kind)
    assert not hasattr(kind, "__post_init__")
    assert not hasattr(kind, "__slots__")
    kept = {type(value) for one in kind.__mro__ for value in vars(one).values()}
    assert cached_property not in kept
