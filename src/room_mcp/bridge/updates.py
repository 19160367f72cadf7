"""Telling clients that a room, or the list of rooms, has changed; in both eras of the protocol.

One long-poll runs over the rooms that somebody watches, while somebody does. Who watches is told
here by the handlers of `subscriptions/listen`, `resources/subscribe` and `resources/list`, after
they have made sure that he may read what he watches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
)

from room_mcp import wire
from room_mcp.client import RoomsClient
from room_mcp.failures import BackendError

from .agents import OWN_ACCOUNT, asked_by

SETTLE_S = 0.02  # many clients come at once after a restart; their rooms are polled together
THE_LIST = ""  # in place of a URI
RETRY_S = 1.0  # after the client of the backend has given up

logger = logging.getLogger(__name__)

MayHear = Callable[[], Awaitable[bool]]
"""Whether whoever watches something may still be told of it."""


@dataclass(slots=True)
class _Watched:
    """A room that somebody watches: the last seq that was told of, and the URIs with how many
    watch each."""

    cursor: int
    uris: Counter[str] = field(default_factory=lambda: Counter[str]())


class Updates:
    """What is watched, and the poll that feeds `bus` with what changed there."""

    def __init__(self, client: RoomsClient) -> None:
        self.bus = InMemorySubscriptionBus()
        self._client = client
        self.telling = ""  # the room of the event that is published now: a URI with a name may
        # mean another one for each reader
        self._rooms: dict[str, _Watched] = {}  # by id
        self._list_watchers = 0
        self._list_version: int | None = None
        self._polling: asyncio.Task[None] | None = None
        self._round: anyio.CancelScope | None = None  # none while a round is about to begin
        self._ended = False

    def watch(
        self, rooms: Mapping[str, wire.Room], *, list_version: int | None = None
    ) -> Callable[[], None]:
        """Have changes published until the answered function is called.

        Args:
            rooms: By the URI that is watched, as it was before the watching begins.
            list_version: The list of rooms that is known, if its changes are wanted as well.
        """
        the_list = list_version is not None
        known = len(self._rooms)
        for uri, room in rooms.items():
            self._rooms.setdefault(room.id, _Watched(room.last_seq)).uris[uri] += 1
        self._list_watchers += the_list
        outdated = list_version is not None and list_version < (self._list_version or 0)
        if self._list_version is None or outdated:
            self._list_version = list_version  # those who know more are told once too often
        if len(self._rooms) > known or outdated or (the_list and self._list_watchers == 1):
            self._poll_anew()
        return lambda: self._unwatch(rooms, the_list)

    @contextmanager
    def watching(
        self, rooms: Mapping[str, wire.Room], *, list_version: int | None = None
    ) -> Generator[None]:
        """As `watch`, while the block runs."""
        stop = self.watch(rooms, list_version=list_version)
        try:
            yield
        finally:
            stop()

    def end(self) -> None:
        """Publish nothing more."""
        self._ended = True
        self._rest()

    def _rest(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None

    def _unwatch(self, rooms: Mapping[str, wire.Room], the_list: bool) -> None:
        known = len(self._rooms)
        for uri, room in rooms.items():
            if (watched := self._rooms.get(room.id)) is not None:
                watched.uris[uri] -= 1
                watched.uris += Counter()  # without those that nobody watches
                if not watched.uris:
                    del self._rooms[room.id]
        self._list_watchers -= the_list
        if not self._list_watchers:
            self._list_version = None
        if not self._rooms and not self._list_watchers:
            self._rest()
        elif len(self._rooms) < known:
            self._poll_anew()

    def _poll_anew(self) -> None:
        if self._ended:
            return
        if self._polling is None or self._polling.done():
            self._polling = asyncio.get_running_loop().create_task(self._poll())
        elif self._round is not None:
            self._round.cancel()

    async def _poll(self) -> None:
        """Until cancelled; a new round begins whenever other rooms are watched than before."""
        # Whoever watches was asked before for his right to; this asks for all of them together.
        asked_by.set(OWN_ACCOUNT)
        while True:
            await anyio.sleep(SETTLE_S)
            ids = list(self._rooms)
            most = wire.MAX_UPDATE_ROOMS
            parts = [ids[start : start + most] for start in range(0, len(ids), most)] or [[]]
            with anyio.CancelScope() as self._round:
                async with anyio.create_task_group() as polls:
                    for number, part in enumerate(parts):
                        polls.start_soon(self._poll_part, part, number == 0)
            self._round = None

    async def _poll_part(self, ids: Sequence[str], the_list: bool) -> None:
        while True:
            try:
                await self._poll_once(ids, the_list and self._list_watchers > 0)
            except BackendError as error:
                logger.info("cannot follow rooms: %s", error)
                await anyio.sleep(RETRY_S)

    async def _poll_once(self, ids: Sequence[str], the_list: bool) -> None:
        updates = await self._client.updates(
            {id: self._rooms[id].cursor for id in ids if id in self._rooms},
            directory=self._list_version if the_list else None,
            wait_s=wire.MAX_WAIT_S,
        )
        # What was told of is noted afterwards: a round that ends in between tells it once more.
        for update in updates.rooms:
            await self._tell(update)
        if the_list and updates.directory not in (None, self._list_version):
            await self.bus.publish(ResourcesListChanged())
            self._list_version = updates.directory

    async def _tell(self, update: wire.Update) -> None:
        watched = self._rooms.get(update.room_id)
        if watched is None:
            return
        for uri in list(watched.uris):
            self.telling = update.room_id  # just before: listeners are called in the same step
            await self.bus.publish(ResourceUpdated(uri=uri))
        watched.cursor = update.last_seq
        if update.lifecycle is None:
            del self._rooms[update.room_id]  # gone for good; who reads it is told so
            if self._rooms or self._list_watchers:
                self._poll_anew()
            else:
                self._rest()


class Listener:
    """What a client of the handshake era watches, and the sending of what changed there.

    A notification says no more than "read again", so of several that wait to be sent for the
    same URI one is enough; a client that does not read holds up nobody but itself.
    """

    def __init__(self, updates: Updates, connection: Connection) -> None:
        self._updates = updates
        self._connection = connection
        self._watched: dict[str, Callable[[], None]] = {}  # by URI, how to stop
        self._may_hear: dict[str, MayHear] = {}  # by URI; that of the list is empty
        self._room_ids: dict[str, str] = {}  # by URI
        self._pending: dict[ServerEvent, None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._stop_list: Callable[[], None] | None = None
        connection.exit_stack.callback(self._end)
        self._unsubscribe = updates.bus.subscribe(self._heard)

    @property
    def count(self) -> int:
        """How many URIs are watched."""
        return len(self._watched)

    def watch(self, uri: str, room: wire.Room | None, may_hear: MayHear) -> None:
        """Tell of changes of a resource from now on; `room` is None for one that is no room."""
        self._may_hear[uri] = may_hear
        if room is not None:
            self._room_ids[uri] = room.id
        if uri not in self._watched:
            self._watched[uri] = self._updates.watch({uri: room} if room else {})

    def unwatch(self, uri: str) -> None:
        self._may_hear.pop(uri, None)
        self._room_ids.pop(uri, None)
        if stop := self._watched.pop(uri, None):
            stop()

    def watches(self, uri: str) -> bool:
        return uri in self._watched

    def watch_list(self, version: int, may_hear: MayHear) -> None:
        """Tell of changes of the list of rooms after this version."""
        self._may_hear[THE_LIST] = may_hear
        if self._stop_list is None:
            self._stop_list = self._updates.watch({}, list_version=version)

    def _heard(self, event: ServerEvent) -> None:
        wanted = (
            event.uri in self._watched
            and self._room_ids.get(event.uri) in (None, self._updates.telling)
            if isinstance(event, ResourceUpdated)
            else isinstance(event, ResourcesListChanged) and self._stop_list is not None
        )
        if wanted:
            self._pending[event] = None
            if self._sending is None or self._sending.done():
                self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._pending:
            event = next(iter(self._pending))
            del self._pending[event]
            uri = event.uri if isinstance(event, ResourceUpdated) else THE_LIST
            may_hear = self._may_hear.get(uri)
            if may_hear is None or not await may_hear():
                self._forget(uri)
            elif isinstance(event, ResourceUpdated):
                await self._connection.send_resource_updated(event.uri)
            else:
                await self._connection.send_resource_list_changed()

    def _forget(self, uri: str) -> None:
        """Tell no more of what the client may not read any more."""
        if uri != THE_LIST:
            self.unwatch(uri)
        elif self._stop_list is not None:
            self._stop_list()
            self._stop_list = None

    def _end(self) -> None:
        self._unsubscribe()
        if self._sending is not None:
            self._sending.cancel()
        for stop in self._watched.values():
            stop()
        self._watched.clear()
        if self._stop_list is not None:
            self._stop_list()
            self._stop_list = None
