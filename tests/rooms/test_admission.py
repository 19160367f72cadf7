"""Who comes into a room: open, keyed and approval rooms, the owner's decisions, server keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from room_talk import Past

from room_mcp.rooms import Admission, Draft, Knock, Proof, Room, Stamp, Step, contract_from
from room_mcp.rooms.entering import MAX_KNOCKS_OF_KEY, MAX_NAMES_OF_KEY
from room_mcp.rooms.refusals import (
    Barred,
    Malformed,
    Muted,
    NameNotYours,
    NameProtected,
    NameTaken,
    NotAMember,
    NotTheOwner,
    NotYetAdmitted,
    PeopleOnly,
    Refusal,
    RoomFull,
    RoomNotFound,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = Stamp(NOON, ("id-1", "id-2"))
NOBODY = Proof()
OWNER = Proof(key_hash="owner-hash")
ANN = Proof(principal="ann")
BOB = Proof(principal="bob")
ADMIN = Proof(principal="root", admin=True)


def room(access: Any = "open", **fields: Any) -> Room:
    return Room(
        "r",
        "review",
        NOON,
        owner_key_hash="owner-hash",
        admission=Admission(access=access, **fields),
    )


def join(here: Room, name: str, proof: Proof = NOBODY, **wish: Any) -> Room:
    return here.join(name, proof=proof, stamp=STAMP, **wish).room


def say(here: Room, name: str, proof: Proof = NOBODY, **draft: Any) -> Step:
    return here.post(Draft(name, "hello", **draft), proof=proof, stamp=STAMP, past=Past())


def admit(here: Room, name: str, proof: Proof = OWNER) -> Room:
    return here.admit(name, proof=proof, stamp=STAMP).room


# ---- keyed rooms ---------------------------------------------------------------------------------


def test_nobody_joins_a_keyed_room_by_speaking():
    with pytest.raises(NotAMember, match="keyed"):
        say(room("keyed"), "bob")


def test_members_of_a_keyed_room_speak_with_their_key_alone():
    here = join(room("keyed"), "bob", new_key_hash="bobs")

    assert say(here, "bob", Proof(key_hash="bobs")).room.last_seq == 1
    with pytest.raises(NameProtected):
        say(here, "bob")


@pytest.mark.parametrize("access", ["keyed", "approval"])
@pytest.mark.parametrize(
    ("proof", "reads"),
    [
        (NOBODY, False),
        (ANN, False),
        (Proof(key_hash="wrong"), False),
        (Proof(key_hash="bobs"), True),
        (OWNER, True),
        (ADMIN, True),
        (Proof(trusted=True), True),
    ],
)
def test_only_members_the_owner_and_admins_read_what_is_not_open(
    access: str, proof: Proof, reads: bool
):
    here = admit_all(join(room(access), "bob", new_key_hash="bobs"))

    assert here.may_be_read_by(proof) is reads


def admit_all(here: Room) -> Room:
    for knock in here.admission.knocking:
        here = admit(here, knock.name)
    return here


def test_of_an_unlisted_room_a_stranger_is_told_what_he_is_told_of_none():
    hidden = Room("r", "review", NOON, listed=False, admission=Admission("keyed"))

    with pytest.raises(RoomNotFound) as refusal:
        hidden.must_be_read_by(ANN)
    assert refusal.value.detail == "No room has this id."


# ---- approval ------------------------------------------------------------------------------------


def test_whoever_wants_into_an_approval_room_waits_and_knows_nothing_of_it():
    here = join(room("approval"), "bob", new_key_hash="bobs")

    assert here.member("bob") is None
    assert [one.name for one in here.admission.knocking] == ["bob"]
    with pytest.raises(NotYetAdmitted):
        here.must_be_read_by(Proof(key_hash="bobs"))
    with pytest.raises(NotYetAdmitted):
        say(here, "bob", Proof(key_hash="bobs"))


def test_admission_makes_a_member_who_keeps_his_key():
    here = admit(join(room("approval"), "bob", new_key_hash="bobs"), "Bob")

    assert here.must_be_member("bob").protected
    assert here.admission.knocking == ()
    assert say(here, "bob", Proof(key_hash="bobs")).room.last_seq == 1


def test_who_asks_again_goes_on_waiting_and_another_cannot_take_his_place():
    here = join(room("approval"), "bob", new_key_hash="bobs")

    assert join(here, "bob", Proof(key_hash="bobs"), new_key_hash="other") == here
    with pytest.raises(NameTaken):
        join(here, "BOB", new_key_hash="other")


def test_who_was_declined_may_not_ask_again_until_the_owner_lets_him():
    declined = join(room("approval"), "bob", BOB).decline("bob", proof=OWNER, stamp=STAMP).room

    for name in ("bob", "bob/other"):  # the key is sent away, not just the name
        with pytest.raises(Barred):
            join(declined, name, BOB)
    assert join(admit(declined, "bob"), "bob/two", BOB).admission.knock("bob/two") is not None


def test_the_owner_comes_in_without_asking():
    assert join(room("approval"), "ann", OWNER).member("ann") is not None
    assert join(room("approval", owner="ann"), "ann", ANN).member("ann") is not None


def test_who_withdraws_waits_no_longer():
    here = join(room("approval"), "bob", BOB)

    assert here.leave("bob", proof=BOB, stamp=STAMP).room.admission.knocking == ()


def test_a_door_has_room_for_so_many():
    here = room("approval")
    for number in range(50):
        here = join(here, f"m{number}", new_key_hash=f"k{number}")

    with pytest.raises(RoomFull):
        join(here, "one-more", new_key_hash="x")


# ---- the owner's decisions -----------------------------------------------------------------------


@pytest.mark.parametrize("act", ["admit", "decline", "mute", "remove"])
@pytest.mark.parametrize("proof", [NOBODY, BOB, Proof(key_hash="bobs")])
def test_only_the_owner_decides_about_others(act: str, proof: Proof):
    here = join(room(), "bob", new_key_hash="bobs")
    more = {"silent": True} if act == "mute" else {}

    with pytest.raises(NotTheOwner):
        getattr(here, act)("bob", proof=proof, stamp=STAMP, **more)


def test_a_muted_member_reads_and_does_not_speak_until_he_may_again():
    here = join(room(), "bob").mute("bob", silent=True, proof=OWNER, stamp=STAMP).room

    assert here.may_be_read_by(NOBODY)
    with pytest.raises(Muted):
        say(here, "bob", type="decision")
    again = here.mute("bob", silent=False, proof=OWNER, stamp=STAMP).room
    assert say(again, "bob").room.last_seq == 1


def test_another_name_of_a_muted_key_is_muted_too():
    here = join(room(), "bob", BOB).mute("bob", silent=True, proof=OWNER, stamp=STAMP).room

    with pytest.raises(Muted):
        say(join(here, "bob/two", BOB), "bob/two", BOB)


@pytest.mark.parametrize("access", ["open", "keyed", "approval"])
def test_a_removed_key_is_out_by_all_its_names(access: str):
    here = admit_all(join(join(room(access), "bob/a", BOB), "bob/b", BOB))
    gone = here.remove("bob/a", proof=OWNER, stamp=STAMP).room

    assert gone.active_members == ()
    assert not gone.may_be_read_by(BOB)
    with pytest.raises(Barred):
        say(gone, "bob/b", BOB)


def test_a_muted_key_is_silent_by_all_its_names():
    here = join(join(room(), "bob/a", BOB), "bob/b", BOB)
    silent = here.mute("bob/a", silent=True, proof=OWNER, stamp=STAMP).room
    again = silent.mute("bob/b", silent=False, proof=OWNER, stamp=STAMP).room

    with pytest.raises(Muted):
        say(silent, "bob/b", BOB)
    assert say(again, "bob/a", BOB).room.last_seq == 1


def test_a_declined_key_waits_no_longer_under_other_names():
    here = join(join(room("approval"), "bob/a", BOB), "bob/b", BOB)

    assert here.decline("bob/a", proof=OWNER, stamp=STAMP).room.admission.knocking == ()


def test_who_knocks_under_the_name_of_the_owner_does_not_take_it_over():
    knocked = join(room("approval", owner="ann"), "ada", new_key_hash="mallorys")
    joined = join(knocked, "ada", OWNER, new_key_hash="adas")

    assert joined.must_be_member("ada").key_hash == "adas"
    assert joined.admission.knocking == ()
    with pytest.raises(NotAMember):
        admit(joined, "ada")


def test_a_knock_is_not_admitted_into_the_place_of_somebody_else():
    member = join(room("approval"), "ada", OWNER, new_key_hash="adas")
    knock = Knock("ada", "agent", NOON, key_hash="mallorys")
    waiting = replace(member, admission=replace(member.admission, knocking=(knock,)))

    with pytest.raises(NameTaken):
        admit(waiting, "ada")


@pytest.mark.parametrize("access", ["keyed", "approval"])
def test_nobody_comes_in_by_the_name_of_a_member_without_a_key(access: str):
    here = join(room(access), "operator", Proof(trusted=True))

    with pytest.raises(NameProtected):
        join(here, "operator", new_key_hash="mallorys")


def test_one_key_does_not_fill_a_room_or_its_door():
    full = room()
    for number in range(MAX_NAMES_OF_KEY):
        full = join(full, f"bob/{number}", BOB)
    door = room("approval")
    for number in range(MAX_KNOCKS_OF_KEY):
        door = join(door, f"bob/{number}", BOB)

    for here in (full, door):
        with pytest.raises(RoomFull):
            join(here, "bob/more", BOB)
        assert join(here, "ann", ANN) != here


def test_the_owners_name_belongs_to_his_rights_and_to_no_key():
    said = say(room(owner="ann"), "owner", ADMIN).room

    assert say(said, "owner", ANN).room.last_seq == 2
    assert said.pause("owner", proof=OWNER, stamp=STAMP).room.lifecycle == "paused"
    for proof in (BOB, NOBODY):
        with pytest.raises(NameProtected):
            say(said, "owner", proof)


def test_an_owners_message_of_the_time_before_keys_gives_nobody_his_name():
    before = say(room(), "owner").room

    with pytest.raises(NameProtected):
        say(before, "owner", BOB)


def test_a_demo_room_closes_after_its_day_whatever_is_set():
    here = room(demo=True)
    longer = contract_from({**here.contract.document, "budget": {"idle_s": 10**9}})

    with pytest.raises(Malformed):
        here.adopt(longer, instead_of=here.contract, proof=OWNER, stamp=STAMP)


def test_a_muted_person_does_not_reopen_what_was_closed():
    zoe = Proof(principal="zoe", human=True)
    here = join(room(), "zoe", zoe, kind="human")
    closed = here.mute("zoe", silent=True, proof=OWNER, stamp=STAMP).room
    closed = closed.close("owner", "", proof=OWNER, stamp=STAMP).room

    with pytest.raises(NotTheOwner):
        closed.reopen("zoe", proof=zoe, stamp=STAMP, past=Past(), kind="human")


def test_a_removed_member_is_out_and_stays_out():
    here = join(room(), "bob", BOB).remove("bob", proof=OWNER, stamp=STAMP).room

    with pytest.raises(Barred):
        here.must_be_member("bob")
    for name in ("bob", "bob/two"):
        with pytest.raises(Barred):
            say(here, name, BOB)
    assert not here.may_be_read_by(BOB)
    assert here.may_be_read_by(ANN)


# ---- server keys ---------------------------------------------------------------------------------


def test_a_name_that_came_with_a_server_key_is_bound_to_it():
    here = join(room(), "ann", ANN, new_key_hash="unused", protect=True)
    member = here.must_be_member("ann")

    assert (member.principal, member.key_hash, member.protected) == ("ann", None, True)
    for proof in (NOBODY, Proof(key_hash="unused"), BOB, ADMIN):
        with pytest.raises(NameProtected):
            say(here, "ann", proof)
    assert say(here, "Ann", ANN).room.last_seq == 1


def test_speaking_binds_the_name_to_the_server_key_too():
    assert say(room(), "ann/claude", ANN).room.must_be_member("ann/claude").principal == "ann"


@pytest.mark.parametrize("name", ["bob", "anna", "an", "ann-2", "bob/ann"])
def test_a_server_key_stands_for_its_own_names_alone(name: str):
    for act in (join, say):
        with pytest.raises(NameNotYours):
            act(room(), name, ANN)


def test_a_left_name_stays_with_its_server_key():
    left = join(room(), "ann", ANN).leave("ann", proof=ANN, stamp=STAMP).room

    with pytest.raises(NameProtected):
        join(left, "ann", new_key_hash="x")
    assert join(left, "ann", ANN).must_be_member("ann").active


def test_the_server_key_that_opened_a_room_has_the_owners_rights():
    here = room(owner="ann")

    assert here.pause("owner", proof=ANN, stamp=STAMP).room.lifecycle == "paused"
    with pytest.raises(NotTheOwner):
        here.pause("bob", proof=BOB, stamp=STAMP)


@pytest.mark.parametrize("proof", [BOB, Proof(stranger=True)])
def test_nobody_calls_himself_owner_who_is_not(proof: Proof):
    here = room(demo=True)

    for act in (join, say):
        with pytest.raises(NameProtected, match="owner"):
            act(here, "Owner", proof)


def test_nobody_closes_a_room_in_the_name_of_a_member():
    here = join(room(owner="bob"), "ann", ANN)

    with pytest.raises(Refusal) as refusal:
        here.close("ann", "over", proof=BOB, stamp=STAMP)
    assert refusal.value.code in ("name_protected", "name_not_yours")


def test_a_person_with_a_key_reopens_his_rooms_and_no_others():
    person = Proof(principal="ann", human=True)
    closed = room(owner="ann").close("owner", "", proof=ANN, stamp=STAMP).room

    opened = closed.reopen("ann", proof=person, stamp=STAMP, past=Past(), kind="human")
    assert opened.room.lifecycle == "open"
    with pytest.raises(PeopleOnly):
        closed.reopen("ann", proof=ANN, stamp=STAMP, past=Past(), kind="agent")
    stranger = Proof(principal="eve", human=True)
    with pytest.raises(NotTheOwner):
        closed.reopen("eve", proof=stranger, stamp=STAMP, past=Past(), kind="human")


def test_for_a_caller_without_a_key_only_demo_rooms_exist():
    stranger = Proof(stranger=True)

    assert room(demo=True).may_be_read_by(stranger)
    with pytest.raises(RoomNotFound):
        room().must_be_known_to(stranger)
