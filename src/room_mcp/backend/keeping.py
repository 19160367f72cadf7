"""What the owner of a room does with it: end it, hold it, keep others out of it, remove it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from room_mcp import wire
from room_mcp.rooms import OWNER, Contract, Past, Proof, Room, Step, adapted
from room_mcp.rooms.refusals import ContractChanged
from room_mcp.store.auditing import CLOSE

from . import answers
from .callers import sender_type
from .drafts import named
from .service import MAX_CHECKS, RoomService, read_contract

SCRUBBED_BYTES = 64 * 1024 * 1024  # of a store that is written anew at the wish of any owner
SCRUB_PAUSE = timedelta(minutes=1)  # between two at the wish of owners, whoever they are, anywhere

Decision = Literal["admit", "decline", "mute", "unmute", "remove"]


class Keeper:
    """The acts of owners; the rules decide whether the caller is one."""

    def __init__(self, rooms: RoomService) -> None:
        self._rooms = rooms
        self._scrubbed_at: datetime | None = None  # at the wish of an owner

    async def close(self, room_id: str, request: wire.Close, proof: Proof) -> wire.Info:
        by = named(request.sender, OWNER)
        kind = sender_type(request.sender_type, proof)
        conclusion = request.conclusion.strip()
        stamp = self._rooms.stamp()

        def decide(room: Room, _: Past) -> Step:
            return room.close(by, conclusion, proof=proof, stamp=stamp, kind=kind)

        await self._rooms.act(room_id, decide, proof, self._rooms.entry(CLOSE, room_id, by))
        return await self._rooms.info(room_id, proof)

    async def hold(
        self, room_id: str, request: wire.Hold, proof: Proof, *, pause: bool
    ) -> wire.Info:
        """Pause or resume."""
        by = named(request.sender, OWNER)
        stamp = self._rooms.stamp()

        def decide(room: Room, _: Past) -> Step:
            act = room.pause if pause else room.resume
            return act(by, proof=proof, stamp=stamp)

        entry = self._rooms.entry("pause" if pause else "resume", room_id, by)
        await self._rooms.act(room_id, decide, proof, entry)
        return await self._rooms.info(room_id, proof)

    async def rename(self, room_id: str, request: wire.Rename, proof: Proof) -> wire.Info:
        by = named(request.sender, OWNER)
        stamp = self._rooms.stamp()

        def decide(room: Room, _: Past) -> Step:
            return room.rename(request.name, by, proof=proof, stamp=stamp)

        # No name of the room in the entry: names of rooms go with them, the audit stays.
        await self._rooms.act(room_id, decide, proof, self._rooms.entry("rename", room_id, by))
        return await self._rooms.info(room_id, proof)

    async def archive(self, room_id: str, request: wire.Archive, proof: Proof) -> wire.Info:
        stamp = self._rooms.stamp()

        def decide(room: Room, _: Past) -> Step:
            return room.archive(proof=proof, stamp=stamp, undo=not request.archived)

        act = "archive" if request.archived else "unarchive"
        await self._rooms.act(room_id, decide, proof, self._rooms.entry(act, room_id))
        return await self._rooms.info(room_id, proof)

    async def reopen(self, room_id: str, request: wire.Reopen, proof: Proof) -> wire.Info:
        by = named(request.sender, OWNER)
        kind = sender_type(request.sender_type, proof)
        stamp = self._rooms.stamp()

        def decide(room: Room, past: Past) -> Step:
            return room.reopen(by, proof=proof, stamp=stamp, past=past, kind=kind)

        await self._rooms.act(room_id, decide, proof, self._rooms.entry("reopen", room_id, by))
        return await self._rooms.info(room_id, proof)

    async def adjust(self, room_id: str, request: wire.Adjust, proof: Proof) -> wire.Info:
        """Change the room's budget and the guard's thresholds."""
        stamp = self._rooms.stamp()
        for check in range(MAX_CHECKS):
            room = await self._rooms.readable(room_id, proof)
            room.must_be_owned_by(proof)  # before strangers' schemas are read for nothing
            before = room.contract
            after = await read_contract(
                adapted(before.document, budget=request.budget, guard=request.guard)
            )

            def decide(
                room: Room, _: Past, before: Contract = before, after: Contract = after
            ) -> Step:
                return room.adopt(after, instead_of=before, proof=proof, stamp=stamp)

            try:
                await self._rooms.act(room_id, decide, proof, self._rooms.entry("adjust", room_id))
                break
            except ContractChanged:
                if check == MAX_CHECKS - 1:
                    raise
        return await self._rooms.info(room_id, proof)

    async def decide(self, room_id: str, about: Decision, name: str, proof: Proof) -> wire.Info:
        """Decide about somebody who waits to come in, or a member."""
        stamp = self._rooms.stamp()

        def decide(room: Room, _: Past) -> Step:
            match about:
                case "admit":
                    return room.admit(name, proof=proof, stamp=stamp)
                case "decline":
                    return room.decline(name, proof=proof, stamp=stamp)
                case "remove":
                    return room.remove(name, proof=proof, stamp=stamp)
                case "mute" | "unmute":
                    return room.mute(name, silent=about == "mute", proof=proof, stamp=stamp)

        entry = self._rooms.entry(about, room_id, detail=name)
        await self._rooms.act(room_id, decide, proof, entry)
        return await self._rooms.info(room_id, proof)

    async def erase(self, room_id: str, proof: Proof) -> wire.Erased:
        """Remove all texts, to the last byte; the numbers stay, and so do the idempotency keys.

        Raises:
            TextLeft: Nobody is shown them any more, but the files still hold some.
        """

        def decide(room: Room, _: Past) -> Step:
            room.must_be_read_by(proof)
            room.must_be_owned_by(proof)
            return Step(room)

        room = await self._rooms.store.erase(
            room_id, decide, entry=self._rooms.entry("erase", room_id)
        )
        if proof.trusted or proof.admin:
            await self._rooms.store.scrub()
        else:
            await self._scrub_for_an_owner()
        return wire.Erased(
            room_id=room.id,
            erased=room.last_seq,
            last_seq=room.last_seq,
            epoch=answers.epoch(self._rooms.store.epoch, room),
        )

    async def _scrub_for_an_owner(self) -> None:
        """All who write wait for it: not in a large store, nor again and again, at the wish of
        whoever owns some room. Raises TextLeft."""
        now, before = self._rooms.clock(), self._scrubbed_at
        if before is not None and abs(now - before) < SCRUB_PAUSE:
            await self._rooms.store.scrub(max_bytes=0)
            return
        self._scrubbed_at = now  # before others come, who must not begin one as well
        if not await self._rooms.store.scrub(max_bytes=SCRUBBED_BYTES, pause=SCRUB_PAUSE):
            self._scrubbed_at = before

    async def delete(self, room_id: str, proof: Proof) -> None:
        """Remove the room; the next hour's round takes its texts out of the files as well."""

        def decide(room: Room, _: Past) -> Step:
            room.must_be_read_by(proof)
            room.must_be_owned_by(proof)
            return Step(room)

        await self._rooms.store.delete(room_id, decide, entry=self._rooms.entry("delete", room_id))
