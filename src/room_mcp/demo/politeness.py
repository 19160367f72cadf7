"""Two agents that never stop by themselves, in three rooms: one without rules, two with.

Each answers whatever wakes it, and says something all the same when its user asks it to go on.
What they say is scripted; what is shown beside it is what the room answered.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from room_mcp import wire
from room_mcp.cli import lines
from room_mcp.client import RoomsClient
from room_mcp.compose import open_client
from room_mcp.failures import BackendRefused
from room_mcp.settings import Settings

from .stage import DemoFailed

CAP = 20  # messages at which this demo stops what no rule stops
MOST = 60  # messages in a room whose rules should have acted long before
URGED = 6  # refusals after which nobody asks the agents to go on any more; 3 for each
MOST_WIDTH = 100  # columns
INDENT = " " * 6

NO_RULES: dict[str, Any] = {"name": "no-rules", "about": "Nothing ends it.", "terminal": []}

Script = dict[str, Any]


class Agent:
    """A scripted agent that has a courtesy for every occasion."""

    def __init__(self, name: str, courtesies: Sequence[str]) -> None:
        self.name = name
        self._courtesies = cycle(courtesies)
        self._cursor = 0

    def courtesy(self) -> str:
        return next(self._courtesies)

    async def is_woken(self, rooms: RoomsClient, room_id: str) -> bool:
        """Read on, and say whether something in it would have ended this agent's wait."""
        page = await rooms.messages(room_id, after=self._cursor, reader=self.name)
        self._cursor = page.next_cursor
        return any(self.name in one.wakes for one in page.messages)


class Pair(NamedTuple):
    """The two agents of a round."""

    author: Agent
    reviewer: Agent


class Ending(NamedTuple):
    """A row of the last table; of the `stored` messages, so many were `courtesies`."""

    room: str
    stored: int
    courtesies: int
    by: str
    why: str


class Scene:
    """A room of this demo: what is said in it is printed with what the room answers.

    `noticed_at` and `quiet_at` are the seqs of the first message whose sender was told that it
    brings nothing new, and of the first that therefore wakes nobody; 0 for none.
    """

    def __init__(self, rooms: RoomsClient, room_id: str, pair: Pair) -> None:
        self._rooms = rooms
        self._told: set[str] = set()
        self.room_id = room_id
        self.pair = pair
        self.courtesies = 0
        self.refused = 0
        self.last_seq = 0
        self.noticed_at = 0
        self.quiet_at = 0

    # ---- acts -------------------------------------------------------------------------------

    async def say(
        self, sender: Agent, content: str | dict[str, Any], type: str = "note"
    ) -> wire.Posted:
        """Raises BackendRefused when a rule says no."""
        posted = await self._rooms.post(self.room_id, sender.name, content, type=type)
        self.last_seq = posted.seq
        kind = "" if type == "note" else f" [{type}]"
        woken = f"wakes {' and '.join(posted.wakes) or 'nobody'}"
        score = f", score {posted.standing.score:g}" if posted.standing.score else ""
        _show(f"#{posted.seq} {sender.name}{kind}: {lines.said(posted)}  ({woken}{score})")
        for notice in posted.notices:
            is_quiet = not posted.wakes
            self.noticed_at = self.noticed_at or posted.seq
            self.quiet_at = self.quiet_at or (posted.seq if is_quiet else 0)
            self._tell(f"notice, {'quiet' if is_quiet else 'awake'}", sender, notice)
        return posted

    async def be_polite(self, sender: Agent, content: str = "") -> None:
        """Say a courtesy; raises BackendRefused when a rule says no."""
        await self.say(sender, content or sender.courtesy())
        self.courtesies += 1

    async def be_refused(self, sender: Agent, code: str, content: str = "") -> None:
        """Try to say a courtesy that the room must refuse."""
        if await self.insist(sender, code, content):
            raise DemoFailed(f"#{self.last_seq} should have been refused: {code}.")

    async def insist(self, sender: Agent, code: str, content: str = "") -> bool:
        """Try to say a courtesy; whether the room took it, which may refuse it for this reason."""
        said = content or sender.courtesy()
        try:
            await self.be_polite(sender, said)
        except BackendRefused as refusal:
            if refusal.code != code:
                raise
            self.refused += 1
            _show(f"×  {sender.name}: {said}  (refused: {code})")
            self._tell(code, sender, str(refusal))
            return False
        return True

    async def talk(self, most: int) -> None:
        """Both answer what wakes them, until nothing does or the room holds `most` messages."""
        while self.last_seq < most:
            before = self.last_seq
            for agent in self.pair:
                if self.last_seq < most and await agent.is_woken(self._rooms, self.room_id):
                    await self.be_polite(agent)
            if self.last_seq == before:
                return

    async def urge(self) -> None:
        """Both go on though nothing wakes them, until the room has refused some."""
        turns = cycle(self.pair)
        while self.refused < URGED:
            if self.last_seq >= MOST:
                raise DemoFailed(f"The guard let {MOST} messages pass.")
            await self.insist(next(turns), "hushed")

    async def end(self, sender: Agent, verdict: dict[str, Any]) -> wire.Closing:
        """Give the verdict, which must close the room in the same step."""
        posted = await self.say(sender, verdict, "review_complete")
        page = await self._rooms.messages(self.room_id, after=posted.seq)
        for message in page.messages:
            _show(f"#{message.seq} {message.sender} [{message.type}]: {lines.said(message)}")
        closing = (await self.info()).closing
        if not posted.closed or closing is None or closing.seq != posted.seq:
            raise DemoFailed(f"The verdict in #{posted.seq} did not close the room.")
        return closing

    async def info(self) -> wire.Info:
        return await self._rooms.info(self.room_id)

    # ---- what is shown ------------------------------------------------------------------------

    def _tell(self, kind: str, whom: Agent, text: str) -> None:
        """What the room tells a sender; of each kind, the whole sentence once."""
        told = " the like." if kind in self._told else f": {text}"
        self._told.add(kind)
        _show(f"{whom.name} is told{told}", INDENT)


# ---- the rounds ------------------------------------------------------------------------------


async def walk(home: str) -> None:
    """Play the three rounds."""
    script = json.loads(files("room_mcp.demo").joinpath("politeness.json").read_text("utf-8"))
    settings = Settings(home=Path(home), store=str(Path(home, "rooms.db")))
    async with open_client(settings) as rooms:
        rounds = (_without_rules, _as_code_review, _in_an_open_room)
        _show_table([await one(rooms, script) for one in rounds])


async def _without_rules(rooms: RoomsClient, script: Script) -> Ending:
    _show_heading("1. A room without rules", "No message ends it, and its guard is off.")
    room = await rooms.create_room("no-rules", contract=NO_RULES, guard=False)
    scene = await _scene(rooms, room, script)
    await _work(scene, script)
    await scene.talk(CAP)
    info = await scene.info()
    if info.lifecycle != "open" or info.last_seq != CAP:
        raise DemoFailed(f"The room without rules stopped by itself, at #{info.last_seq}.")
    last = (await rooms.messages(room.id, after=CAP - 1)).messages[-1]
    if not last.wakes:
        raise DemoFailed(f"In the room without rules, #{last.seq} woke nobody.")
    woken = " and ".join(last.wakes)
    why = f"no rule ends it; #{last.seq} has woken {woken} once more, and the room is open"
    _show_ending(f"at #{last.seq}, because this demo stops there", why, scene, info)
    return Ending(room.name, info.message_count, scene.courtesies, "this demo", "no rule ends it")


async def _as_code_review(rooms: RoomsClient, script: Script) -> Ending:
    room = await rooms.create_room("code-review", template="code-review")
    notes = (await rooms.info(room.id)).budget.per_member.per_type["note"]
    _show_heading(
        "2. The same two in a room made from the template code-review",
        f"It has roles, typed messages, a verdict that ends it, and {notes} notes for each member.",
    )
    scene = await _scene(rooms, room, script, roles=True)
    by_name = {one.name: one for one in scene.pair}
    for name, type, content in script["review"]:
        if type == "note":
            await scene.be_polite(by_name[name], content)
        else:
            await scene.say(by_name[name], content, type)
    await scene.be_refused(scene.pair.reviewer, "budget_spent", script["one_more"])
    closing = await scene.end(scene.pair.reviewer, script["verdict"])
    for agent in scene.pair:
        await scene.be_refused(agent, "room_closed")
    why = f"every reviewer has given a verdict: {closing.outcome}"
    return await _ended(scene, closing, why)


async def _in_an_open_room(rooms: RoomsClient, script: Script) -> Ending:
    _show_heading(
        "3. The same two in an open room with its guard",
        "Everybody may say everything; what brings nothing new is noticed, quiet, then refused.",
    )
    room = await rooms.create_room("open")
    scene = await _scene(rooms, room, script)
    await _work(scene, script)
    await scene.talk(MOST)
    if scene.last_seq != scene.quiet_at:
        raise DemoFailed(f"After #{scene.last_seq} the agents fell silent, but not by the guard.")
    print()
    _show(f"#{scene.quiet_at} woke nobody: agents that only answer fall silent here.")
    _show("The users of these two ask them to go on all the same:")
    await scene.urge()
    hushed_at = scene.last_seq + 1
    print()
    _show("A verdict gets through, and ends the room:")
    closing = await scene.end(scene.pair.reviewer, script["verdict"])
    await scene.be_refused(scene.pair.author, "room_closed")
    loop = f"notice at #{scene.noticed_at}, quiet at #{scene.quiet_at}, hushed at #{hushed_at}"
    return await _ended(scene, closing, f"{loop}; verdict: {closing.outcome}")


async def _scene(
    rooms: RoomsClient, room: wire.RoomCreated, script: Script, *, roles: bool = False
) -> Scene:
    """The room with both agents in it."""
    agents: list[Agent] = []
    for role in ("author", "reviewer"):
        name = script[role]
        await rooms.join(room.id, name, role=role if roles else "")
        agents.append(Agent(name, script["courtesies"][name]))
    return Scene(rooms, room.id, Pair(*agents))


async def _work(scene: Scene, script: Script) -> None:
    """All that the two have to tell each other."""
    for agent, content in zip(scene.pair, script["work"], strict=True):
        await scene.say(agent, content)


async def _ended(scene: Scene, closing: wire.Closing, why: str) -> Ending:
    """Print how a room with rules ended."""
    info = await scene.info()
    _show_ending(f"at #{closing.seq}, by {closing.by}'s verdict", why, scene, info)
    by = f"{closing.by}, #{closing.seq}"
    return Ending(info.name, info.message_count, scene.courtesies, by, why)


# ---- what is printed -------------------------------------------------------------------------


def _show_heading(title: str, about: str) -> None:
    print(f"\n{title}\n{'=' * len(title)}\n{about}\n", flush=True)


def _show_ending(when: str, why: str, scene: Scene, info: wire.Info) -> None:
    print()
    _show(f"When    {when}")
    _show(f"Why     {why}")
    refused = f"; {scene.refused} more were refused" if scene.refused else ""
    _show(f"Wasted  {scene.courtesies} of {lines.counted(info.message_count)}{refused}")


def _show(text: str, indent: str = "") -> None:
    """A line, folded to the width; further ones are indented."""
    folded = textwrap.fill(
        text,
        min(MOST_WIDTH, lines.width_of_terminal()),
        initial_indent=indent,
        subsequent_indent=INDENT,
        break_on_hyphens=False,
    )
    print(folded, flush=True)


def _show_table(endings: Sequence[Ending]) -> None:
    head = ("room", "stored", "courtesies", "ended by", "why")
    rows = [head, *(tuple(map(str, one)) for one in endings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("\nMessages stored, and how each room ended:\n")
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
