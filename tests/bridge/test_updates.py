"""Being told that a room, or the list of rooms, has changed: in both eras, and only whom it
concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from house import SOON_S, Agent, House, until
from mcp.client.subscriptions import Subscription
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resources import TextResource
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged
from mcp.types import (
    INVALID_PARAMS,
    ErrorData,
    ResourceListChangedNotification,
    ResourceUpdatedNotification,
)

from room_mcp import wire
from room_mcp.bridge import subscriptions, updates
from room_mcp.client import RoomsClient

# What the handshake era offers is deprecated in the SDK, and what most hosts speak.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

THE_LIST = "the list"
UPDATES = "/agent/updates"
MANY_S = 30  # for hundreds of rooms on a busy machine


class Told:
    """What a client has been told of: URIs, and THE_LIST; in the handshake era from when it
    began to watch."""

    def __init__(self, agent: Agent, since: int | None = None) -> None:
        self._agent = agent
        self._before = len(agent.heard) if since is None else since
        self._streamed: list[str] = []
        self.is_over = False  # a stream that the server has ended

    @property
    def of(self) -> list[str]:
        heard = self._agent.heard[self._before :]
        uris = {
            ResourceUpdatedNotification: lambda one: one.params.uri,
            ResourceListChangedNotification: lambda one: THE_LIST,
        }
        said = [uris[type(one)](one) for one in heard if type(one) in uris]
        return self._streamed or said

    async def follow(self, stream: Subscription) -> None:
        async for event in stream:
            is_list = isinstance(event, ResourcesListChanged)
            self._streamed.append(THE_LIST if is_list else event.uri)
        self.is_over = True

    async def holds(self, *expected: str, within_s: float = SOON_S) -> None:
        """Until all of this was told."""

        async def told() -> bool:
            return set(expected) <= set(self.of)

        await until(told, within_s)


@asynccontextmanager
async def watching(
    agent: Agent, *uris: str, the_list: bool = False, within_s: float = SOON_S
) -> AsyncGenerator[Told]:
    """Inside, the client watches; how, depends on the era."""
    told = Told(agent)
    if agent.client.protocol_version < "2026-07-28":
        async with _subscribed(agent, uris, the_list):
            yield told
        return
    listening = agent.client.listen(resource_subscriptions=uris, resources_list_changed=the_list)
    async with AsyncExitStack() as stack:
        with anyio.fail_after(within_s):
            stream = await stack.enter_async_context(listening)
        following = asyncio.create_task(told.follow(stream))
        try:
            yield told
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following


@asynccontextmanager
async def _subscribed(agent: Agent, uris: Sequence[str], the_list: bool) -> AsyncGenerator[None]:
    for uri in uris:
        await agent.client.subscribe_resource(uri)
    if the_list:
        await agent.client.list_resources()
    yield
    for uri in uris:
        await agent.client.unsubscribe_resource(uri)


async def refusal(call: Awaitable[Any]) -> ErrorData:
    with pytest.raises(MCPError) as caught:
        await call
    return caught.value.error


async def watch_once(agent: Agent, *uris: str) -> None:
    async with watching(agent, *uris):
        pass


def history(room: wire.Room) -> str:
    return f"room://{room.id}/history"


@pytest.fixture
async def ann(house: House) -> Agent:
    return await house.agent("ann")


@pytest.fixture
async def room(house: House) -> wire.RoomCreated:
    return await house.room("api-review", "bob", "ann")


# ---- rooms -------------------------------------------------------------------------------------

WAYS = ["room://api-review/history", "room://api-review/transcript", "room://{id}/history"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_is_told_to_who_watches_its_room(
    house: House, ann: Agent, room: wire.Room, way: str
):
    uri = way.format(id=room.id)
    async with watching(ann, uri) as told:
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(uri)

    assert set(told.of) == {uri}


async def test_each_way_to_watch_a_room_is_told_of_as_it_was_named(
    house: House, ann: Agent, room: wire.Room
):
    uris = {way.format(id=room.id) for way in WAYS}
    async with watching(ann, *uris) as told:
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(*uris)

    assert set(told.of) == uris


async def test_who_watches_the_list_is_told_of_a_new_name(
    house: House, ann: Agent, room: wire.Room
):
    async with watching(ann, the_list=True) as told:
        await house.rooms.rename_room(room.id, "final", sender="owner")
        await told.holds(THE_LIST)

    assert set(told.of) == {THE_LIST}


async def test_every_message_is_told_of(house: House, ann: Agent, room: wire.Room):
    async with watching(ann, history(room)) as told:
        for number in range(1, 6):
            await house.rooms.post(room.id, "bob", f"Finding {number}.")

            async def so_many(number: int = number) -> bool:
                return len(told.of) >= number

            await until(so_many)

    assert set(told.of) == {history(room)}


async def test_a_room_that_closes_is_told_of(house: House, ann: Agent, room: wire.Room):
    async with watching(ann, history(room)) as told:
        await house.rooms.close_room(room.id, sender="owner", conclusion="Done.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_what_one_sends_oneself_is_told_of_too(ann: Agent, room: wire.Room):
    async with watching(ann, history(room)) as told:
        await ann.say("api-review", "I look at line 40.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_other_rooms_are_not_told_of(house: House, ann: Agent, room: wire.Room):
    other = await house.room("docs", "bob")
    async with watching(ann, history(room)) as told:
        await house.rooms.post(other.id, "bob", "The readme is stale.")
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_nothing_more_is_told_of_what_is_watched_no_longer(
    house: House, ann: Agent, room: wire.Room
):
    other = await house.room("docs", "bob")
    async with watching(ann, history(other)) as still:
        async with watching(ann, history(room)) as told:
            await house.rooms.post(room.id, "bob", "Line 40 misses it.")
            await told.holds(history(room))
        before = told.of.count(history(room))
        await house.rooms.post(room.id, "bob", "Line 60 too.")
        await house.rooms.post(other.id, "bob", "The readme is stale.")
        await still.holds(history(other))

        assert told.of.count(history(room)) == before


async def test_what_was_watched_before_may_be_watched_again(house: House, room: wire.Room):
    ann, other = await house.agent("ann", rooms=house.by_line()), await house.room("docs")
    async with watching(ann, history(room)):
        await is_polling(house)
    async with watching(ann, history(room), history(other)) as told:
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await house.rooms.post(other.id, "bob", "The readme is stale.")
        await told.holds(history(room), history(other))

    assert set(told.of) == {history(room), history(other)}


async def test_what_is_said_before_the_first_poll_is_told_of(
    house: House, ann: Agent, room: wire.Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(updates, "SETTLE_S", 0.3)
    async with watching(ann, history(room)) as told:
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_all_who_watch_a_room_are_told(house: House, ann: Agent, room: wire.Room):
    bob = await house.beside(ann)
    carol = await house.agent("carol")
    by_name = "room://api-review/history"
    async with (
        watching(ann, history(room)) as one,
        watching(bob, by_name) as two,
        watching(carol, history(room)) as three,
    ):
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        for told, uri in ((one, history(room)), (two, by_name), (three, history(room))):
            await told.holds(uri)

    assert [set(told.of) for told in (one, two, three)] == [
        {history(room)},
        {by_name},
        {history(room)},
    ]


async def test_who_goes_on_watching_is_told_when_another_leaves(
    house: House, ann: Agent, room: wire.Room
):
    bob = await house.beside(ann)
    async with watching(ann, history(room)) as told:
        await watch_once(bob, history(room))
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_watching_reads_nothing_and_shows_nobody_as_waiting(
    house: House, ann: Agent, room: wire.Room
):
    await house.rooms.post(room.id, "bob", "Line 40 misses it.")
    before = await house.rooms.info(room.id)
    async with watching(ann, history(room)) as told:
        await house.rooms.post(room.id, "bob", "Line 60 too.")
        await told.holds(history(room))

        row = (await house.rooms.rooms(ids=[room.id], member="ann")).rooms[0]
        info = await house.rooms.info(room.id)

    assert [row.unread, row.waiting] == [2, []]
    assert next(one for one in info.members if one.name == "ann") == next(
        one for one in before.members if one.name == "ann"
    )


async def test_more_rooms_than_one_poll_takes_are_all_told_of(house: House, ann: Agent):
    bob = await house.beside(ann)
    rooms = [await house.room(f"room-{number}") for number in range(wire.MAX_UPDATE_ROOMS + 5)]
    uris = [history(one) for one in rooms]
    first, rest = uris[: subscriptions.MAX_WATCHED], uris[subscriptions.MAX_WATCHED :]
    async with (
        watching(ann, *first, within_s=MANY_S) as many,
        watching(bob, *rest) as few,
    ):
        for one in rooms:
            await house.rooms.post(one.id, "bob", "Line 40 misses it.")
        await many.holds(*first, within_s=MANY_S)
        await few.holds(*rest, within_s=MANY_S)

    assert [set(many.of), set(few.of)] == [set(first), set(rest)]


# ---- rooms that go -----------------------------------------------------------------------------


async def test_a_deleted_room_is_told_of_once_and_the_others_go_on(
    house: House, ann: Agent, room: wire.Room
):
    other = await house.room("docs", "bob")
    async with watching(ann, history(room), history(other)) as told:
        await house.owner("DELETE", f"/api/rooms/{room.id}")
        await told.holds(history(room))
        await house.rooms.post(other.id, "bob", "The readme is stale.")
        await told.holds(history(other))
        seen = len(told.of)
        await house.rooms.post(other.id, "bob", "So is the changelog.")

        async def more() -> bool:
            return len(told.of) > seen

        await until(more)

    assert told.of == [history(room), history(other), history(other)]


async def test_who_leaves_a_deleted_room_at_once_stops_nobody_else(
    house: House, ann: Agent, room: wire.Room
):
    bob = await house.beside(ann)
    other = await house.room("docs", "bob")
    ways = [f"{history(room)}?before={seq}" for seq in range(1, 20)]
    async with watching(bob, history(other)) as told:
        async with watching(ann, *ways) as gone:
            await house.owner("DELETE", f"/api/rooms/{room.id}")
            await gone.holds(ways[0])
        await house.rooms.post(other.id, "bob", "The readme is stale.")
        await told.holds(history(other))

    assert set(told.of) == {history(other)}


# ---- the list ----------------------------------------------------------------------------------


async def opened(house: House, room: wire.Room) -> None:
    await house.room("docs")


async def closed(house: House, room: wire.Room) -> None:
    await house.rooms.close_room(room.id, sender="owner", conclusion="Done.")


async def deleted(house: House, room: wire.Room) -> None:
    await house.owner("DELETE", f"/api/rooms/{room.id}")


@pytest.mark.parametrize("change", [opened, closed, deleted], ids=lambda change: change.__name__)
async def test_a_change_of_the_list_is_told_to_who_asked_for_it(
    house: House, room: wire.Room, change: Any
):
    ann = await house.agent("ann", rooms=house.by_line())
    silent = await house.beside(ann)
    async with watching(silent, history(room)) as other, watching(ann, the_list=True) as told:
        await follows_the_list(house)
        await change(house, room)
        await told.holds(THE_LIST)

    assert set(told.of) == {THE_LIST}
    assert THE_LIST not in other.of


async def follows_the_list(house: House) -> None:
    """Until the list, as it is now, is what changes are compared with."""

    async def follows() -> bool:
        return house.line.last[UPDATES].get("directory") is not None

    await until(follows)


async def test_a_message_is_no_change_of_the_list(house: House, room: wire.Room):
    ann = await house.agent("ann", rooms=house.by_line())
    async with watching(ann, history(room), the_list=True) as told:
        await follows_the_list(house)
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(history(room))

    assert set(told.of) == {history(room)}


async def test_a_room_opened_right_after_the_list_was_asked_for_is_told_of(
    house: House, ann: Agent, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(updates, "SETTLE_S", 0.3)
    async with watching(ann, the_list=True) as told:
        await house.room("docs")
        await told.holds(THE_LIST)

    assert set(told.of) == {THE_LIST}


@pytest.mark.parametrize("era", ["legacy"])
async def test_who_was_given_an_outdated_list_is_told_so(house: House):
    ann = await house.agent("ann", rooms=house.by_line())
    bob = await house.beside(ann)
    async with watching(ann, the_list=True) as told, anyio.create_task_group() as tasks:
        await follows_the_list(house)
        with house.line.holding("/agent/rooms"):
            tasks.start_soon(bob.client.list_resources)
            await answers_are_held(house)
            await house.room("docs")
            await told.holds(THE_LIST)
        await Told(bob, since=0).holds(THE_LIST)


async def answers_are_held(house: House) -> None:
    async def held() -> bool:
        return house.line.held > 0

    await until(held)


# ---- who may watch what ------------------------------------------------------------------------


async def test_what_cannot_be_read_cannot_be_watched(house: House, ann: Agent, room: wire.Room):
    await house.unlisted("secret")
    uris = [
        "room://nowhere/history",
        "room://secret/history",
        "room://api-review/messages",
        "room://api-review/history?page=2",
        "file:///etc/passwd",
    ]

    refused = [await refusal(watch_once(ann, uri)) for uri in uris]

    assert [one.code for one in refused] == [INVALID_PARAMS] * len(uris)
    assert [one.data for one in refused] == [{"uri": uri} for uri in uris]


async def test_an_unlisted_room_is_watched_by_its_id(house: House, ann: Agent):
    secret = await house.unlisted("secret")
    async with watching(ann, history(secret)) as told:
        await house.rooms.post(secret.id, "bob", "Line 40 misses it.")
        await told.holds(history(secret))

    assert set(told.of) == {history(secret)}


async def test_a_resource_of_others_is_told_of_as_they_say(ann: Agent, room: wire.Room):
    uri = "test://greeting"
    ann.server.add_resource(TextResource(uri=uri, name="greeting", text="Hello"))

    @ann.server.tool()
    async def touch(ctx: Context) -> str:
        await ctx.notify_resource_updated(uri)
        return "Touched."

    async with watching(ann, uri, history(room)) as told:
        await ann("touch")
        await told.holds(uri)

    assert set(told.of) == {uri}


async def test_watching_more_than_a_client_may_is_refused_in_words(
    house: House, ann: Agent, room: wire.Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriptions, "MAX_WATCHED", 3)
    uris = [f"{history(room)}?after={seq}" for seq in range(1, 5)]

    refused = await refusal(watch_once(ann, *uris))

    assert refused.code == INVALID_PARAMS
    assert refused.message.startswith("At most 3 resources can be watched.")


async def test_watching_as_much_as_a_client_may_leaves_what_is_watched_alone(
    house: House, ann: Agent, room: wire.Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriptions, "MAX_WATCHED", 2)
    uris = [history(room), "room://api-review/transcript"]
    async with watching(ann, *uris, uris[0]) as told:
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        await told.holds(*uris)

    assert set(told.of) == set(uris)


# ---- the poll ----------------------------------------------------------------------------------


@pytest.fixture
async def by_line(house: House, monkeypatch: pytest.MonkeyPatch) -> RoomsClient:
    """A line on which a poll that ought to have ended is seen at once."""
    monkeypatch.setattr(updates, "SETTLE_S", 0)
    return house.by_line()


async def is_polling(house: House, rounds: int = 1) -> None:
    async def polls() -> bool:
        return house.line.asked[UPDATES] >= rounds and house.line.open[UPDATES] == 1

    await until(polls)


async def polls_no_more(house: House) -> None:
    """Until no poll is open; and then none begins, whatever happens."""

    async def quiet() -> bool:
        return house.line.open[UPDATES] == 0

    await until(quiet)
    asked = house.line.asked[UPDATES]
    other = await house.room("other")
    await house.rooms.post(other.id, "bob", "Anything.")
    assert house.line.asked[UPDATES] == asked


async def test_nothing_is_asked_while_nobody_watches(house: House, by_line: RoomsClient):
    ann = await house.agent("ann", rooms=by_line)
    await house.room("api-review")

    await ann.client.read_resource("room://api-review/history")
    await ann.client.list_tools()

    await polls_no_more(house)
    assert house.line.asked[UPDATES] == 0


async def test_when_the_last_one_leaves_nothing_is_asked_any_more(
    house: House, by_line: RoomsClient, room: wire.Room
):
    ann = await house.agent("ann", rooms=by_line)
    bob = await house.beside(ann)
    async with watching(ann, history(room)):
        async with watching(bob, history(room), "room://api-review/transcript"):
            await is_polling(house)
        await is_polling(house)

    await polls_no_more(house)


@pytest.mark.parametrize("era", ["legacy"])
async def test_a_connection_that_closes_takes_what_it_watched_with_it(
    house: House, by_line: RoomsClient, room: wire.Room
):
    ann = await house.agent("ann", rooms=by_line)
    async with house.visitor(ann) as bob:
        await bob.client.subscribe_resource(history(room))
        await bob.client.list_resources()
        await is_polling(house)

    await polls_no_more(house)


async def test_who_watches_only_deleted_rooms_leaves_nothing_behind(
    house: House, by_line: RoomsClient, room: wire.Room
):
    ann = await house.agent("ann", rooms=by_line)
    async with watching(ann, history(room)) as told:
        await house.owner("DELETE", f"/api/rooms/{room.id}")
        await told.holds(history(room))

    await polls_no_more(house)


async def test_what_changes_while_the_backend_is_away_is_told_of_afterwards(
    house: House, by_line: RoomsClient, room: wire.Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(updates, "RETRY_S", 0.01)
    ann = await house.agent("ann", rooms=by_line)
    async with watching(ann, history(room)) as told:
        await is_polling(house)
        house.line.is_cut = True
        await house.rooms.post(room.id, "bob", "Told of by the poll that was open.")
        await told.holds(history(room))
        await poll_fails(house)
        seen = len(told.of)
        await house.rooms.post(room.id, "bob", "Line 40 misses it.")
        house.line.is_cut = False

        async def told_again() -> bool:
            return len(told.of) > seen

        await until(told_again)

    assert set(told.of) == {history(room)}


async def poll_fails(house: House) -> None:
    async def failed() -> bool:
        return house.line.refused[UPDATES] > 1

    await until(failed)


async def test_a_backend_that_is_away_refuses_to_be_watched_in_words(
    house: House, by_line: RoomsClient, room: wire.Room
):
    ann = await house.agent("ann", rooms=by_line)
    house.line.is_cut = True

    refused = await refusal(watch_once(ann, history(room)))

    assert "http://embedded" in refused.message
    assert refused.code not in (0, INVALID_PARAMS)


async def test_a_server_that_stops_ends_the_streams(
    house: House, by_line: RoomsClient, room: wire.Room
):
    ann = await house.agent("ann", rooms=by_line)
    async with watching(ann, history(room)) as told:
        await is_polling(house)

        ann.server.stop()
        await polls_no_more(house)

        async def over() -> bool:
            return told.is_over or house.era == "legacy"

        await until(over)
