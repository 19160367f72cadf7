"""Who takes which role, and what it lets him say."""

from __future__ import annotations

from typing import Any

import pytest
from contract_talk import Talk

from room_mcp.rooms.refusals import Malformed, NotAMember, RoleMayNot, RoleTaken

REVIEW: dict[str, Any] = {
    "roles": {
        "author": {"min": 1, "max": 1, "may": ["submit", "note"]},
        "reviewer": {"min": 2, "max": 3, "may": ["note", "verdict"]},
        "reader": {},
    },
    "types": {"submit": {}},
    "terminal": [{"type": "verdict", "by": "reviewer", "need": "all_of_role"}],
    "guard": False,
}
GUARDED: dict[str, Any] = {
    "roles": {
        "chair": {"max": 1, "who": ["human", "Cho"]},
        "speaker": {"max": 2, "who": "anyone"},
    },
    "guard": False,
}


# ---- taking one ---------------------------------------------------------------------------------


def test_who_names_no_role_gets_the_first_that_lacks_somebody_then_the_first_with_a_place():
    talk = Talk(REVIEW)
    taken = [talk.join(name) for name in ("ann", "rex", "kim", "lee", "max", "zoe")]

    assert taken == ["author", "reviewer", "reviewer", "reviewer", "reader", "reader"]


def test_a_role_that_lacks_somebody_comes_before_one_that_stands_first():
    talk = Talk({"roles": {"reader": {}, "author": {"min": 1}, "guest": {}}})

    assert [talk.join(name) for name in ("ann", "bob", "cid")] == ["author", "reader", "reader"]


def test_a_role_that_lacks_nobody_waits_until_every_other_has_enough():
    talk = Talk(REVIEW, rex="reviewer")

    assert talk.join("ann") == "author"
    assert talk.join("kim") == "reviewer"


def test_a_full_role_is_refused_and_the_free_ones_are_named():
    talk = Talk(REVIEW, ann="author")
    with pytest.raises(RoleTaken, match="author is taken: 1 of 1") as refused:
        talk.join("bob", "author")

    assert refused.value.advice == "Join with another role: reviewer, reader."
    assert refused.value.facts["roles"] == {
        "author": "1 of 1",
        "reviewer": "0 of 3",
        "reader": "0 of any number",
    }
    assert talk.room.member("bob") is None


def test_an_unknown_role_is_refused_and_the_known_ones_are_named():
    with pytest.raises(Malformed, match="no role 'critic'") as refused:
        Talk(REVIEW, ann="critic")

    assert refused.value.advice == "Roles: author, reviewer, reader."


def test_in_a_room_without_roles_nobody_has_one():
    talk = Talk({})
    with pytest.raises(Malformed, match="has no roles"):
        talk.join("ann", "author")

    assert talk.join("ann") is None


def test_when_every_role_is_taken_one_may_only_read():
    talk = Talk({"roles": {"a": {"max": 1}, "b": {"who": "human"}}}, ann="a")
    with pytest.raises(RoleTaken) as refused:
        talk.join("bob")

    assert refused.value.advice.startswith("Read along")
    assert refused.value.facts["roles"] == {"a": "1 of 1", "b": "0 of any number"}


def test_a_place_is_free_again_when_its_holder_leaves_or_changes():
    talk = Talk(REVIEW, ann="author")
    talk.leave("ann")
    talk.join("bob", "author")
    talk.join("bob", "reader")

    assert talk.join("cid", "author") == "author"


# ---- keeping, changing, coming back -------------------------------------------------------------


def test_joining_again_without_a_role_keeps_it_and_with_one_changes_it():
    talk = Talk(REVIEW, ann="author")

    assert talk.join("ann") == "author"
    assert talk.join("ANN", "reviewer") == "reviewer"
    assert talk.join("ann") == "reviewer"


def test_the_holder_of_a_full_role_may_take_it_again():
    talk = Talk(REVIEW, ann="author")
    talk.leave("ann")

    assert talk.join("ann", "author") == "author"
    assert talk.join("ann", "author") == "author"


def test_a_refused_change_keeps_the_role():
    talk = Talk(REVIEW, ann="author", bob="reader")
    with pytest.raises(RoleTaken):
        talk.join("bob", "author")

    assert talk.member("bob").role == "reader"


def test_an_agent_whose_role_was_taken_meanwhile_has_to_choose_another():
    talk = Talk(REVIEW, ann="author")
    talk.leave("ann")
    talk.join("bob", "author")
    with pytest.raises(RoleTaken):
        talk.join("ann")

    assert talk.join("ann", "reader") == "reader"


# ---- whose it is --------------------------------------------------------------------------------


def test_a_role_may_be_for_certain_names_and_for_people():
    talk = Talk(GUARDED)
    with pytest.raises(RoleTaken, match="for human, cho") as refused:
        talk.join("bob", "chair")

    assert refused.value.advice == "Join with another role, or without one."
    assert talk.join("bob") == "speaker"
    assert talk.join("CHO", "chair") == "chair"
    assert Talk(GUARDED).join("ada", "chair", human=True) == "chair"


def test_advice_names_only_roles_that_one_may_take():
    talk = Talk(GUARDED, ann="speaker", bob="speaker")
    with pytest.raises(RoleTaken) as refused:
        talk.join("cid", "speaker")

    assert refused.value.advice == "Read along."


# ---- what it may say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "type", "advice"),
    [
        ("ann", "verdict", "You may send: submit, note."),
        ("rex", "question", "You may send: note, verdict. verdict ends the room."),
    ],
)
def test_a_role_says_only_its_types_and_is_told_which(sender: str, type: str, advice: str):
    talk = Talk(REVIEW, ann="author", rex="reviewer")
    with pytest.raises(RoleMayNot, match="you may not send") as refused:
        talk.say(sender, type)

    assert refused.value.advice == advice
    assert talk.room.last_seq == 0


def test_a_role_without_a_list_says_everything():
    talk = Talk(REVIEW, zoe="reader")

    assert talk.say("zoe", "anything_at_all").messages


def test_what_ends_a_room_from_others_is_an_ordinary_message_from_a_reader():
    talk = Talk(REVIEW, zoe="reader")
    talk.say("zoe", "verdict")

    assert talk.outcome == ""
    assert talk.room.verdicts == ()


def test_in_a_room_with_roles_nobody_speaks_before_he_joined():
    talk = Talk(REVIEW, ann="author")
    talk.leave("ann")
    for name in ("ann", "bob"):
        with pytest.raises(NotAMember, match="this room has roles") as refused:
            talk.say(name)

        assert "author, reviewer, reader" in refused.value.advice


def test_a_name_that_a_person_took_first_needs_a_role_from_an_agent():
    talk = Talk(REVIEW)
    talk.say("ann", human=True)
    with pytest.raises(NotAMember, match="'ann' has none"):
        talk.say("ann")

    assert talk.join("ann", "author") == "author"


# ---- people -------------------------------------------------------------------------------------


def test_people_need_no_role_and_take_no_place():
    talk = Talk(REVIEW)

    assert talk.join("ada", human=True) is None
    assert talk.join("ann") == "author"
    assert talk.join("ada", "reviewer", human=True) == "reviewer"


@pytest.mark.parametrize("type", ["note", "submit", "anything_at_all"])
def test_people_say_everything_with_a_role_or_without(type: str):
    talk = Talk(REVIEW)
    talk.join("eve", "reviewer", human=True)

    assert talk.say("ada", type, human=True).messages
    assert talk.say("eve", type, human=True).messages


def test_a_person_whose_role_was_taken_meanwhile_speaks_without_it():
    talk = Talk(REVIEW)
    talk.join("ada", "author", human=True)
    talk.leave("ada")
    talk.join("ann", "author")
    talk.say("ada", human=True)

    assert talk.member("ada").role is None


def test_a_person_comes_back_into_a_role_that_is_still_free():
    talk = Talk(REVIEW)
    talk.join("ada", "author", human=True)
    talk.leave("ada")
    talk.say("ada", human=True)

    assert talk.member("ada").role == "author"
