"""What the owner does with a room as a whole: another name, the archive, texts that go."""

from __future__ import annotations

import pytest
from room_talk import NO_PROOF, NOON, OWNER, TRUSTED, Past, post, room, stamp

from room_mcp.rooms import Room, contract_from
from room_mcp.rooms.refusals import Malformed, NotTheOwner, Overdue, RoomOpen

ENDING = {
    "terminal": [{"type": "verdict", "outcome_from": "outcome"}],
    "good": ["approved"],
}


def closed(it: Room, conclusion: str = "done") -> Room:
    return it.close("owner", conclusion, proof=OWNER, stamp=stamp()).room


# ---- another name -------------------------------------------------------------------------------


def test_a_new_name_is_told_in_the_room():
    step = room("ann").rename("  design ", "owner", proof=OWNER, stamp=stamp())

    (said,) = step.messages
    assert (step.room.name, step.room.last_seq) == ("design", 1)
    assert (said.type, said.sender_type) == ("room.renamed", "system")
    assert said.content == {"by": "owner", "from": "review", "to": "design"}


def test_the_same_name_changes_nothing():
    it = room("ann")

    step = it.rename("review", "owner", proof=OWNER, stamp=stamp())

    assert (step.room is it, step.messages) == (True, ())


def test_a_room_that_has_ended_gets_its_new_name_without_a_message():
    it = closed(room("ann"))

    step = it.rename("design", "owner", proof=OWNER, stamp=stamp())

    assert (step.room.name, step.room.last_seq, step.messages) == ("design", it.last_seq, ())


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 101])
def test_a_new_name_follows_the_rules_of_names(name: str):
    with pytest.raises(Malformed):
        room().rename(name, "owner", proof=OWNER, stamp=stamp())


def test_only_the_owner_renames():
    with pytest.raises(NotTheOwner):
        room("ann").rename("design", "ann", proof=NO_PROOF, stamp=stamp())


def test_a_room_whose_time_is_over_ends_before_it_is_renamed():
    it = room(contract=contract_from({"budget": {"lifetime_s": 10}}))

    with pytest.raises(Overdue):
        it.rename("design", "owner", proof=OWNER, stamp=stamp(11))


# ---- the archive --------------------------------------------------------------------------------


def test_a_room_that_has_ended_is_archived_and_comes_back():
    it = closed(room())

    away = it.archive(proof=OWNER, stamp=stamp()).room
    back = away.archive(proof=OWNER, stamp=stamp(), undo=True).room

    assert (away.archived_at, away.is_archived) == (NOON, True)
    assert back == it


def test_to_archive_twice_changes_nothing():
    away = closed(room()).archive(proof=OWNER, stamp=stamp()).room

    assert away.archive(proof=OWNER, stamp=stamp(60)).room is away


def test_a_room_that_goes_on_is_not_archived():
    with pytest.raises(RoomOpen):
        room().archive(proof=OWNER, stamp=stamp())


def test_only_the_owner_archives_and_brings_back():
    away = closed(room()).archive(proof=OWNER, stamp=stamp()).room

    for undo in (False, True):
        with pytest.raises(NotTheOwner):
            away.archive(proof=NO_PROOF, stamp=stamp(), undo=undo)


def test_a_reopened_room_is_not_archived():
    away = closed(room()).archive(proof=OWNER, stamp=stamp()).room

    it = away.reopen("owner", proof=TRUSTED, stamp=stamp(), past=Past(), kind="human").room

    assert (it.archived_at, it.is_archived) == (None, False)


# ---- texts --------------------------------------------------------------------------------------


def test_an_ended_room_keeps_its_names_and_no_text():
    it = closed(room("ann", purpose="a secret"), "another secret")

    bare = it.without_texts()

    assert (bare.purpose, bare.closing and bare.closing.conclusion) == ("", "")
    assert (bare.name, bare.member("ann"), bare.last_seq) == ("review", it.member("ann"), 1)


def test_a_room_that_goes_on_keeps_its_purpose():
    assert room(purpose="to review").without_texts().purpose == "to review"


@pytest.mark.parametrize(
    ("outcome", "kept"), [("approved", "approved"), ("as I told you", "erased"), ("", "verdict")]
)
def test_an_outcome_stays_unless_it_is_a_text_of_somebodys(outcome: str, kept: str):
    it = post(
        room("ann", contract=contract_from(ENDING)), "ann", {"outcome": outcome}, type="verdict"
    ).room

    bare = it.without_texts()

    assert bare.closing is not None
    assert bare.closing.outcome == kept


def test_how_a_room_was_closed_without_a_message_stays_known():
    bare = closed(room()).without_texts()

    assert bare.closing is not None
    assert bare.closing.outcome == "closed"
