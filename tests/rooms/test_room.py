"""The acts of a room: joining, leaving, speaking, pausing and ending."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from room_talk import NO_PROOF, NOON, OWNER, TRUSTED, after, key, post, room, said, stamp

from room_mcp.rooms import Member, Proof, Refusal, Room
from room_mcp.rooms.entering import MAX_MEMBERS
from room_mcp.rooms.posting import FULL_ROOM_RESERVE_BYTES
from room_mcp.rooms.refusals import (
    Malformed,
    NameProtected,
    NameTaken,
    NotAMember,
    NotTheOwner,
    RoomClosed,
    RoomFull,
    RoomPaused,
    SeqMismatch,
)


def joined(it: Room, name: str, *, proof: Proof = NO_PROOF, **fields: Any) -> Room:
    return it.join(name, proof=proof, stamp=stamp(), new_key_hash=f"{name}-hash", **fields).room


# ---- joining and leaving ------------------------------------------------------------------------


def test_joining_makes_no_message_and_starts_at_the_newest():
    here = post(room(), "alice").room
    step = here.join("bob", proof=NO_PROOF, stamp=stamp())

    assert step.messages == ()
    assert step.room.must_be_member("bob").joined_seq == 1


def test_joining_again_with_the_key_changes_nothing_but_protection():
    here = joined(room(), "alice")
    again = joined(here, "alice", proof=key("alice"))

    assert again.must_be_member("alice") == replace(here.must_be_member("alice"), protected=True)


def test_a_name_in_use_is_taken_and_a_free_one_is_not():
    here = joined(room("free"), "alice")
    with pytest.raises(NameTaken):
        joined(here, "alice")
    taken = here.join("free", proof=NO_PROOF, stamp=stamp(), new_key_hash="new-hash").room

    assert taken.must_be_member("free").key_hash == "new-hash"


def test_who_left_comes_back_at_the_newest_and_stays_protected():
    here = joined(room("bob"), "alice", protect=True)
    gone = here.leave("alice", proof=key("alice"), stamp=stamp()).room
    later = post(gone, "bob").room
    with pytest.raises(NameProtected):
        joined(later, "alice")
    back = joined(later, "alice", proof=key("alice"))

    assert gone.member("alice") is None
    assert back.must_be_member("alice").joined_seq == 1


def test_speaking_after_leaving_comes_back():
    here = room("alice", "bob").leave("alice", proof=NO_PROOF, stamp=stamp()).room
    here = after(here, ("bob", "note", {}), ("alice", "note", {}))

    assert here.must_be_member("alice").joined_seq == 1


def test_a_trusted_caller_takes_up_every_name():
    here = joined(room(), "alice", protect=True)

    assert joined(here, "alice", proof=TRUSTED).must_be_member("alice").active
    assert post(here, "alice", proof=TRUSTED).room.last_seq == 1


def test_only_a_member_leaves():
    with pytest.raises(NotAMember):
        room().leave("alice", proof=NO_PROOF, stamp=stamp())


def test_a_room_has_at_most_so_many_members_and_keeps_the_names_of_those_who_left():
    members = {f"m{n}": Member(f"m{n}", "agent", NOON, 0) for n in range(MAX_MEMBERS)}
    full = room(members=members)
    left = full.leave("m0", proof=NO_PROOF, stamp=stamp()).room

    for act in (
        lambda: joined(full, "late"),
        lambda: post(full, "late"),
        lambda: joined(left, "x"),
    ):
        with pytest.raises(RoomFull):
            act()
    assert joined(left, "m0").member("m0")


# ---- keys ---------------------------------------------------------------------------------------


def test_without_protection_a_name_is_used_without_its_key():
    assert post(joined(room(), "alice"), "alice").room.last_seq == 1


@pytest.mark.parametrize("proof", [NO_PROOF, Proof(key_hash="wrong"), Proof(spare_hash="wrong")])
def test_a_protected_name_needs_its_key(proof: Proof):
    here = joined(room(), "alice", protect=True)
    for act in (
        lambda: post(here, "alice", proof=proof),
        lambda: here.leave("alice", proof=proof, stamp=stamp()),
        lambda: here.must_speak_as("ALICE", proof),
    ):
        with pytest.raises(NameProtected):
            act()


def test_using_a_key_protects_the_name():
    used = post(joined(room(), "alice"), "alice", proof=key("alice")).room

    assert used.must_be_member("alice").protected
    with pytest.raises(NameProtected):
        post(used, "alice")


def test_a_wrong_key_is_refused_and_a_strange_bearer_passed_over():
    here = joined(room(), "alice")
    with pytest.raises(NameProtected):
        post(here, "alice", proof=Proof(key_hash="wrong"))

    assert post(here, "alice", proof=Proof(spare_hash="of another server")).room.last_seq == 1


def test_a_member_is_known_by_his_key():
    here = joined(joined(room("carol"), "alice"), "bob")

    assert [here.member_with(one) for one in (key("bob"), NO_PROOF, OWNER)] == [
        here.must_be_member("bob"),
        None,
        None,
    ]


# ---- speaking -----------------------------------------------------------------------------------


def test_an_unknown_name_joins_by_its_first_message():
    step = post(room(), "alice")

    assert step.messages[0].seq == step.room.last_seq == 1
    assert step.room.must_be_member("alice").joined_seq == 0


def test_messages_are_counted_in_bytes_per_member_and_room():
    here = after(room("alice", "bob"), ("alice", "note", {}), ("bob", "note", {}))
    here = post(here, "alice", {"ü": 1}).room

    assert here.size_bytes == len('"hello"') * 2 + len('{"ü":1}'.encode())
    assert here.must_be_member("alice").messages == 2
    assert here.must_be_member("alice").size_bytes == len('"hello"') + len('{"ü":1}'.encode())


def test_time_never_goes_back():
    here = post(room(), "alice", seconds=10).room
    early = post(here, "alice", seconds=5)
    paused = early.room.pause("ada", proof=OWNER, stamp=stamp(1))

    assert early.messages[0].at == here.last_at
    assert paused.messages[0].at == here.last_at


@pytest.mark.parametrize("reply_to", [-1, 0, 2])
def test_a_reply_needs_an_earlier_message(reply_to: int):
    with pytest.raises(Malformed):
        post(post(room(), "alice").room, "bob", reply_to=reply_to)


def test_a_draft_may_refuse_to_follow_what_it_has_not_seen():
    here = post(room(), "alice").room
    with pytest.raises(SeqMismatch):
        post(here, "bob", if_last_seq=0)

    assert post(here, "bob", if_last_seq=1).room.last_seq == 2


def test_a_full_room_keeps_a_reserve_for_its_end():
    full = room(max_bytes=100, size_bytes=100)
    with pytest.raises(RoomFull) as refusal:
        post(full, "alice")
    with pytest.raises(RoomFull):
        post(full, "alice", "x" * FULL_ROOM_RESERVE_BYTES, type="decision")
    ended = post(full, "alice", "x" * (FULL_ROOM_RESERVE_BYTES - 2), type="decision")

    assert "decision" in refusal.value.advice
    assert ended.room.lifecycle == "closed"


# ---- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "content", "outcome", "conclusion"),
    [
        ("decision", "We ship.", "decided", "We ship."),
        ("decision", {"outcome": "ship", "rationale": "Tests pass."}, "ship", "Tests pass."),
        ("review_complete", {"verdict": "approved", "summary": "Good."}, "approved", "Good."),
        ("review_complete", {"verdict": 7, "text": "Hm."}, "complete", "Hm."),
        ("review_complete", {"verdict": ""}, "complete", ""),
        ("review_complete", {"verdict": " a\n\nb\u2028c "}, "a b c", ""),
        ("review_complete", {"verdict": "v" * 900}, "v" * 200, ""),
        ("decision", "c" * 9_000, "decided", "c" * 2_000),
    ],
)
def test_a_terminal_message_ends_the_room_with_its_outcome(
    type: str, content: str | dict[str, Any], outcome: str, conclusion: str
):
    step = post(room("alice", "rex"), "rex", content, type=type)
    first, notice = step.messages
    closing = step.room.closing

    assert (first.type, notice.type) == (type, "room.closed")
    assert (first.seq, notice.seq, step.room.last_seq) == (1, 2, 2)
    assert (notice.sender, notice.sender_type, notice.wakes) == ("room", "system", ())
    assert first.id != notice.id
    assert closing
    assert (closing.outcome, closing.conclusion) == (outcome, conclusion)
    assert (closing.seq, closing.by, step.room.lifecycle) == (1, "rex", "closed")


def test_after_the_end_everybody_hears_what_it_was():
    ended = post(room("alice"), "alice", "We ship.", type="decision").room
    acts: list[Callable[[], object]] = [
        lambda: post(ended, "alice"),
        lambda: post(ended, "bob", sender_type="human", proof=TRUSTED),
        lambda: joined(ended, "bob"),
        lambda: ended.leave("alice", proof=NO_PROOF, stamp=stamp()),
        lambda: ended.close("ada", "", proof=OWNER, stamp=stamp()),
        lambda: ended.pause("ada", proof=OWNER, stamp=stamp()),
        lambda: ended.resume("ada", proof=OWNER, stamp=stamp()),
    ]
    for act in acts:
        with pytest.raises(RoomClosed, match=r'decided, by alice \(#1\).*"We ship."') as refusal:
            act()

        assert refusal.value.facts["closingSeq"] == 1


@pytest.mark.parametrize("proof", [NO_PROOF, key("alice"), Proof(key_hash="wrong")])
def test_only_the_owner_closes_without_a_terminal_message(proof: Proof):
    here = joined(room(), "alice")
    with pytest.raises(NotTheOwner) as refusal:
        here.close("alice", "", proof=proof, stamp=stamp())
    for act in (here.pause, here.resume):
        with pytest.raises(NotTheOwner):
            act("alice", proof=proof, stamp=stamp())

    assert "review_complete or decision" in refusal.value.advice


@pytest.mark.parametrize("proof", [OWNER, TRUSTED, Proof(spare_hash="owner-hash")])
def test_the_owner_closes(proof: Proof):
    step = room("alice").close("ada", "Enough. " * 1_000, proof=proof, stamp=stamp())

    assert [message.type for message in step.messages] == ["room.closed"]
    assert step.room.closing
    assert (step.room.closing.by, step.room.closing.outcome) == ("ada", "closed")
    assert len(step.room.closing.conclusion) == 2_000


def test_a_pause_holds_all_but_people_until_it_ends():
    paused = room("alice").pause("ada", proof=OWNER, stamp=stamp()).room
    with pytest.raises(RoomPaused):
        post(paused, "alice")
    human = post(paused, "ada", sender_type="human", proof=TRUSTED).room
    resumed = human.resume("ada", proof=OWNER, stamp=stamp()).room

    assert paused.pause("ada", proof=OWNER, stamp=stamp()).messages == ()
    assert post(resumed, "alice").messages[0].seq == 4


def test_a_room_without_owner_key_is_nobodys():
    ownerless = replace(room(), owner_key_hash=None)

    assert not ownerless.is_owned_by(NO_PROOF)
    assert not ownerless.is_owned_by(OWNER)


def test_a_refusal_leaves_the_room_as_it_was():
    here = after(joined(room("bob"), "alice", protect=True), ("bob", "question", {}))
    copy = replace(here)
    acts: list[Callable[[], object]] = [
        lambda: post(here, "alice"),
        lambda: post(here, "zoe", type="handoff"),
        lambda: post(here, "zoe", reply_to=99),
        lambda: joined(here, "alice"),
        lambda: here.close("bob", "", proof=NO_PROOF, stamp=stamp()),
    ]
    for act in acts:
        with pytest.raises(Refusal):
            act()

    assert here == copy


def test_content_is_kept_as_sent():
    body = {"type": "note", "n": [1, None, {"ü": "\n"}]}

    assert said(room(), "alice", body).content is body
