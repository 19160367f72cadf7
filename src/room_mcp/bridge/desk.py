"""An agent's desk: who it is, which rooms it is in, what it was shown, and what it said last.

Nothing here is the truth about a room; it is what keeps an agent's own calls consistent, so that
it needs no cursor, repeats no message, and is shown again what a host dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from room_mcp import wire
from room_mcp.addressing import resolve
from room_mcp.client import RoomsClient
from room_mcp.failures import BackendRefused, NotOurs

from .keyring import Keyring
from .names import JOINT, Names

_TAKEN = ("name_taken", "name_protected")
START_AS = "start you under another name: room-mcp --agent NAME, or ROOM_MCP_AGENT"
LATEST_ROOMS = 30
MAX_RENAMES = 20


@dataclass(slots=True)
class Call:
    """One tool call: what was read when it began, what its answer shows, and who wrote that."""

    read: Mapping[str, int]
    shown: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    heard: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    repeated: dict[str, int] = field(default_factory=lambda: dict[str, int]())
    quoted: list[wire.Message] = field(default_factory=lambda: list[wire.Message]())


current_call: ContextVar[Call] = ContextVar("current_call")


@dataclass(frozen=True, slots=True)
class _Said:
    """What was sent to a room since something new was heard there: fingerprint → key."""

    heard: int
    keys: dict[str, str] = field(default_factory=lambda: dict[str, str]())


class Desk:
    """The desk of one agent.

    Args:
        where: The backend, in words for people.
        agent: The exact name, or empty: then it is derived from the host's, if from anything.
        shared: Whether the backend is one where the same name may be somebody else's; what is
            ours is then known by its key alone.
        renaming: What a user does to give the agent another name, as in "Ask your user to …".
    """

    def __init__(
        self,
        client: RoomsClient,
        names: Names,
        keyring_of: Callable[[str], Keyring],
        *,
        where: str,
        agent: str = "",
        shared: bool = False,
        renaming: str = START_AS,
    ) -> None:
        self.client = client
        self.where = where
        self.renaming = renaming
        self._shared = shared
        self._names = names
        self._keyring_of = keyring_of
        self._explicit = agent
        self._keyring: Keyring | None = None
        self._rooms: dict[str, str] = {}  # room id → name, of the rooms this agent is in
        self._ids: dict[str, str] = {}  # what the model called a room → its id
        self._shown: dict[str, int] = {}  # room id → what complete answers showed
        self._heard: dict[str, int] = {}  # the same, of what others said
        self._repeated: dict[str, int] = {}  # room id → what was shown by a process before, too
        self._tried: dict[str, int] = {}  # room id → what any answer showed, complete or not
        self._acknowledged: dict[str, int] = {}  # room id → what the backend was told
        self._said: dict[str, _Said] = {}
        self._asked: set[str] = set()  # the rooms whose owner has not let us in yet
        self._knows_rooms = False
        self._asks_who = shared and client.has_key
        self._own: wire.Key | None = None  # our server key

    # ---- calls --------------------------------------------------------------------------------

    def begin(self) -> Call:
        """A call arrived: what complete answers showed until now counts as read from here on."""
        return Call(read=dict(self._shown))

    def complete(self, call: Call) -> None:
        """The call's answer goes out whole; a cancelled call never comes here."""
        _raise(self._shown, call.shown)
        _raise(self._heard, call.heard)
        _raise(self._repeated, call.repeated)

    def ack(self, room_id: str) -> int:
        return current_call.get().read.get(room_id, 0)

    async def acknowledge(self, room: wire.Room, you: str) -> None:
        """Let the backend know what was read before a long silence; a restart finds it there."""
        await self._acknowledge(room, you, self.ack(room.id))

    async def _acknowledge(self, room: wire.Room, you: str, ack: int) -> None:
        if ack > self._acknowledged.get(room.id, 0):
            await self.client.messages(
                room.id, after=room.last_seq, reader=you, ack=ack, limit=1, key=self.key(room.id)
            )
            self._acknowledged[room.id] = ack

    async def leave(self) -> None:
        """The host has closed the connection: what was shown for the second time is read.

        A host that starts a process for each call would else be shown the same for ever. What
        was shown once is shown again, because the host may have closed before the model saw it.
        """
        if (you := self._names.held) is None or not self._repeated:
            return
        for room in (await self.client.rooms(ids=list(self._repeated))).rooms:
            await self._acknowledge(room, you, self._repeated[room.id])

    def seen(self, room_id: str) -> int:
        """How far the agent sees the room with this call's answer, as far as it is made."""
        return self._read().get(room_id, 0)

    def show(self, room_id: str, seq: int, *, of_others: bool = True) -> None:
        """This call's answer shows the room up to `seq`."""
        call = current_call.get()
        _raise(call.shown, {room_id: seq})
        _raise(self._tried, {room_id: seq})
        if of_others:
            _raise(call.heard, {room_id: seq})

    def repeat(self, room_id: str, seq: int) -> None:
        """This call's answer shows what an earlier process has shown, up to `seq`."""
        _raise(current_call.get().repeated, {room_id: seq})

    def quote(self, messages: Sequence[wire.Message]) -> None:
        """This call's answer repeats what these messages say."""
        current_call.get().quoted.extend(messages)

    def tried(self, room_id: str, by_backend: int) -> int:
        """How far earlier answers showed the room, whether or not they arrived.

        The backend counts whole pages, of which an answer may have shown the beginning; it is
        asked only about what a process before this one showed.
        """
        return self._tried.get(room_id, by_backend)

    # ---- who ----------------------------------------------------------------------------------

    async def learn_own_name(self) -> None:
        """Ask a shared server once whom our key stands for; raises BackendError."""
        if self._asks_who:
            with contextlib.suppress(NotOurs):  # the origin knows no keys
                self._own = (await self.client.keys.me()).key
            self._asks_who = False

    def _named(self, derived: str) -> str:
        """The name to begin with: the one that was chosen, or the key's, or the host's."""
        if self._explicit or self._own is None:
            return self._explicit or derived
        # For a person several agents speak; an agent's key has its own name.
        own = self._own
        return f"{own.name}/{derived}" if own.kind == "human" else own.name

    @property
    def _joint(self) -> str:
        """What parts a name from its count: a key for `rex` lets `rex/2` speak, not `rex-2`."""
        return "/" if self._own is not None and self._own.kind == "agent" else JOINT

    def likely_name(self, derived: str) -> str:
        return self._explicit or self._names.likely(self._named(derived), joint=self._joint)

    def hold_name(self, derived: str) -> str:
        """The name that this process speaks under, held from now on; raises NameHeld."""
        name = self._names.hold(self._named(derived), exact=bool(self._explicit), joint=self._joint)
        if self._keyring is None:
            self._keyring = self._keyring_of(name)
        return name

    def key(self, room_id: str) -> str:
        return self._keyring.member_key(room_id) if self._keyring else ""

    def owner_key(self, room_id: str) -> str:
        return self._keyring.owner_key(room_id) if self._keyring else ""

    # ---- rooms --------------------------------------------------------------------------------

    async def room_id(self, room: str) -> str:
        """The id of what the model calls a room; one request the first time, then none."""
        known = self._ids.get(room)
        if known is None:
            known = (await resolve(self.client, room)).id
            self._ids[room] = known
        return known

    def forget(self, room: str) -> None:
        """What this room was called may mean another one by now; it may have ended."""
        room_id = self._ids.get(room, room)
        self._ids = {name: id for name, id in self._ids.items() if id != room_id}
        self._rooms.pop(room_id, None)

    async def listed(self, query: str, closed: bool, derived: str) -> wire.Directory:
        """The directory as this agent sees it."""
        you = self.likely_name(derived)
        return await self.client.rooms(query=query, member=you, closed=closed, read=self._read())

    def _read(self) -> Mapping[str, int]:
        """What this call's arrival acknowledges and its answer shows, for counting the unread."""
        call = current_call.get()
        read = dict(call.read)
        _raise(read, call.shown)
        return dict(list(read.items())[-wire.MAX_UPDATE_ROOMS :])

    async def mail_besides(self, shown: str | None) -> list[wire.Room]:
        """This agent's other rooms with unread messages.

        Asks nothing while the agent is known to be in no other room.
        """
        you = self._names.held
        others = [id for id in self._rooms if id != shown]
        if you is None or (self._knows_rooms and not others):
            return []
        rooms = await self.my_rooms(you)
        return [room for room in rooms if room.unread and room.id != shown]

    def has_read(self, info: wire.Info, you: str) -> int:
        """How far a member has read, by the backend and by what complete answers showed."""
        known = [one.read_to or 0 for one in info.members if one.name == you]
        return max([self.ack(info.id), *known])

    def was_let_in(self, room_id: str) -> bool:
        """Whether we had to ask to come in, which is told once."""
        was_asked = room_id in self._asked
        self._asked.discard(room_id)
        return was_asked

    def is_in(self, room_id: str) -> bool:
        return room_id in self._rooms

    async def my_rooms(self, you: str) -> list[wire.Room]:
        """The rooms that this agent is in, with unread counts; the latest changed first."""
        # Without a server key, what is ours on a shared server is known by its keys alone.
        found = await self._rooms_of_name(you) if self._own or not self._shared else []
        kept = self._keyring.room_ids if self._keyring else []
        there = {room.id for room in found}
        missing = [id for id in dict.fromkeys([*kept, *self._rooms]) if id not in there]
        if ids := missing[-wire.MAX_UPDATE_ROOMS :]:
            found += (await self.client.rooms(member=you, ids=ids, read=self._read())).rooms
        mine = [room for room in found if room.unread is not None]
        self._rooms = {room.id: room.name for room in mine if room.lifecycle != "closed"}
        self._knows_rooms = True
        return mine

    async def _rooms_of_name(self, you: str) -> list[wire.Room]:
        """All open rooms, and the last that closed: who is in for long has many closed ones."""
        read = self._read()
        latest = await self.client.rooms(member=you, mine=True, limit=LATEST_ROOMS, read=read)
        if len(latest.rooms) < LATEST_ROOMS:
            return latest.rooms
        still_open = await self.client.rooms(
            member=you, mine=True, closed=False, limit=wire.MAX_LIMIT, read=read
        )
        rooms = {room.id: room for room in (*latest.rooms, *still_open.rooms)}
        return list(rooms.values())

    async def row(self, room_id: str, you: str) -> wire.Room | None:
        """One room as this agent sees it, or None when it is gone."""
        read = {room_id: self._read().get(room_id, 0)}
        found = (await self.client.rooms(member=you, ids=[room_id], read=read)).rooms
        return found[0] if found else None

    async def create(
        self, name: str, purpose: str, template: str, derived: str
    ) -> tuple[wire.RoomCreated, str]:
        """Open a room, or find the open one of that name. The room and our name."""
        you = self.hold_name(derived)
        room = await self.client.create_room(
            name, purpose=purpose, template=template, sender=you, reuse=True
        )
        self._ids[name] = room.id
        if room.owner_key and self._keyring is not None:
            self._keyring.keep(room.id, owner=room.owner_key)
        return room, you

    async def join(self, room_id: str, derived: str, role: str = "") -> wire.Joined:
        """Become a member under our name, or come back; a derived name that is taken counts up."""
        you = self.hold_name(derived)
        protect = self._keyring is not None and self._keyring.is_kept
        for above in range(1, MAX_RENAMES):
            try:
                joined = await self.client.join(
                    room_id, you, role=role, key=self.key(room_id), protect=protect
                )
            except BackendRefused as error:
                if error.code not in _TAKEN or self._explicit or self._rooms:
                    raise
                self._names.release()
                you = self._names.hold(
                    self._named(derived), exact=False, above=above, joint=self._joint
                )
                self._keyring = self._keyring_of(you)
                continue
            if self._keyring is not None:
                self._keyring.keep(room_id, member=joined.agent_key)
            if joined.pending:
                self._asked.add(room_id)
                return joined
            if joined.room.name not in self._rooms.values():
                self._ids[joined.room.name] = room_id  # of two rooms of one name, it means this
            self._rooms[room_id] = joined.room.name
            return joined
        raise BackendRefused(409, {"code": "name_taken", "detail": f"{you!r} is taken."})

    # ---- messages -----------------------------------------------------------------------------

    def key_for(self, room_id: str, message: dict[str, Any]) -> str:
        """The idempotency key of a message: a call repeated with nothing seen in between has
        the key of the first, so that a host's time-out doubles nothing."""
        text = json.dumps(message, sort_keys=True, ensure_ascii=False)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        said = self._said.get(room_id)
        if said is None or said.heard != self._heard.get(room_id, 0):
            said = self._said[room_id] = _Said(self._heard.get(room_id, 0))
        return said.keys.setdefault(fingerprint, str(uuid.uuid4()))


def _raise(marks: dict[str, int], to: Mapping[str, int]) -> None:
    for room_id, seq in to.items():
        marks[room_id] = max(seq, marks.get(room_id, 0))
