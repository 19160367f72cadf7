"""What fuzzed REST calls are fed with, to reach rooms that are there: ids, names, keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from schemathesis import Case, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

NOBODY = "00000000-0000-4000-8000-000000000000"
KEPT_ROOMS = 30  # of those that were made; where nobody is, the oldest goes out of play
ID_ODDS = 0.9  # that an unknown room becomes a known one
OPEN_ODDS = 0.85  # that it is one that is still open
PEOPLED_ODDS = 0.6  # that it is one with members
FIELD_ODDS = 0.75  # that a field gets a value that means something in its room
MEMBER_ODDS = 0.7  # that a name is one of the room's newest members
MEMBERS = 3
COVERAGE_ODDS = 0.25  # the same where the values are chosen with care
NAMES = ("alice", "bob", "carol", "dave", "Zoë")
ACCESS = ("open", "open", "open", "approval", "keyed")
OWNERS = ("/audit", "/admit", "/decline", "/mute", "/remove")  # calls that are the owner's
TYPES = ("note", "question", "answer", "decision", "review", "review_complete", "task", "result")
TEMPLATES = ("open", "code-review", "decision", "handoff", "task-queue")
SECTIONS: dict[str, tuple[Any, ...]] = {
    "contract": ({}, {"budget": {"messages": 40}}, {"about": "Two talk."}),
    "roles": ({"scribe": {"about": "Writes."}}, {}),
    "budget": ({"messages": 30}, {"messages": 5, "per_member": {"messages": 3}}, {}),
    "guard": ({"on": True}, True, False, {"on_stall": "notice"}),
}


@dataclass
class Room:
    """What the fuzzer knows about a room."""

    id: str
    owner_key: str = ""
    last_seq: int = 0
    is_closed: bool = False
    roles: tuple[str, ...] = ()
    keys: dict[str, str | None] = field(default_factory=dict[str, str | None])  # by member
    knocking: set[str] = field(default_factory=set[str])


class Feed:
    """Puts values that are there into a case before it is sent, and learns from the answer."""

    def __init__(self, seed: int, names: Sequence[str] = NAMES) -> None:
        self.random = Random(seed)
        self.names = names
        self.codes: list[str] = []  # of invitations
        self.key_ids: list[str] = []
        self.rooms: dict[str, Room] = {}
        self.gone: set[str] = set()
        self._made = 0

    # ---- before a call --------------------------------------------------------------------------

    def give(self, case: Case) -> None:
        _ask_without_waiting(case)
        room = self._room_of(case)
        careful = case.meta is not None and case.meta.phase.name is TestPhase.COVERAGE
        odds = COVERAGE_ODDS if careful else FIELD_ODDS
        if "key" in (case.path_parameters or {}) and self.key_ids:
            case.path_parameters["key"] = self.key_ids.pop(0)
        for one in _objects(case.body):
            self._fill(one, case.path, room, odds)
        if isinstance(case.query, dict):
            self._fill_query(case.query, room, odds)
        self._show_keys(case, room)

    def _room_of(self, case: Case) -> Room:
        id = (case.path_parameters or {}).get("id")
        if id is None or (case.meta and case.meta.is_negative_at(ParameterLocation.PATH)):
            return self.pick() or Room(NOBODY)
        if id in self.gone and not _stands_alone(case):
            return Room(str(id))  # whether it is still found is what the sequence is about
        known = self.rooms.get(str(id))
        is_fine = known is not None and not (known.is_closed and _stands_alone(case))
        if is_fine or self.random.random() > ID_ODDS:
            return known or Room(str(id))
        room = self._fitting(case.path) or self.pick() or Room(NOBODY)
        case.path_parameters["id"] = room.id
        return room

    def _fitting(self, path: str) -> Room | None:
        """A room in the state that the call needs, where few rooms are."""
        rooms = list(self.rooms.values())
        if path.endswith(("/admit", "/decline")):
            rooms = [room for room in rooms if room.knocking and not room.is_closed]
        elif path.endswith("/reopen"):
            rooms = [room for room in rooms if room.is_closed]
        else:
            return None
        return self.random.choice(rooms) if rooms else None

    def pick(self) -> Room | None:
        """A room that is there, most often an open one, or one with members; None if none is."""
        rooms = list(self.rooms.values())
        if self.random.random() < OPEN_ODDS:
            rooms = [room for room in rooms if not room.is_closed]
        if self.random.random() < PEOPLED_ODDS:
            rooms = [room for room in rooms if room.keys] or rooms
        return self.random.choice(rooms) if rooms else None

    def _fill(self, body: dict[str, Any], path: str, room: Room, odds: float) -> None:
        name = self._name(room)
        values: dict[str, Callable[[], Any]] = {
            "name": lambda: self._name_for(path, room),
            "access": lambda: self.random.choice(ACCESS),
            "code": lambda: self.codes.pop() if self.codes else "rkc_none",
            "sender": lambda: name,
            "agentName": lambda: name,
            "agentKey": lambda: room.keys.get(name),
            "agentSessionId": lambda: room.keys.get(name),
            "ownerKey": lambda: room.owner_key or None,
            "replyTo": lambda: self._seq(room) or None,
            "ifLastSeq": lambda: room.last_seq,
            "ack": lambda: self._seq(room),
            "type": lambda: self.random.choice(TYPES),
            "to": lambda: [self.random.choice(self.names)],
            "role": lambda: self.random.choice(room.roles) if room.roles else None,
            "template": lambda: self.random.choice(TEMPLATES),
            "idempotencyKey": lambda: f"key-{self.random.randrange(50)}",
            **{name: self._section(name) for name in SECTIONS},
        }
        for key in [key for key in body if key in values and self.random.random() < odds]:
            body[key] = values[key]()

    def _fill_query(self, query: dict[str, Any], room: Room, odds: float) -> None:
        values: dict[str, Callable[[], Any]] = {
            "after": lambda: self._seq(room),
            "ack": lambda: self._seq(room),
            "since": lambda: self._seq(room),
            "sender": lambda: self._name(room),
            "reader": lambda: self._name(room),
            "member": lambda: self._name(room),
            "type": lambda: self.random.choice(TYPES),
            "ids": lambda: ",".join([room.id, NOBODY][: self.random.randint(1, 2)]),
            "rooms": lambda: f"{room.id}:{self._seq(room)}",
            "read": lambda: f"{room.id}:{self._seq(room)}",
        }
        for key in [key for key in query if key in values and self.random.random() < odds]:
            query[key] = values[key]()

    def _show_keys(self, case: Case, room: Room) -> None:
        """The owner's key for what only he may do, and one key of two where there is a choice."""
        is_owners = case.method == "DELETE" or case.path.endswith(OWNERS)
        if is_owners and room.owner_key and self.random.random() < FIELD_ODDS:
            case.headers["Room-Key"] = room.owner_key
        is_twice = isinstance(case.body, dict) and case.body.get("idempotencyKey")
        if is_twice and self.random.random() < FIELD_ODDS:
            case.headers.pop("Idempotency-Key", None)

    def _name_for(self, path: str, room: Room) -> str:
        if path.endswith(("/keys", "/invitations")):
            return self.random.choice(self.names)
        if path.endswith(("/admit", "/decline")) and room.knocking:
            return self.random.choice(sorted(room.knocking))
        if path.endswith(("/admit", "/decline", "/mute", "/remove")):
            return self._name(room)
        self._made += 1
        return f"room {self._made}"

    def _name(self, room: Room) -> str:
        members = list(room.keys)[-MEMBERS:]
        is_member = members and self.random.random() < MEMBER_ODDS
        return self.random.choice(members if is_member else self.names)

    def _seq(self, room: Room) -> int:
        return self.random.randint(0, room.last_seq)

    def _section(self, name: str) -> Callable[[], Any]:
        return lambda: self.random.choice(SECTIONS[name])

    # ---- after a call ---------------------------------------------------------------------------

    def learn_from(self, case: Case, response: Response) -> None:
        id = str((case.path_parameters or {}).get("id", ""))
        if case.method == "DELETE" and response.status_code == 204:
            self.rooms.pop(id, None)
            self.gone.add(id)
            return
        try:
            answer = json.loads(response.content)
        except ValueError:
            return
        self.learn(id, answer)
        if case.path.endswith(("/admit", "/decline")) and response.status_code == 200:
            self.rooms[id].knocking.discard(case.body["name"])
        if case.path == "/agent/keys" and case.method == "POST":
            self.key_ids.append(answer["id"])
        if case.path.endswith("/leave") and id in self.rooms:
            self.rooms[id].keys.pop(answer["agentName"], None)

    def learn(self, id: str, answer: dict[str, Any]) -> None:
        """Take down what an answer tells about a room; `id` is the one that was asked for."""
        if answer.get("code") == "room_closed" and id in self.rooms:
            self.rooms[id].is_closed = True
        elif str(answer.get("code", "")).startswith("rkc_"):
            self.codes.append(answer["code"])
        elif "ownerKey" in answer:
            self._learn_room(answer)
        elif id in self.rooms:
            _learn_state(self.rooms[id], answer)

    def _learn_room(self, answer: dict[str, Any]) -> None:
        room = self.rooms.setdefault(answer["roomId"], Room(answer["roomId"]))
        room.owner_key = answer["ownerKey"] or room.owner_key
        if len(self.rooms) > KEPT_ROOMS:
            empty = [id for id, room in self.rooms.items() if room.is_closed or not room.keys]
            del self.rooms[next(iter(empty or self.rooms))]


def _learn_state(room: Room, answer: dict[str, Any]) -> None:
    room.last_seq = max(room.last_seq, answer.get("lastSeq") or answer.get("seq") or 0)
    if "agentKey" in answer:
        room.keys[answer["agentName"]] = answer["agentKey"] or room.keys.get(answer["agentName"])
    if answer.get("pending") and "agentName" in answer:
        room.knocking.add(answer["agentName"])
    told = answer.get("room")
    info = told if isinstance(told, dict) else answer
    if "lifecycle" in info:
        room.is_closed = info["lifecycle"] == "closed"
    elif "closed" in answer:
        room.is_closed = answer["closed"]
    if "roles" in info:
        room.roles = tuple(one["name"] for one in info["roles"])


def _stands_alone(case: Case) -> bool:
    """Whether the case is no step of a sequence, which goes on with the room that it made."""
    return case.meta is None or case.meta.phase.name is not TestPhase.STATEFUL


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    """The body, and the messages in it where it is a batch."""
    if isinstance(body, dict):
        yield body
        messages = body.get("messages")
        if isinstance(messages, list):
            yield from (one for one in messages if isinstance(one, dict))


def _ask_without_waiting(case: Case) -> None:
    """Waiting is not what is looked at here, and a run would sleep through most of its time."""
    wait = case.query.get("wait") if isinstance(case.query, dict) else None
    try:
        if wait is not None and float(wait) > 0:
            case.query["wait"] = 0
    except (TypeError, ValueError):
        pass  # no number, which is refused
