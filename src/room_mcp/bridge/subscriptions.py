"""Who watches which resource, in both eras of the protocol; nobody watches what he may not read."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.subscriptions import (
    ListenHandler,
    ResourceUpdated,
    ServerEvent,
    SubscriptionBus,
)
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from room_mcp import wire
from room_mcp.failures import BackendError
from room_mcp.plain import plain

from . import sdk
from .agents import asked_by, shows_key
from .resources import NotForCaller, Resources, parsed
from .updates import THE_LIST, Listener, MayHear, Updates

MAX_WATCHED = 200  # resources that one client watches
MAX_LISTENERS = 10_000  # streams of changes; a client has one


class _Guarded:
    """What happens on a bus, for one stream: passed on while its reader may hear it, else the
    stream ends.

    Args:
        rooms: By URI, what it means for this reader.
        rights: By URI. What has none here is passed on.
        scope: That of the stream.
    """

    def __init__(
        self,
        updates: Updates,
        rooms: Mapping[str, wire.Room],
        rights: Mapping[str, MayHear],
        scope: anyio.CancelScope,
    ) -> None:
        self._bus: SubscriptionBus = updates.bus
        self._updates = updates
        self._rooms = rooms
        self._rights = rights
        self._scope = scope
        self._asking: set[asyncio.Task[None]] = set()

    async def publish(self, event: ServerEvent) -> None:
        await self._bus.publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        async def ask(event: ServerEvent, may_hear: MayHear) -> None:
            if await may_hear():
                listener(event)
            else:
                self._scope.cancel()

        def heard(event: ServerEvent) -> None:
            uri = event.uri if isinstance(event, ResourceUpdated) else THE_LIST
            if (room := self._rooms.get(uri)) is not None and room.id != self._updates.telling:
                return
            if (may_hear := self._rights.get(uri)) is None:
                listener(event)
                return
            task = asyncio.get_running_loop().create_task(ask(event, may_hear))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

        return self._bus.subscribe(heard)


class Subscriptions:
    """The handlers of `subscriptions/listen`, `resources/subscribe` and `…/unsubscribe`.

    Args:
        others: URIs of resources that are no rooms; whoever asks may watch them.
    """

    def __init__(
        self,
        updates: Updates,
        resources: Resources,
        others: Callable[[], Awaitable[Iterable[str]]],
    ) -> None:
        self._updates = updates
        self._resources = resources
        self._others = others
        self._streams: set[ListenHandler] = set()
        self._listeners: dict[int, Listener] = {}  # by connection, of the handshake era

    def end(self) -> None:
        """End all streams of changes as the protocol wants it."""
        self._updates.end()
        for stream in self._streams:
            stream.close()

    async def _permitted(self, uri: str) -> wire.Room | None:
        """The room that a URI stands for, if the caller may read it; None for other resources.

        Raises:
            MCPError: There is nothing at the URI that the caller may read.
        """
        try:
            of_room = parsed(uri)
            if of_room is not None:
                return await self._resources.readable(of_room)
            if uri in await self._others():
                return None
            raise ResourceNotFoundError(f"There is no resource {plain(uri)!r}.")
        except ResourceNotFoundError as error:
            raise MCPError(INVALID_PARAMS, str(error), {"uri": uri}) from None
        except ResourceError as error:
            raise MCPError(INTERNAL_ERROR, str(error), {"uri": uri}) from None

    async def _watchable(self, uris: Iterable[str]) -> dict[str, wire.Room]:
        """The rooms behind these URIs; raises MCPError for one that may not be read."""
        wanted = list(dict.fromkeys(uris))
        if len(wanted) > MAX_WATCHED:
            raise MCPError(INVALID_PARAMS, f"At most {MAX_WATCHED} resources can be watched.")
        rooms = {uri: await self._permitted(uri) for uri in wanted}
        return {uri: room for uri, room in rooms.items() if room is not None}

    async def listen(
        self, ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Ends once the caller may not read something any more that he listens to."""
        wanted = params.notifications
        rooms = await self._watchable(wanted.resource_subscriptions or ())
        version = await self._resources.version() if wanted.resources_list_changed else None
        rights = {uri: self._may_hear(uri) for uri, room in rooms.items() if _may_change(room)}
        if version is not None:
            rights[THE_LIST] = self._may_hear(THE_LIST)
        if len(self._streams) >= MAX_LISTENERS:
            raise MCPError(INTERNAL_ERROR, "Too many listen at once. Try again later.")
        with self._updates.watching(rooms, list_version=version), anyio.CancelScope() as scope:
            stream = ListenHandler(_Guarded(self._updates, rooms, rights, scope))
            self._streams.add(stream)
            try:
                return await stream(ctx, params)
            finally:
                self._streams.discard(stream)
        raise MCPError(INVALID_PARAMS, "You may no longer read what you listened to.")

    def _may_hear(self, uri: str) -> MayHear:
        """Tells, whenever it is asked, whether whoever asks now may still read what is there; of
        what is gone for everybody he is told."""
        context = contextvars.copy_context()  # with his rights
        has_key = shows_key(asked_by.get())

        async def look() -> bool:
            try:
                if uri == THE_LIST:
                    if has_key:  # the list is for everybody whose key still holds
                        await self._resources.must_have_key()
                elif (of_room := parsed(uri)) is not None:
                    await self._resources.readable(of_room)
            except NotForCaller:
                return False
            except (ResourceNotFoundError, ResourceError, BackendError):
                pass
            return True

        async def may_hear() -> bool:
            return await asyncio.get_running_loop().create_task(look(), context=context)

        return may_hear

    async def subscribe(
        self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        room = await self._permitted(params.uri)
        if listener := self.listener(ctx):
            if not listener.watches(params.uri) and listener.count >= MAX_WATCHED:
                raise MCPError(
                    INVALID_PARAMS,
                    f"At most {MAX_WATCHED} resources can be watched. Unsubscribe one.",
                )
            bound = room is not None and _may_change(room)
            may_hear = self._may_hear(params.uri) if bound else _always
            listener.watch(params.uri, room, may_hear)
        return EmptyResult()

    async def unsubscribe(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        if listener := self.listener(ctx):
            listener.unwatch(params.uri)
        return EmptyResult()

    def watch_list(self, ctx: ServerRequestContext[Any, Any], version: int) -> None:
        """Tell a client of the handshake era when the list of rooms is another than this one."""
        if listener := self.listener(ctx):
            listener.watch_list(version, self._may_hear(THE_LIST))

    def listener(self, ctx: ServerRequestContext[Any, Any]) -> Listener | None:
        """What tells the caller of changes; None where nothing can be sent between requests."""
        connection = sdk.connection(ctx)
        if (
            ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
            or not connection.has_standalone_channel
        ):
            return None
        listener = self._listeners.get(id(connection))
        if listener is None:
            listener = self._listeners[id(connection)] = Listener(self._updates, connection)
            connection.exit_stack.callback(self._listeners.pop, id(connection))
        return listener


def _may_change(room: wire.Room) -> bool:
    """Whether a caller who may read a room now may lose that right while it exists. To ask again
    for each event would be a call of the backend for each of a thousand listeners."""
    return room.access != "open" or shows_key(asked_by.get())


async def _always() -> bool:
    return True
