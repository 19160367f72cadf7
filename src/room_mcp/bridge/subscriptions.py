"""Who watches which resource, in both eras of the protocol; nobody watches what he may not read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.subscriptions import ListenHandler
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
from room_mcp.plain import plain

from . import sdk
from .resources import Resources, parsed
from .updates import Listener, Updates

MAX_WATCHED = 200  # resources that one client watches
MAX_LISTENERS = 10_000  # streams of changes; a client has one


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
        self._listening = ListenHandler(updates.bus, max_subscriptions=MAX_LISTENERS)
        self._listeners: dict[int, Listener] = {}  # by connection, of the handshake era

    def end(self) -> None:
        """End all streams of changes as the protocol wants it."""
        self._updates.end()
        self._listening.close()

    async def _permitted(self, uri: str) -> wire.Room | None:
        """The room that a URI stands for, if the caller may read it; None for other resources.

        Raises:
            MCPError: There is nothing at the URI that the caller may read.
        """
        try:
            of_room = parsed(uri)
            if of_room is not None:
                return await self._resources.found(of_room)
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
        wanted = params.notifications
        rooms = await self._watchable(wanted.resource_subscriptions or ())
        version = await self._resources.version() if wanted.resources_list_changed else None
        with self._updates.watching(rooms, list_version=version):
            return await self._listening(ctx, params)

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
            listener.watch(params.uri, room)
        return EmptyResult()

    async def unsubscribe(
        self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        if listener := self.listener(ctx):
            listener.unwatch(params.uri)
        return EmptyResult()

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
