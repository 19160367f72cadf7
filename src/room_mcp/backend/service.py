"""The use cases: each takes a wire request, runs one act, and answers in wire words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import anyio.lowlevel
from anyio import to_thread

from room_mcp import wire
from room_mcp.plain import one_line
from room_mcp.rooms import (
    BUILT_IN,
    OPEN,
    Admission,
    Checked,
    Contract,
    Draft,
    Knock,
    Past,
    Proof,
    Refusal,
    Room,
    Stamp,
    Step,
    adapted,
    checked,
    contract_from,
    member_name,
    overlaid,
    room_name,
    skeleton,
    template,
)
from room_mcp.rooms.chain import NO_HEAD
from room_mcp.rooms.refusals import ContractChanged
from room_mcp.rooms.schemas import MAX_STEPS, together
from room_mcp.settings import Settings
from room_mcp.store.auditing import JOIN, POST, Entry
from room_mcp.store.interface import Act, Done, IdempotencyKey, Reading, Store
from room_mcp.store.limiting import Quota

from . import answers, auditing
from .callers import key_hash, new_key, sender_type
from .drafts import draft_of, idempotency_key, named
from .errors import KINDS, described
from .finding import unread
from .gate import OPEN_DOOR, Door
from .ids import new_message_id, new_room_id
from .measures import Measures
from .reading import Missed, Reader
from .secrets import SecretWatch
from .templates import Templates
from .timely import TimelyStore
from .waiting import Waits

JOIN_MESSAGES = 20  # the newest ones that a joiner is shown
DEFAULT_TEMPLATE = "open"
MAX_BATCH_STEPS = 5 * MAX_STEPS  # of all schemas that a batch is held against
DEMO_IDLE_S = 24 * 60 * 60  # then a demo room that strangers may use closes
MAX_CHECKS = 3  # of one draft, when the contract changes in between


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RoomService:
    """Everything that can be done with rooms, for any caller."""

    store: Store
    settings: Settings
    waits: Waits
    reader: Reader
    templates: Templates
    clock: Callable[[], datetime] = utc_now
    door: Door = OPEN_DOOR
    secrets: SecretWatch = field(default_factory=SecretWatch)
    measures: Measures = field(default_factory=Measures)

    @classmethod
    def over(
        cls,
        store: Store,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        door: Door = OPEN_DOOR,
    ) -> RoomService:
        measures = Measures(store.measures)
        waits = Waits(measures)
        timely = TimelyStore(store, clock)
        reader = Reader(timely, waits, clock)
        templates, watch = Templates(settings.templates), SecretWatch(settings.secrets)
        return cls(timely, settings, waits, reader, templates, clock, door, watch, measures)

    # ---- rooms ----------------------------------------------------------------------------

    async def create(
        self, new: wire.NewRoom, proof: Proof, quota: Quota | None = None
    ) -> wire.RoomCreated:
        """Open a room; with `reuse`, answer with the open room of that name instead, if it is
        listed or the caller's own."""
        contract = await self._contract(new)
        if new.sender is not None:
            proof.must_be(member_name(new.sender))
        lists_rooms = proof.trusted or self.door.lists_rooms
        return await self._create(
            Room(
                id=new_room_id(),
                name=room_name(new.name),
                created_at=self.clock(),
                created_by=new.sender or "",
                purpose=new.purpose.strip(),
                listed=lists_rooms if new.listed is None else new.listed,
                chain=NO_HEAD if new.chain else None,
                contract=contract,
                max_bytes=self.settings.room_bytes or None,
                admission=Admission(access=new.access, owner=proof.principal),
            ),
            proof,
            reuse=new.reuse,
            quota=quota,
        )

    async def _contract(self, new: wire.NewRoom) -> Contract:
        """The template's contract, with what the request replaces in it.

        Raises:
            Malformed: There is no such template, or the rules cannot work.
        """
        named = new.template or (None if new.contract else DEFAULT_TEMPLATE)
        base = None if named is None else self.templates.named(named)
        if base is not None and (new.contract, new.roles, new.budget, new.guard) == (None,) * 4:
            return base
        document = overlaid({} if base is None else base.document, new.contract or {})
        return await read_contract(
            adapted(document, roles=new.roles, budget=new.budget, guard=new.guard)
        )

    async def create_demo(
        self, new: wire.NewDemoRoom, proof: Proof, quota: Quota | None = None
    ) -> wire.RoomCreated:
        """Open a room to try things out; where keys are needed, without one as well."""
        return await self._create(
            Room(
                id=new_room_id(),
                name=room_name(new.name),
                created_at=self.clock(),
                listed=self.door.lists_rooms,
                contract=_demo_contract() if self.door.has_demo else OPEN,
                max_bytes=self.settings.demo_room_bytes or None,
                admission=Admission(owner=proof.principal, demo=self.door.has_demo),
            ),
            proof,
            reuse=False,
            quota=quota,
        )

    async def _create(
        self, room: Room, proof: Proof, *, reuse: bool, quota: Quota | None
    ) -> wire.RoomCreated:
        owner_key = new_key()
        owned = replace(room, owner_key_hash=key_hash(owner_key))
        entry = self.entry("create", room.id, room.created_by)
        kept, created = await self.store.create(owned, reuse=reuse, quota=quota, entry=entry)
        return wire.RoomCreated.model_validate(
            {
                **answers.seen(kept, proof, self.store.epoch, kept.created_at),
                "created": created,
                "owner_key": owner_key if created else None,
            }
        )

    async def readable(self, room_id: str, proof: Proof) -> Room:
        """The room, for a caller who may read it.

        Raises:
            RoomNotFound, NotAMember, NotYetAdmitted, Barred: As `Room.must_be_read_by`.
        """
        room = await self.store.room(room_id)
        room.must_be_read_by(proof)
        return room

    async def act(
        self,
        room_id: str,
        decide: Callable[[Room, Past], Step],
        proof: Proof,
        entry: Entry,
    ) -> Done:
        """Run an act of a caller who may read the room: to others it tells nothing, not even that
        the room has ended."""

        def decide_for_caller(room: Room, past: Past) -> Step:
            room.must_be_read_by(proof)
            return decide(room, past)

        return await self.store.act(room_id, decide_for_caller, entry=entry)

    async def info(self, room_id: str, proof: Proof) -> wire.Info:
        room = await self.readable(room_id, proof)
        readings = await self.store.readings(room_id)
        return answers.info(room, self.store.epoch, readings, self.clock(), proof)

    async def room(self, room_id: str, proof: Proof) -> wire.Room:
        room = await self.readable(room_id, proof)
        updated_at = room.last_at or room.created_at
        return wire.Room.model_validate(answers.room_fields(room, self.store.epoch, updated_at))

    def known_templates(self) -> wire.Templates:
        found = [(template(name), True) for name in BUILT_IN]
        problems: list[str] = []
        for name, one in self.templates.own():
            if isinstance(one, str):
                problems.append(f"{name}: {one}")
            else:
                found.append((one, False))
        return wire.Templates(
            templates=[
                wire.Template(
                    name=one.template, about=one.about, built_in=ours, contract=one.document
                )
                for one, ours in found
            ],
            problems=problems,
        )

    # ---- members ----------------------------------------------------------------------------

    async def join(self, room_id: str, request: wire.Join, proof: Proof) -> wire.Joined:
        """Become a member; the answer shows the newest messages and the member's key, once.

        A trusted caller needs no key, and gets none unless he asks for protection; nor does
        anybody whose server key the name is bound to. Where the owner admits people, the answer
        is `pending`: it has the key, and nothing of the room.
        """
        name = named(request.agent_name, request.sender)
        kind = sender_type(request.sender_type, proof)
        needs_key = not proof.principal and (request.protect or not proof.trusted)
        key = new_key() if needs_key else None
        new_hash = None if key is None else key_hash(key)
        stamp = self.stamp()

        def decide(room: Room, _: Past) -> Step:
            room.must_be_known_to(proof)  # and no more: whoever has its id may knock
            return room.join(
                name,
                proof=proof,
                stamp=stamp,
                role=request.role or None,
                new_key_hash=new_hash,
                protect=request.protect,
                kind=kind,
            )

        done = await self.store.act(room_id, decide, entry=self.entry(JOIN, room_id, name))
        knock = done.room.admission.knock(name)
        if knock is not None and done.room.member(name) is None:
            is_new = new_hash is not None and knock.key_hash == new_hash
            return self._pending(done.room, knock, key if is_new else None)
        member = done.room.must_be_member(name)
        page = await self.store.read(room_id, limit=JOIN_MESSAGES)
        self.reader.mark(done.room, member.name)
        is_new_key = new_hash is not None and member.key_hash == new_hash
        readings = await self.store.readings(room_id)
        return wire.Joined(
            room=answers.info(done.room, self.store.epoch, readings, self.clock(), proof),
            messages=answers.messages(page.messages),
            agent_name=member.name,
            role=member.role,
            agent_key=key if is_new_key else None,
            agent_session_id=key if is_new_key else None,
            last_seq=done.room.last_seq,
            epoch=answers.epoch(self.store.epoch, done.room),
        )

    def _pending(self, room: Room, knock: Knock, key: str | None) -> wire.Joined:
        return wire.Joined(
            room=answers.outside(room),
            pending=True,
            messages=[],
            agent_name=knock.name,
            role=knock.role,
            agent_key=key,
            agent_session_id=key,
            last_seq=0,
            epoch="",
        )

    async def leave(self, room_id: str, request: wire.Leave, proof: Proof) -> wire.Left:
        name = named(request.sender, request.agent_name)
        stamp = self.stamp()

        def decide(room: Room, _: Past) -> Step:
            knock = room.admission.knock(name)
            if knock is None or not knock.is_by(proof):
                room.must_be_read_by(proof)
            return room.leave(name, proof=proof, stamp=stamp)

        done = await self.store.act(room_id, decide, entry=self.entry("leave", room_id, name))
        return wire.Left(room_id=room_id, agent_name=name, last_seq=done.room.last_seq)

    async def heartbeat(self, room_id: str, request: wire.Heartbeat, proof: Proof) -> wire.Reminder:
        """Who one is, what the room is for and who is here; a key alone says who asks."""
        room = await self.readable(room_id, proof)
        with_key = room.member_with(proof)
        name = named(request.sender, request.agent_name, with_key.name if with_key else None)
        member = room.must_speak_as(name, proof)
        readings = await self.store.readings(room_id)
        self.reader.mark(room, member.name)
        info = answers.info(room, self.store.epoch, readings, self.clock(), proof)
        me = next(one for one in info.members if one.name == member.name)
        here = [one for one in info.members if one.active and one.name != member.name]
        names = ", ".join(one.name for one in here) or "nobody else yet"
        objective = one_line(room.purpose) or "none stated"
        role = f", {member.role}," if member.role else ""
        return wire.Reminder(
            agent_name=member.name,
            role=member.role,
            room=room.name,
            objective=room.purpose,
            here=here,
            reminder=f"You are {member.name}{role} in {room.name!r}. Objective: {objective}. "
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
        draft = self._draft(room_id, post, proof, default_sender)
        key = idempotency_key(post, draft, key_header)
        # Before the act: whoever it wakes soon no longer waits, and what was shown since the call
        # arrived does not count as read.
        readings = await self.store.readings(room_id)
        done = await self._store_draft(room_id, draft, proof, key)
        sender = done.room.members[skeleton(draft.sender)]
        self._count(done)
        if done.replayed:
            # No act was decided, and so nothing has asked yet who this is.
            done.room.must_hold_name(sender, proof)
        reading = self.reader.arrive(done.room, sender, post.ack, readings.get(sender.name))
        upto = done.room.last_seq if done.replayed else done.messages[0].seq - 1
        missed = await self.reader.missed_by(done.room, sender, reading, upto=upto)

        async def complete() -> None:
            self.reader.mark(done.room, sender.name, shown_to=missed.shown_to)

        return self._posted(done, missed, readings), complete

    async def _store_draft(
        self, room_id: str, draft: Draft, proof: Proof, key: IdempotencyKey | None
    ) -> Done:
        """What costs time is done before the act, against the contract as it is now."""
        stamp = self.stamp()
        entry = self.entry(POST, room_id, draft.sender)
        for check in range(MAX_CHECKS):
            prepared = _prepared(await self.readable(room_id, proof), draft)
            try:
                posting = _posting(draft, proof, stamp, prepared)
                return await self.store.act(room_id, posting, key=key, entry=entry)
            except ContractChanged:
                if check == MAX_CHECKS - 1:
                    raise
        raise AssertionError("unreachable")

    async def batch(
        self, room_id: str, batch: wire.Batch, proof_for: Callable[[wire.Post], Proof]
    ) -> wire.BatchDone:
        """Store messages in order in one transaction; a refused one does not stop the rest."""
        results: list[Done | Refusal | None] = []
        acts: list[Act] = []
        room = await self.store.room(room_id)
        proofs = [proof_for(post) for post in batch.messages]
        if not any(room.may_be_read_by(proof) for proof in proofs):
            room.must_be_read_by(proofs[0])  # the answer says how far the room is
        with together(MAX_BATCH_STEPS):
            for post, proof in zip(batch.messages, proofs, strict=True):
                try:
                    room.must_be_read_by(proof)
                    draft = self._draft(room_id, post, proof, None)
                    if (sender := room.members.get(skeleton(draft.sender))) is not None:
                        # Also for a replay, about which no act is asked.
                        room.must_hold_name(sender, proof)
                    prepared = _prepared(room, draft)
                    # No notice has reached a sender whose messages all come at once.
                    prepared = prepared and prepared._replace(may_hush=False)
                    posting = _posting(draft, proof, self.stamp(), prepared)
                    entry = self.entry(POST, room_id, draft.sender)
                    acts.append(Act(posting, idempotency_key(post, draft), entry))
                    results.append(None)
                except Refusal as refusal:
                    results.append(refusal)
                await anyio.lowlevel.checkpoint()  # others get their turn
        done = iter(await self.store.act_all(room_id, acts))
        settled = [next(done) if result is None else result for result in results]
        for one in settled:
            self._count(one)
            if isinstance(one, Refusal):
                auditing.note_refusal(one, self.store, self.clock())
        room = await self.store.room(room_id)
        return wire.BatchDone(
            results=[_batch_result(one) for one in settled],
            last_seq=room.last_seq,
            epoch=answers.epoch(self.store.epoch, room),
        )

    def _count(self, one: Done | Refusal) -> None:
        """Count what became of a message."""
        if isinstance(one, Refusal):
            self.measures.not_stored(one.code, KINDS[one.code].status)
        elif one.replayed:
            self.measures.posts.add("replayed")
        else:
            sender = one.room.members[skeleton(one.messages[0].sender)]
            thresholds = one.room.contract.guard.thresholds
            self.measures.stored(thresholds.level(sender.standing.score))

    def _draft(
        self, room_id: str, post: wire.Post, proof: Proof, default_sender: str | None
    ) -> Draft:
        draft = draft_of(
            post,
            proof,
            default_sender=default_sender,
            max_bytes=self.settings.message_bytes,
        )
        self.secrets.look(room_id, draft)
        return draft

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
                "standing": answers.standing(room, room.members[skeleton(first.sender)]),
                "notices": done.notices,
                "strangers": [name for name in first.to if room.member(name) is None],
                "closed": room.lifecycle == "closed",
                "outcome": room.closing.outcome if room.closing else None,
                "epoch": answers.epoch(self.store.epoch, room),
            }
        )

    def entry(self, act: str, room_id: str, name: str = "", detail: str = "") -> Entry:
        return auditing.entry(act, self.store, self.clock(), room_id, name, detail)

    def stamp(self) -> Stamp:
        return Stamp(at=self.clock(), ids=(new_message_id(), new_message_id()))


@cache
def _demo_contract() -> Contract:
    """That of a room which a stranger made: nobody else will close it once he has gone."""
    return contract_from(adapted(OPEN.document, budget={"idle_s": DEMO_IDLE_S}))


def _prepared(room: Room, draft: Draft) -> Checked | None:
    """The draft, checked against the contract; None where the room has ended anyway."""
    return None if room.closing else checked(room.contract, draft)


async def read_contract(document: dict[str, Any]) -> Contract:
    """In a thread: its schemas and their examples may take a second, if strangers want it so."""
    return await to_thread.run_sync(contract_from, document)


def _posting(
    draft: Draft, proof: Proof, stamp: Stamp, prepared: Checked | None
) -> Callable[[Room, Past], Step]:
    def decide(room: Room, past: Past) -> Step:
        return room.post(draft, proof=proof, stamp=stamp, past=past, prepared=prepared)

    return decide


def _batch_result(one: Done | Refusal) -> wire.BatchResult:
    if isinstance(one, Refusal):
        code, detail, advice, _ = described(one)
        return wire.BatchResult(status=KINDS[code].status, code=code, error=detail, advice=advice)
    first = one.messages[0]
    return wire.BatchResult(
        status=201,
        seq=first.seq,
        id=first.id,
        idempotent=one.replayed,
        notices=list(one.notices),
    )
