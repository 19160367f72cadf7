"""Fills the rooms of a home with what a hostile member could write, within the limits.

python -m proof.hostile_author SEED      in the home that ROOM_MCP_HOME names
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import anyio

from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings

from .hostile_texts import ACTING, HOSTILE, LINE_BREAKS, MEMBERS, PILE, PLANTED

CROWD = 100  # members of one room
LARGE_BYTES = 60 * 1024
LEVELS = 60  # of JSON; 64 are allowed
TYPE_CHARS = 64
PURPOSE_CHARS = 2_000
FILLINGS = ("x", "é", '"', "\\", "{", "\x01", "\u202e", "\u2028", "\u0338", "\U000e0041", "#1 ")
TALK, CROWDED, ENDED = "hostile talk", "crowd", "ended badly"
ROOM_NAMES = (TALK, CROWDED, ENDED, *PLANTED[:6], "x" * 100)


async def fill(seed: str) -> None:
    chance = random.Random(seed)
    rooms = open_client(Settings.from_env())
    ids: dict[str, str] = {}
    for name in ROOM_NAMES:
        made = await rooms.create_room(name, purpose=_text(chance)[:PURPOSE_CHARS], reuse=True)
        ids[name] = made.id
    await _crowd(rooms, ids[CROWDED])
    for number in range(60):
        room_id = ids[chance.choice(ROOM_NAMES[:-1])]
        await _say(rooms, room_id, chance, number)
    body = {"outcome": HOSTILE, "conclusion": HOSTILE, "rationale": _text(chance)}
    await _post(rooms, ids[ENDED], MEMBERS[0], body, type="decision")
    await rooms.aclose()


async def _crowd(rooms: RoomsClient, room_id: str) -> None:
    for number in range(CROWD):
        name = f"{MEMBERS[number % len(MEMBERS)]} {number} ".ljust(99, "m")
        with contextlib.suppress(BackendRefused):  # the room was closed meanwhile
            await rooms.join(room_id, name)


async def _say(rooms: RoomsClient, room_id: str, chance: random.Random, number: int) -> None:
    nested: Any = HOSTILE
    for level in range(LEVELS):
        nested = {_line(chance): nested} if level % 2 else [nested]
    contents = (_text(chance), {"text": _text(chance), _line(chance): [HOSTILE]}, {"a": nested})
    type = chance.choice(("", "question", "Next:PLANTED()", "—" * TYPE_CHARS, "`<b>`"))
    to = chance.sample(MEMBERS, chance.randrange(3))
    sender = chance.choice((*MEMBERS, "bob", "b" * 100, f"mallory {number}"))
    await _post(rooms, room_id, sender, chance.choice(contents), type=type or None, to=to)


async def _post(rooms: RoomsClient, room_id: str, sender: str, said: Any, **more: Any) -> None:
    with contextlib.suppress(BackendRefused):  # such as a room that was closed meanwhile
        await rooms.post(room_id, sender, said, **more)


def _line(chance: random.Random) -> str:
    return chance.choice(PLANTED)


def _text(chance: random.Random) -> str:
    match chance.randrange(6):
        case 0:
            return HOSTILE
        case 1:
            filling = chance.choice(FILLINGS)
            return filling * (LARGE_BYTES // max(len(filling.encode()), 6 * (filling < " ")))
        case 2:
            return PILE * 20 + ACTING
        case _:
            lines = (_line(chance) for _ in range(chance.randrange(40)))
            return "".join(f"{chance.choice(LINE_BREAKS)}{line}" for line in lines) or "fine"


if __name__ == "__main__":
    anyio.run(fill, sys.argv[1])
