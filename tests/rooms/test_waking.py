"""Whom a message wakes: the table of the rules, line by line."""

from __future__ import annotations

from typing import Any

import pytest
from room_talk import NO_PROOF, post, room, said, stamp

from room_mcp.rooms import BUILT_IN_TYPES
from room_mcp.rooms.refusals import Malformed

SMALL = ("alice", "bob", "carol")
ALL = ("bob", "carol")

# type, human?, names in `to`, text → who is woken when alice says it in a small room, a large one
TABLE: list[tuple[str, bool, list[str], str, tuple[str, ...], str]] = [
    *((type, False, [], "x", ALL, "nobody") for type in ("note", "question", "request", "my_type")),
    *((type, False, ["bob"], "x", ("bob",), "same") for type in ("note", "question", "request")),
    *((type, False, [], "@carol", ("carol",), "same") for type in ("note", "question", "request")),
    ("note", False, ["bob"], "@carol", ("bob", "carol"), "same"),
    ("note", False, ["stranger"], "x", (), "same"),
    ("note", False, ["alice"], "x", (), "same"),
    ("my_type", False, ["bob"], "x", ("bob",), "same"),
    *((type, False, ["carol"], "x", ("carol",), "same") for type in ("answer", "result", "refuse")),
    *((type, False, [], "x", (), "same") for type in ("answer", "result", "refuse")),
    ("handoff", False, ["carol"], "x", ("carol",), "same"),
    ("handoff", False, [], "over to you @bob", ("bob",), "same"),
    *((type, False, [], "x", ALL, "all") for type in ("decision", "propose", "cancel")),
    *((type, False, ["bob"], "x", ALL, "all") for type in ("decision", "propose", "cancel")),
    *(
        (type, False, to, "@bob", (), "same")
        for type in ("ack", "heartbeat", "pass", "progress", "accept", "vote")
        for to in ([], ["bob"])
    ),
    *((type, True, ["bob"], "x", ALL, "all") for type in ("note", "ack", "answer", "my_type")),
]


@pytest.mark.parametrize(("type", "human", "to", "text", "woken", "in_large"), TABLE)
def test_a_message_wakes_whom_the_table_says(
    type: str, human: bool, to: list[str], text: str, woken: tuple[str, ...], in_large: str
):
    fields: dict[str, Any] = {"type": type, "to": to}
    if human:
        fields["sender_type"] = "human"
    others = tuple(f"m{n}" for n in range(6))
    large = room(*SMALL, *others)
    expected = {"same": woken, "all": (*ALL, *others), "nobody": ()}[in_large]

    assert said(room(*SMALL), "alice", text, **fields).wakes == woken
    assert said(large, "alice", text, **fields).wakes == expected


def test_the_table_covers_every_type():
    assert {row[0] for row in TABLE} >= set(BUILT_IN_TYPES)


@pytest.mark.parametrize(("members", "wakes"), [(8, 7), (9, 0)])
def test_a_room_is_small_up_to_eight_agents(members: int, wakes: int):
    here = room(*(f"m{n}" for n in range(members)))

    assert len(said(here, "m0").wakes) == wakes


def test_people_and_those_who_left_do_not_make_a_room_large():
    here = room(*(f"m{n}" for n in range(9)))
    here = here.join("ada", proof=NO_PROOF, stamp=stamp(), kind="human").room
    here = here.leave("m8", proof=NO_PROOF, stamp=stamp()).room

    assert len(said(here, "m0").wakes) == 8


@pytest.mark.parametrize("to", [[], ["alice"]])
def test_a_handoff_names_somebody_else(to: list[str]):
    with pytest.raises(Malformed, match="names its receiver") as refusal:
        post(room(*SMALL), "alice", type="handoff", to=to)

    assert "bob, carol" in refusal.value.advice


@pytest.mark.parametrize("type", ["answer", "result", "refuse"])
def test_a_reply_wakes_the_author_that_it_replies_to(type: str):
    here = post(room(*SMALL), "bob").room
    message = said(here, "alice", type=type, reply_to=1, authors={1: "bob"})

    assert message.wakes == ("bob",)


@pytest.mark.parametrize("author", [None, "alice", "room", "gone"])
def test_a_reply_to_nobody_else_wakes_nobody(author: str | None):
    here = post(room(*SMALL), "bob").room
    authors = {1: author} if author else {}

    assert said(here, "alice", type="answer", reply_to=1, authors=authors).wakes == ()


def test_who_left_is_never_woken():
    here = room(*SMALL).leave("bob", proof=NO_PROOF, stamp=stamp()).room

    assert said(here, "alice").wakes == ("carol",)
    assert said(here, "alice", to=["bob"]).wakes == ()
    assert said(here, "alice", type="decision").wakes == ("carol",)
