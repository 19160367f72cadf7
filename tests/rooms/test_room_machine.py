"""What holds for any agents, any acts, in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from room_talk import NO_PROOF, NOON, OWNER, TRUSTED, Past, key, stamp

from room_mcp.rooms import BUILT_IN_TYPES, Draft, Message, Proof, Refusal, Room, Step, skeleton

NAMES = st.sampled_from(["alice", "ALICE", "bob", "carol", "team/bot", "Ada Lovelace", "m1", "m2"])
PROOFS = st.sampled_from([NO_PROOF, OWNER, TRUSTED, key("alice"), key("bob"), Proof("wrong")])
TYPES = st.sampled_from([*BUILT_IN_TYPES, "my_type", "review_complete"])
CONTENTS = st.sampled_from(
    ["hi", "@bob look", "@alice @carol", "", {"verdict": "ok", "n": 1}, {"a": ["@m1"]}, "x" * 300]
)
SILENT = {"ack", "heartbeat", "pass", "progress", "accept", "vote"}


class AnyConversation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.room = Room("r", "any", NOON, owner_key_hash="owner-hash", max_bytes=4_000)
        self.log: list[Message] = []
        self.ended: Room | None = None

    def act(self, decide: Any) -> Step | None:
        """Take the step, or see that a refusal changed nothing."""
        before, copy = self.room, replace(self.room)
        try:
            step: Step = decide(before)
        except Refusal:
            assert before == copy
            return None
        assert before == copy
        assert self.ended is None
        self.room = step.room
        self.log += step.messages
        if step.room.closing:
            self.ended = step.room
        return step

    def author_of(self, seq: int) -> str | None:
        return self.log[seq - 1].sender if 1 <= seq <= len(self.log) else None

    @rule(name=NAMES, proof=PROOFS, protect=st.booleans(), with_key=st.booleans())
    def join(self, name: str, proof: Proof, protect: bool, with_key: bool) -> None:
        new_key = f"{name.lower()}-hash" if with_key else None
        step = self.act(
            lambda it: it.join(
                name, proof=proof, stamp=stamp(), new_key_hash=new_key, protect=protect
            )
        )
        assert step is None or step.messages == ()

    @rule(name=NAMES, proof=PROOFS)
    def leave(self, name: str, proof: Proof) -> None:
        step = self.act(lambda it: it.leave(name, proof=proof, stamp=stamp()))
        if step:
            assert step.messages == ()
            assert step.room.member(name) is None

    @rule(
        sender=NAMES,
        content=CONTENTS,
        type=TYPES,
        to=st.lists(NAMES, max_size=2),
        reply_to=st.none() | st.integers(0, 12),
        human=st.booleans(),
        proof=PROOFS,
        seconds=st.integers(-60, 60),
    )
    def post(
        self,
        sender: str,
        content: Any,
        type: str,
        to: list[str],
        reply_to: int | None,
        human: bool,
        proof: Proof,
        seconds: int,
    ) -> None:
        kind = "human" if human and proof.trusted else "agent"
        draft = Draft(sender, content, type, tuple(to), reply_to, kind)
        step = self.act(
            lambda it: it.post(
                draft,
                proof=proof,
                stamp=stamp(seconds),
                past=Past(dict(enumerate((one.sender for one in self.log), 1))),
            )
        )
        if step is None:
            return
        message = step.messages[0]
        active = {member.name for member in step.room.active_members}
        assert message.content is content
        assert skeleton(message.sender) == skeleton(sender)
        assert message.sender not in message.wakes
        assert set(message.wakes) <= active
        assert kind == "human" or type not in SILENT or message.wakes == ()

    @rule(proof=PROOFS, pause=st.booleans())
    def hold(self, proof: Proof, pause: bool) -> None:
        self.act(lambda it: (it.pause if pause else it.resume)("ada", proof=proof, stamp=stamp()))

    @precondition(lambda self: len(self.log) > 3)
    @rule(proof=PROOFS)
    def close(self, proof: Proof) -> None:
        step = self.act(lambda it: it.close("ada", "Enough.", proof=proof, stamp=stamp()))
        assert step is None or proof.trusted or proof == OWNER

    @invariant()
    def numbers_have_no_gap_and_ids_no_double(self) -> None:
        assert [message.seq for message in self.log] == list(range(1, self.room.last_seq + 1))
        assert len({message.id for message in self.log}) == len(self.log)

    @invariant()
    def times_never_go_back(self) -> None:
        times = [message.at for message in self.log]
        assert times == sorted(times)

    @invariant()
    def what_is_closed_never_changes(self) -> None:
        assert self.ended is None or self.room == self.ended
        assert (self.room.lifecycle == "closed") == (self.room.closing is not None)

    @invariant()
    def everything_open_was_asked_and_is_owed_by_somebody_else(self) -> None:
        for one in self.room.expectations:
            asked = self.log[one.seq - 1]
            assert (asked.type, asked.sender) == (one.type, one.asker)
            assert one.asker not in one.of

    @invariant()
    def bytes_and_messages_are_those_of_the_log(self) -> None:
        said = [message for message in self.log if message.sender_type != "system"]
        members = self.room.members.values()
        assert sum(member.messages for member in members) == len(said)
        assert sum(member.size_bytes for member in members) == self.room.size_bytes


TestAnyConversation = AnyConversation.TestCase
TestAnyConversation.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
