"""Calls in a row: nothing is doubled, names follow their rooms, and an end stays an end."""

from __future__ import annotations

import pytest
from house import House
from wrong_calls import WAITS_NEXT, talking, twins

from room_mcp import wire

pytestmark = pytest.mark.anyio


async def test_a_call_repeated_after_a_time_out_is_not_doubled(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Line 40 misses it.")

    again = await ann.say("api-review", "Line 40 misses it.")

    assert again.text.startswith("Already sent as #1; nothing was doubled.")
    assert again.structured is not None
    assert again.structured["already_sent"] is True
    assert (await ann("list_rooms")).text.startswith("api-review · open · 1 message")


async def test_two_calls_repeated_after_a_time_out_are_not_doubled(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Line 40 misses it.")
    await ann.say("api-review", "So does line 60.")

    again = await ann.say("api-review", "Line 40 misses it.")

    assert again.text.startswith("Already sent as #1; nothing was doubled.")


async def test_the_same_words_are_sent_again_once_something_new_was_seen(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review", "bob")
    await ann.say("api-review", "Still failing.")
    await house.rooms.post(room.id, "bob", "And now?")
    await ann("wait_for_messages", room="api-review")

    again = await ann.say("api-review", "Still failing.")

    assert again.text.startswith("Sent #3 to bob.")


async def test_the_same_words_to_somebody_else_are_another_message(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob", "carol")
    await ann.say("api-review", "Your turn.", to="bob")

    other = await ann.say("api-review", "Your turn.", to="carol")

    assert other.text.startswith("Sent #2 to carol.")


async def test_a_message_may_hold_its_text_beside_its_body(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review")

    await ann.say("api-review", "Done.", type="result", body={"ok": True})

    page = await house.rooms.messages(room.id, after=0)
    assert page.messages[0].content == {"ok": True, "text": "Done."}


async def test_a_name_means_the_open_room_once_the_old_one_has_ended(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    await ann("join_room", room="api-review")
    old = (await house.rooms.rooms()).rooms[0]
    await house.rooms.post(old.id, "bob", "Done.", type="decision")
    await house.room("api-review", "bob")

    joined = await ann("join_room", room="api-review")

    assert joined.text.startswith('Joined "api-review". You are ann.')


async def test_a_closed_room_is_left_behind_after_it_said_so(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review", "bob")
    await ann("join_room", room="api-review")
    await house.rooms.post(room.id, "bob", "Done.", type="decision")
    await house.room("api-review", "bob")
    over = await ann("send_message", room="api-review", content="One more thing")

    sent = await ann.say("api-review", "A new start.")

    assert over.is_error
    assert sent.text.startswith("Sent #1 to bob.")


async def test_closing_twice_says_that_it_is_over(house: House):
    ann, _ = await house.agent("ann"), await house.room("api-review", "bob")
    closed = await ann("close_room", room="api-review", conclusion="2 issues fixed")

    again = await ann("close_room", room="api-review", conclusion="2 issues fixed")

    assert closed.text.startswith('"api-review" is closed: 2 issues fixed')
    assert again.is_error
    assert 'It concluded: "2 issues fixed".' in again.text


async def test_the_name_of_a_room_joined_by_id_means_that_room(house: House):
    ann = await house.agent("ann")
    room_id = await twins(house, ann)
    joined = await ann("join_room", room=room_id)

    sent = await ann.say("api-review", "Line 40 misses it.")

    assert joined.lines[-1] == WAITS_NEXT
    assert sent.structured is not None
    assert sent.structured["room_id"] == room_id


async def test_what_is_expected_ends_with_the_call_that_gives_it(house: House):
    ann = await house.agent("ann")
    await talking(house, ann)

    waited = await ann("wait_for_messages", room="api-review")

    assert waited.lines[-1] == (
        "cursor 1. Expected of you: an answer to #1 of bob. "
        'Next: send_message(room="api-review", type="answer", reply_to=1, content="…")'
    )


async def test_an_agent_in_more_rooms_than_one_request_may_name_goes_on(house: House):
    claude = await house.agent("claude")
    for count in range(wire.MAX_UPDATE_ROOMS + 3):
        await claude("create_room", name=f"room {count}")

    listed = await claude("list_rooms")
    waited = await claude("wait_for_messages", timeout_s=1)
    read = await claude("read_history", room="room 1")

    assert [one.is_error for one in (listed, waited, read)] == [False] * 3


async def test_the_words_of_a_closing_are_found(house: House):
    ann = await house.agent("ann")
    await ann("create_room", name="api-review")
    await ann("close_room", room="api-review", conclusion="the token is kept")

    found = await ann("search_messages", query="token")

    assert "room closed" in found.text
    assert "the token is kept" in found.text
