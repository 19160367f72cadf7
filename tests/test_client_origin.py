"""The client with a backend that has only the origin's three calls."""

from __future__ import annotations

import anyio
import pytest
from misbehaving import OriginBackend, Says, in_turn, serving

from room_mcp.addressing import NoSuchRoom, resolve
from room_mcp.client import RoomsClient
from room_mcp.failures import BackendRefused, BackendUnreachable, NotOurs, OutcomeUnknown

pytestmark = pytest.mark.anyio

ROOM = "5f0c1df2-6c2e-4d0a-9b52-0c6f5f0e8a11"


def client(url: str) -> RoomsClient:
    return RoomsClient(url, retry_for_s=0.5, first_poll_s=0.01)


BACKENDS = {
    "both": OriginBackend,
    "only history": lambda: OriginBackend(reads=("history",)),
    "only messages": lambda: OriginBackend(reads=("messages",)),
    "only messages, HTML": lambda: OriginBackend(reads=("messages",), html_404=True),
}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
async def test_two_agents_talk_over_three_calls(backend):
    async with serving(backend()) as server, client(server.url) as rooms:
        room = await rooms.create_room("review")
        joined = await rooms.join(room.id, "alice")
        first = await rooms.post(room.id, "alice", "hello")
        second = await rooms.post(room.id, "bob", {"verdict": "ok"}, type="review_complete")
        page = await rooms.messages(room.id, after=0)

    assert (joined.last_seq, joined.room.name) == (0, "review")
    assert (first.seq, second.seq, second.type) == (1, 2, "review_complete")
    assert [(one.seq, one.sender) for one in page.messages] == [(1, "alice"), (2, "bob")]


async def test_it_says_what_such_a_backend_cannot_do():
    async with serving(OriginBackend()) as server, client(server.url) as rooms:
        room = await rooms.create_room("review")

        assert "nobody is woken" in rooms.limits
        with pytest.raises(BackendUnreachable, match="cannot close rooms"):
            await rooms.close_room(room.id, sender="alice", conclusion="")
        with pytest.raises(BackendUnreachable, match="cannot search"):
            await rooms.search("words")
        with pytest.raises(BackendUnreachable, match="cannot let members leave"):
            await rooms.leave(room.id, "alice")


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
async def test_a_first_post_of_a_new_client_is_stored_once(backend):
    origin = backend()
    origin.rooms["known"] = []
    async with serving(origin) as server, client(server.url) as rooms:
        done = await rooms.post("known", "alice", "hello")

    assert done.seq == 1
    assert [one["content"] for one in origin.rooms["known"]] == ["hello"]


async def test_any_call_finds_out_what_the_backend_is():
    origin = OriginBackend(rooms={"known": [], ROOM: []})
    async with serving(origin) as server:
        async with client(server.url) as rooms:
            assert (await rooms.join("known", "alice")).last_seq == 0
        async with client(server.url) as rooms:
            assert (await rooms.info("known")).lifecycle == "open"
        async with client(server.url) as rooms:
            assert (await rooms.updates({"known": 0})).rooms == []
        async with client(server.url) as rooms:
            assert [room.id for room in (await rooms.rooms(ids=["known", "other"])).rooms] == [
                "known"
            ]
        async with client(server.url) as rooms:
            assert (await resolve(rooms, ROOM)).id == ROOM
        async with client(server.url) as rooms:
            with pytest.raises(NoSuchRoom):
                await resolve(rooms, "other")


async def test_an_unknown_room_is_told_in_the_words_of_the_backend():
    async with serving(OriginBackend()) as server, client(server.url) as rooms:
        await rooms.create_room("review")
        with pytest.raises(BackendRefused, match="Room not found") as error:
            await rooms.messages("other", after=0)

    assert error.value.code == "room_not_found"


async def test_a_lost_answer_is_looked_for_in_the_history():
    origin = OriginBackend()
    async with serving(origin) as server, client(server.url) as rooms:
        room = await rooms.create_room("review")
        await rooms.post(room.id, "alice", "hello")
        origin.swallow_next = True
        done = await rooms.post(room.id, "alice", "hello")

    assert done.seq == 2
    assert len(origin.rooms[room.id]) == 2


async def test_a_message_that_is_not_in_the_history_is_told_as_unknown_and_not_sent_again():
    origin = OriginBackend()
    async with serving(origin) as server, client(server.url) as rooms:
        room = await rooms.create_room("review")
        origin.drop_next = True
        with pytest.raises(OutcomeUnknown, match="look into the room"):
            await rooms.post(room.id, "alice", "hello")

    assert server.calls.count(f"POST /agent/rooms/{room.id}/messages") == 1


async def test_waiting_is_asking_again():
    origin = OriginBackend()
    async with serving(origin) as server, client(server.url) as rooms, client(server.url) as other:
        room = await rooms.create_room("review")
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def answer() -> None:
                    while server.calls.count(f"GET /agent/rooms/{room.id}/history") < 3:
                        await anyio.lowlevel.checkpoint()
                    await other.post(room.id, "bob", "there")

                tasks.start_soon(answer)
                page = await rooms.messages(room.id, after=0, wait_s=50)
            updates = await rooms.updates({room.id: 0}, wait_s=50)
            nothing = await rooms.updates({room.id: 1}, wait_s=0.02)

    assert [one.content for one in page.messages] == ["there"]
    assert [one.last_seq for one in updates.rooms] == [1]
    assert nothing.rooms == []


async def test_whoever_joined_counts_as_woken_though_he_has_said_nothing():
    origin = OriginBackend(rooms={"known": []})
    async with serving(origin) as server, client(server.url) as rooms:
        await rooms.join("known", "alice")
        said = await rooms.post("known", "bob", "hi")

    assert said.wakes == ["alice"]


async def test_numbers_stay_where_only_the_newest_messages_are_shown():
    origin = OriginBackend(reads=("messages",), shows=2)
    async with serving(origin) as server, client(server.url) as rooms:
        room = await rooms.create_room("review")
        seqs = [(await rooms.post(room.id, "alice", str(n))).seq for n in range(4)]
        page = await rooms.messages(room.id, after=1)

    assert seqs == [1, 2, 3, 4]
    assert [one.content for one in page.messages] == ["1", "2", "3"]


async def test_any_other_web_server_is_not_taken_for_one():
    html = Says(404, "<h1>Not here</h1>", kind="text/html")
    async with serving(in_turn([html])) as server, client(server.url) as rooms:
        for call in (rooms.create_room("x"), rooms.rooms(), rooms.post("r", "alice", "hi")):
            with pytest.raises(NotOurs):
                await call

        assert rooms.limits == ""
