"""Every call of the REST contract, in one table; the description at /openapi.json comes from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel

from room_mcp import wire
from room_mcp.rooms import OWNER

from . import api, api_keeping, api_keys, api_operating
from .api import Handler
from .limiting import Cost


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    `query` are the parameters it knows; `media` what it answers with, if not JSON, and
    `other_media` what on request; `other_status` is another that is no refusal. A `public` call
    needs no key on any server; those of a room need none where the room is a demo.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
    status: int = 200
    media: str = "application/json"
    other_media: tuple[str, ...] = ()
    other_status: int | None = None
    public: bool = False
    cost: Cost | None = None

    @property
    def charged_as(self) -> Cost:
        """The rate of its caller that it counts for; if it does not say, its method does."""
        return self.cost or ("reads" if self.method == "GET" else "posts")

    @property
    def is_of_demos(self) -> bool:
        """Whether callers without a key may make it for demo rooms, where there are such."""
        return self.path == DEMO_PATH or self.path.startswith(f"{_ROOM}/")


DEMO_PATH = "/agent/demo/room"
_post_as_owner = partial(api.post_message, default_sender=OWNER)
_ROOM = "/agent/rooms/{id}"
_OWNERS = "/api/rooms/{id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        DEMO_PATH,
        api.create_demo_room,
        "Open a room to try things out",
        wire.RoomCreated,
        wire.NewDemoRoom,
        status=201,
        cost="rooms",
    ),
    Operation(
        "POST",
        "/agent/rooms",
        api.create_room,
        "Open a room",
        wire.RoomCreated,
        wire.NewRoom,
        status=201,
        other_status=200,
        cost="rooms",
    ),
    Operation(
        "GET",
        "/agent/rooms",
        api.list_rooms,
        "List rooms, the latest changed first",
        wire.Directory,
        query=api.DIRECTORY_QUERY,
    ),
    Operation(
        "POST",
        f"{_ROOM}/join",
        api.join_room,
        "Become a member, or ask to be one",
        wire.Joined,
        wire.Join,
        other_status=202,
    ),
    Operation(
        "POST", f"{_ROOM}/leave", api.leave_room, "Stop being a member", wire.Left, wire.Leave
    ),
    Operation(
        "POST",
        f"{_ROOM}/heartbeat",
        api.heartbeat,
        "Be reminded of where one is",
        wire.Reminder,
        wire.Heartbeat,
    ),
    Operation(
        "POST",
        f"{_ROOM}/messages",
        api.post_message,
        "Send a message",
        wire.Posted,
        wire.Post,
        status=201,
    ),
    Operation(
        "POST",
        f"{_ROOM}/messages/batch",
        api.post_batch,
        "Send messages in one transaction",
        wire.BatchDone,
        wire.Batch,
    ),
    Operation(
        "GET",
        f"{_ROOM}/messages",
        api.read_messages,
        "Read from a cursor, or wait",
        wire.Page,
        query=api.PAGE_QUERY,
    ),
    Operation(
        "GET",
        f"{_ROOM}/history",
        api.read_history,
        "Read the whole room",
        wire.History,
        query=api.HISTORY_QUERY,
    ),
    Operation("GET", f"{_ROOM}/info", api.info, "Who is here and what is open", wire.Info),
    Operation(
        "POST", f"{_ROOM}/close", api_keeping.close_room, "End the room", wire.Info, wire.Close
    ),
    Operation(
        "POST",
        f"{_ROOM}/pause",
        partial(api_keeping.hold_room, pause=True),
        "Hold the room",
        wire.Info,
        wire.Hold,
    ),
    Operation(
        "POST",
        f"{_ROOM}/resume",
        partial(api_keeping.hold_room, pause=False),
        "Let it go on",
        wire.Info,
        wire.Hold,
    ),
    Operation(
        "POST",
        f"{_ROOM}/rename",
        api_keeping.rename_room,
        "Call the room otherwise",
        wire.Info,
        wire.Rename,
    ),
    Operation(
        "POST",
        f"{_ROOM}/archive",
        api_keeping.archive_room,
        "Put a closed room away, or bring it back",
        wire.Info,
        wire.Archive,
    ),
    Operation(
        "POST",
        f"{_ROOM}/reopen",
        api_keeping.reopen_room,
        "Let a closed room go on; only people may",
        wire.Info,
        wire.Reopen,
    ),
    Operation(
        "POST",
        f"{_ROOM}/settings",
        api_keeping.adjust_room,
        "Change the room's budget and guard",
        wire.Info,
        wire.Adjust,
    ),
    Operation(
        "POST",
        f"{_ROOM}/admit",
        partial(api_keeping.decide, about="admit"),
        "Let somebody in who waits, or come back who was sent away",
        wire.Info,
        wire.Decide,
    ),
    Operation(
        "POST",
        f"{_ROOM}/decline",
        partial(api_keeping.decide, about="decline"),
        "Send somebody away who waits",
        wire.Info,
        wire.Decide,
    ),
    Operation(
        "POST",
        f"{_ROOM}/mute",
        api_keeping.mute,
        "Let a member read only, or speak again",
        wire.Info,
        wire.Mute,
    ),
    Operation(
        "POST",
        f"{_ROOM}/remove",
        partial(api_keeping.decide, about="remove"),
        "Send a member away",
        wire.Info,
        wire.Decide,
    ),
    Operation(
        "GET",
        f"{_ROOM}/audit",
        api.audit,
        "What was done in the room, and refused; for its owner",
        wire.Audit,
        query=api.ROOM_AUDIT_QUERY,
        other_media=("application/x-ndjson",),
    ),
    Operation(
        "GET",
        "/agent/audit",
        api.audit,
        "What was done on the server, and refused; for admins",
        wire.Audit,
        query=api.AUDIT_QUERY,
        other_media=("application/x-ndjson",),
    ),
    Operation(
        "GET",
        "/agent/expired",
        api_keeping.expired,
        "Rooms past what the server keeps; for admins",
        wire.Expired,
    ),
    Operation(
        "DELETE",
        "/agent/expired",
        api_keeping.remove_expired,
        "Remove rooms past what the server keeps; for admins",
        wire.Expired,
    ),
    Operation(
        "GET",
        "/agent/templates",
        api.list_templates,
        "The rules that a room can start from",
        wire.Templates,
    ),
    Operation(
        "GET", f"{_ROOM}/search", api.search, "Search one room", wire.Hits, query=("q", "limit")
    ),
    Operation(
        "GET",
        f"{_ROOM}/stream",
        api.stream,
        "Follow a room as server-sent events",
        query=("after",),
        media="text/event-stream",
        other_media=("application/x-ndjson",),
        other_status=204,
    ),
    Operation(
        "GET",
        f"{_ROOM}/export",
        api.export,
        "The whole room as a file",
        query=("format",),
        media="text/markdown",
        other_media=("application/x-ndjson",),
    ),
    Operation(
        "GET",
        "/agent/search",
        api.search,
        "Search listed rooms, or those named",
        wire.Hits,
        query=("q", "ids", "limit"),
    ),
    Operation(
        "GET",
        "/agent/updates",
        api.updates,
        "Follow many rooms and the directory",
        wire.Updates,
        query=api.UPDATES_QUERY,
    ),
    Operation(
        "POST",
        "/api/rooms",
        api.create_room,
        "Open a room",
        wire.RoomCreated,
        wire.NewRoom,
        status=201,
        other_status=200,
        cost="rooms",
    ),
    Operation(
        "GET", "/api/rooms", api.list_rooms, "List rooms", wire.Directory, query=api.DIRECTORY_QUERY
    ),
    Operation("GET", _OWNERS, api.room, "One room", wire.Room),
    Operation(
        "DELETE", _OWNERS, api_keeping.delete_room, "Remove a room and all it holds", status=204
    ),
    Operation(
        "POST",
        f"{_OWNERS}/messages",
        _post_as_owner,
        "Speak as the owner",
        wire.Posted,
        wire.Post,
        status=201,
    ),
    Operation(
        "GET",
        f"{_OWNERS}/messages",
        api.read_messages,
        "Read from a cursor, or wait",
        wire.Page,
        query=api.PAGE_QUERY,
    ),
    Operation(
        "DELETE",
        f"{_OWNERS}/messages",
        api_keeping.erase_messages,
        "Remove all texts of a room",
        wire.Erased,
    ),
    Operation(
        "GET",
        f"{_OWNERS}/stream",
        api.stream,
        "Follow a room as server-sent events",
        query=("after",),
        media="text/event-stream",
        other_media=("application/x-ndjson",),
        other_status=204,
    ),
    Operation(
        "POST",
        "/agent/keys",
        api_keys.create_key,
        "Make a server key; only admins may",
        wire.KeyMade,
        wire.NewKey,
        status=201,
    ),
    Operation("GET", "/agent/keys", api_keys.list_keys, "List the server's keys", wire.Keys),
    Operation(
        "POST",
        "/agent/keys/{key}/revoke",
        api_keys.revoke_key,
        "Let a server key let nobody in any more",
        wire.Key,
    ),
    Operation(
        "POST",
        "/agent/invitations",
        api_keys.invite,
        "Make a code that one caller changes for a key",
        wire.Invited,
        wire.NewInvitation,
        status=201,
    ),
    Operation(
        "POST",
        "/agent/invitations/redeem",
        api_keys.redeem,
        "Change such a code for a key",
        wire.KeyMade,
        wire.Redeem,
        status=201,
        public=True,
        cost="knocks",
    ),
    Operation("GET", "/agent/me", api_keys.me, "Who the caller is", wire.Me),
    Operation(
        "GET",
        "/healthz",
        api_operating.healthz,
        "The process runs",
        wire.Health,
        public=True,
        cost="nothing",
    ),
    Operation(
        "GET",
        "/readyz",
        api_operating.readyz,
        "The store answers, and the server is not stopping",
        wire.Health,
        public=True,
        cost="nothing",
    ),
    Operation(
        "GET",
        "/metrics",
        api_operating.metrics,
        "The server's figures for Prometheus; for admins, or as the server is set",
        media="text/plain",
        public=True,  # it looks itself: who may read them is a setting
        cost="nothing",
    ),
)
