"""The use cases: each takes a wire request, runs one act, and answers in wire words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from room_mcp import wire
from room_mcp.rooms import (
    CONTRACTS,
    AuthorOf,
    Draft,
    Proof,
    Refusal,
    Room,
    Stamp,
    Step,
    member_name,
    room_name,
    skeleton,
)
from room_mcp.rooms.refusals import Malformed
from room_mcp.settings import Settings
from room_mcp.store.interface import Act, Done, Reading, Store

from . import answers
from .callers import key_hash, new_key
from .drafts import draft_of, idempotency_key, named
from .errors import KINDS, described
from .finding import unread
from .ids import new_message_id, new_room_id
from .reading import Missed, Reader
from .waiting import Waits

JOIN_MESSAGES = 20  # the newest ones that a joiner is shown
OWNER_NAME = "owner"  # who speaks through the owner's calls when no sender is named


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RoomService:
    """Everything that can be done with rooms, for any caller."""

    store: Store
    settings: Settings
    waits: Waits
    reader: Reader
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def over(
        cls, store: Store, settings: Settings, clock: Callable[[], datetime] = utc_now
    ) -> RoomService:
        waits = Waits()
        return cls(store, settings, waits, Reader(store, waits, clock), clock)

    # ---- rooms ----------------------------------------------------------------------------

    async def create(self, new: wire.NewRoom) -> wire.RoomCreated:
        """Open a room; with `reuse`, answer with the open listed room of that name instead."""
        contract = CONTRACTS.get(new.template)
        if contract is None:
            known = ", ".join(CONTRACTS)
            raise Malformed(
                f"There is no template {new.template!r} in this version.",
                advice=f"Known templates: {known}.",
            )
        return await self._create(
            Room(
                id=new_room_id(),
                name=room_name(new.name),
                created_at=self.clock(),
                created_by=member_name(new.sender) if new.sender else "",
                purpose=new.purpose.strip(),
                listed=new.listed is not False,
                contract=contract,
                max_bytes=self.settings.room_bytes or None,
            ),
            reuse=new.reuse,
        )

    async def create_demo(self, new: wire.NewDemoRoom) -> wire.RoomCreated:
        return await self._create(
            Room(
                id=new_room_id(),
                name=room_name(new.name),
                created_at=self.clock(),
                max_bytes=self.settings.demo_room_bytes or None,
            ),
            reuse=False,
        )

    async def _create(self, room: Room, *, reuse: bool) -> wire.RoomCreated:
        owner_key = new_key()
        owned = replace(room, owner_key_hash=key_hash(owner_key))
        kept, created = await self.store.create(owned, reuse=reuse)
        return wire.RoomCreated.model_validate(
            {
                **answers.room_fields(kept, self.store.epoch, kept.created_at),
                "created": created,
                "owner_key": owner_key if created else None,
            }
        )

    async def info(self, room_id: str) -> wire.Info:
        room = await self.store.room(room_id)
        readings = await self.store.readings(room_id)
        return answers.info(room, self.store.epoch, readings, self.clock())

    async def room(self, room_id: str) -> wire.Room:
        room = await self.store.room(room_id)
        updated_at = room.last_at or room.created_at
        return wire.Room.model_validate(answers.room_fields(room, self.store.epoch, updated_at))

    async def close(self, room_id: str, request: wire.Close, proof: Proof) -> wire.Info:
        by = member_name(named(request.sender, OWNER_NAME))
        stamp = self._stamp()

        def decide(room: Room, _: AuthorOf) -> Step:
            return room.close(by, request.conclusion.strip(), proof=proof, stamp=stamp)

        await self.store.act(room_id, decide)
        return await self.info(room_id)

    async def hold(
        self, room_id: str, request: wire.Hold, proof: Proof, *, pause: bool
    ) -> wire.Info:
        """Pause or resume."""
        by = member_name(named(request.sender, OWNER_NAME))
        stamp = self._stamp()

        def decide(room: Room, _: AuthorOf) -> Step:
            act = room.pause if pause else room.resume
            return act(by, proof=proof, stamp=stamp)

        await self.store.act(room_id, decide)
        return await self.info(room_id)

    async def erase(self, room_id: str, proof: Proof) -> wire.Erased:
        """Remove all texts; the numbers stay, and so do the idempotency keys."""

        def decide(room: Room, _: AuthorOf) -> Step:
            room.must_be_owned_by(proof)
            return Step(room)

        room = await self.store.erase(room_id, decide)
        return wire.Erased(
            room_id=room.id,
            erased=room.last_seq,
            last_seq=room.last_seq,
            epoch=answers.epoch(self.store.epoch, room),
        )

    async def delete(self, room_id: str, proof: Proof) -> None:
        def decide(room: Room, _: AuthorOf) -> Step:
            room.must_be_owned_by(proof)
            return Step(room)

        await self.store.delete(room_id, decide)

    # ---- members ----------------------------------------------------------------------------

    async def join(self, room_id: str, request: wire.Join, proof: Proof) -> wire.Joined:
        """Become a member; the answer shows the newest messages and the member's key, once.

        A trusted caller needs no key, and gets none unless he asks for protection.
        """
        name = member_name(named(request.agent_name, request.sender))
        key = None if proof.trusted and not request.protect else new_key()
        new_hash = None if key is None else key_hash(key)
        stamp = self._stamp()

        def decide(room: Room, _: AuthorOf) -> Step:
            return room.join(
                name, proof=proof, stamp=stamp, new_key_hash=new_hash, protect=request.protect
            )

        done = await self.store.act(room_id, decide)
        member = done.room.must_be_member(name)
        page = await self.store.read(room_id, limit=JOIN_MESSAGES)
        self.reader.mark(done.room, member.name)
        is_new_key = new_hash is not None and member.key_hash == new_hash
        return wire.Joined(
            room=await self.info(room_id),
            messages=answers.messages(page.messages),
            agent_name=member.name,
            agent_key=key if is_new_key else None,
            agent_session_id=key if is_new_key else None,
            last_seq=done.room.last_seq,
            epoch=answers.epoch(self.store.epoch, done.room),
        )

    async def leave(self, room_id: str, request: wire.Leave, proof: Proof) -> wire.Left:
        name = member_name(named(request.sender, request.agent_name))

        def decide(room: Room, _: AuthorOf) -> Step:
            return room.leave(name, proof=proof)

        done = await self.store.act(room_id, decide)
        return wire.Left(room_id=room_id, agent_name=name, last_seq=done.room.last_seq)

    async def heartbeat(self, room_id: str, request: wire.Heartbeat, proof: Proof) -> wire.Reminder:
        """Who one is, what the room is for and who is here; a key alone says who asks."""
        room = await self.store.room(room_id)
        with_key = room.member_with(proof)
        name = named(request.sender, request.agent_name, with_key.name if with_key else None)
        member = room.must_speak_as(name, proof)
        readings = await self.store.readings(room_id)
        self.reader.mark(room, member.name)
        info = answers.info(room, self.store.epoch, readings, self.clock())
        me = next(one for one in info.members if one.name == member.name)
        here = [one for one in info.members if one.active and one.name != member.name]
        names = ", ".join(one.name for one in here) or "nobody else yet"
        objective = room.purpose or "none stated"
        return wire.Reminder(
            agent_name=member.name,
            room=room.name,
            objective=room.purpose,
            here=here,
            reminder=f"You are {member.name} in {room.name!r}. Objective: {objective}. "
            f"Here: {names}.",
            unread=await unread(self.store, room, member.name, me.read_to or 0),
            last_seq=room.last_seq,
            lifecycle=room.lifecycle,
        )

    # ---- messages ---------------------------------------------------------------------------

    async def post(
        self,
        room_id: str,
        post: wire.Post,
        proof: Proof,
        *,
        key_header: str | None = None,
        default_sender: str | None = None,
    ) -> tuple[wire.Posted, Callable[[], Awaitable[None]]]:
        """Store one message, and tell its sender what he missed.

        Call the second of what is returned once the answer has left: only then was it shown.
        """
        draft = self._draft(post, proof, default_sender)
        key = idempotency_key(post, draft, key_header)
        # Before the act: whoever it wakes soon no longer waits, and what was shown since the call
        # arrived does not count as read.
        readings = await self.store.readings(room_id)
        done = await self.store.act(room_id, self._posting(draft, proof), key=key)
        sender = done.room.members[skeleton(draft.sender)]
        if done.replayed:
            # No act was decided, and so nothing has asked yet who this is.
            done.room.must_hold_name(sender, proof)
        reading = self.reader.arrive(done.room, sender, post.ack, readings.get(sender.name))
        upto = done.room.last_seq if done.replayed else done.messages[0].seq - 1
        missed = await self.reader.missed_by(done.room, sender, reading, upto=upto)

        async def complete() -> None:
            self.reader.mark(done.room, sender.name, shown_to=missed.shown_to)

        return self._posted(done, missed, readings), complete

    async def batch(
        self, room_id: str, batch: wire.Batch, proof_for: Callable[[wire.Post], Proof]
    ) -> wire.BatchDone:
        """Store messages in order in one transaction; a refused one does not stop the rest."""
        results: list[Done | Refusal | None] = []
        acts: list[Act] = []
        for post in batch.messages:
            proof = proof_for(post)
            try:
                draft = self._draft(post, proof, None)
                acts.append(Act(self._posting(draft, proof), idempotency_key(post, draft)))
                results.append(None)
            except Refusal as refusal:
                results.append(refusal)
        done = iter(await self.store.act_all(room_id, acts))
        settled = [next(done) if result is None else result for result in results]
        room = await self.store.room(room_id)
        return wire.BatchDone(
            results=[_batch_result(one) for one in settled],
            last_seq=room.last_seq,
            epoch=answers.epoch(self.store.epoch, room),
        )

    def _draft(self, post: wire.Post, proof: Proof, default_sender: str | None) -> Draft:
        return draft_of(
            post,
            proof,
            default_sender=default_sender,
            max_bytes=self.settings.message_bytes,
        )

    def _posting(self, draft: Draft, proof: Proof) -> Callable[[Room, AuthorOf], Step]:
        stamp = self._stamp()

        def decide(room: Room, author_of: AuthorOf) -> Step:
            return room.post(draft, proof=proof, stamp=stamp, author_of=author_of)

        return decide

    def _posted(self, done: Done, missed: Missed, readings: Mapping[str, Reading]) -> wire.Posted:
        room = done.room
        first = done.messages[0]
        here = set(answers.waiting(readings, self.clock()))
        return wire.Posted.model_validate(
            {
                **answers.message_fields(first),
                "idempotent": done.replayed,
                "missed": answers.messages(missed.messages),
                "missed_count": missed.count,
                "waiting": [name for name in first.wakes if name in here],
                "strangers": [name for name in first.to if room.member(name) is None],
                "closed": room.lifecycle == "closed",
                "outcome": room.closing.outcome if room.closing else None,
                "epoch": answers.epoch(self.store.epoch, room),
            }
        )

    def _stamp(self) -> Stamp:
        return Stamp(at=self.clock(), ids=(new_message_id(), new_message_id()))


def _batch_result(one: Done | Refusal) -> wire.BatchResult:
    if isinstance(one, Refusal):
        code, detail, advice, _ = described(one)
        return wire.BatchResult(status=KINDS[code].status, code=code, error=detail, advice=advice)
    first = one.messages[0]
    return wire.BatchResult(status=201, seq=first.seq, id=first.id, idempotent=one.replayed)
