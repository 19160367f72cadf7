"""What holds by any contract, for any agents and any acts in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from contract_talk import Talk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from naive_rules import NO_LIMIT, Naive
from room_talk import NO_PROOF, NOON, OWNER, TRUSTED, stamp

from room_mcp.rooms import Draft, Proof, Refusal, Step, contract_from, skeleton
from room_mcp.rooms.budget import RESERVE_S
from room_mcp.rooms.expectations import Expectation
from room_mcp.rooms.refusals import (
    BudgetSpent,
    ContractViolation,
    Hushed,
    NotAMember,
    Overdue,
    RoleMayNot,
    RoleTaken,
    RoomClosed,
    RoomPaused,
)

LOW = {"notice": 2, "quiet": 3, "hush": 4}
FINAL = {"type": "object", "properties": {"final": {"const": True}}, "required": ["final"]}
VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["approved", "rejected"]}},
    "required": ["verdict"],
}

REVIEW: dict[str, Any] = {
    "roles": {
        "author": {"min": 1, "max": 1, "may": ["submit", "note", "answer", "ack", "cancel"]},
        "reviewer": {"min": 2, "max": 3, "may": ["fyi", "verdict", "question", "note", "result"]},
    },
    "types": {
        "submit": {"expects": ["verdict"], "wakes": "all"},
        "fyi": {"wakes": "nobody"},
        "verdict": {"body": VERDICT, "guard": "exempt"},
    },
    "terminal": [
        {"type": "verdict", "by": ["reviewer"], "need": "all_of_role", "outcome_from": "verdict"},
        {"type": "cancel", "by": ["author"], "outcome": "cancelled"},
    ],
    "outcome_order": ["rejected", "approved"],
    "budget": {
        "messages": 9,
        "bytes": 700,
        "per_type": {"fyi": 2},
        "per_member": {"messages": 4, "bytes": 500, "per_type": {"note": 2}},
        "lifetime_s": 3_000,
        "idle_s": 900,
        "reserve": {"messages": 2, "bytes": 200},
        "on_budget": "no_verdict",
    },
    "guard": LOW,
}
DEBATE: dict[str, Any] = {
    "roles": {"chair": {"max": 1, "who": ["ann", "human"]}, "debater": {"max": 4}},
    "types": {"fyi": {"wakes": "nobody"}},
    "terminal": [
        {"type": "vote", "by": ["debater"], "need": "majority_of_role", "outcome_from": "choice"},
        {"type": "decision", "by": ["chair"], "when": FINAL, "outcome": "decided"},
    ],
    "budget": {
        "messages": 14,
        "per_member": {"messages": 6},
        "idle_s": 900,
        "reserve": {"messages": 3},
    },
    "guard": {**LOW, "on_stall": "quiet"},
}
QUEUE: dict[str, Any] = {
    "roles": {
        "boss": {"min": 1, "max": 2},
        "worker": {"may": ["accept", "refuse", "result", "note", "ack"]},
    },
    "terminal": [{"type": "closing", "by": ["boss"], "need": "no_open_work"}],
    "budget": {"messages": 20, "per_type": {"note": 6}, "reserve": {"messages": 4}},
    "guard": {**LOW, "on_stall": "close"},
}
FREE: dict[str, Any] = {
    "types": {"chatter": {}, "fyi": {"wakes": "nobody"}},
    "terminal": [
        {"type": "done", "need": "all_of_role"},
        {"type": "report", "when": FINAL, "outcome": "final"},
    ],
    "budget": {"per_member": {"messages": 7}, "bytes": 1_500, "reserve": {"bytes": 300}},
    "guard": LOW,
}
ENDLESS: dict[str, Any] = {"budget": {"messages": 12, "lifetime_s": 3_000}, "guard": LOW}

NAMES = st.sampled_from(["ann", "bob", "cid", "ANN", "ann", "bob", "dan"])
ROLES = st.sampled_from([None, None, "author", "reviewer", "chair", "debater", "boss", "worker"])
PROOFS = st.sampled_from([NO_PROOF, OWNER, TRUSTED])
EMPTY = ("ok", "thank you")
BODIES: tuple[dict[str, Any], ...] = (
    {"verdict": "approved"},
    {"verdict": "rejected"},
    {"verdict": "maybe"},
    {"choice": "a"},
    {"choice": "b"},
    {"final": True},
    {},
)
CONTENTS = st.one_of(
    st.sampled_from([*EMPTY, *EMPTY, "x" * 150, *BODIES]),
    st.integers(100, 9_999).map(lambda number: f"See parser.py:{number} for @ann."),
)
ENDING = ["verdict", "cancel", "vote", "decision", "closing", "done", "report"]
SILENT = ["ack", "progress", "heartbeat", "pass", "accept"]
# The likelier ones are those that the rules are about.
TYPES = st.sampled_from(
    ["note"] * 6
    + ENDING * 3
    + [*SILENT, "submit", "fyi", "chatter", "question", "answer", "request", "result", "refuse"]
    + ["handoff", "propose"]
)
NEVER_SCORED = {*SILENT, "vote", "decision", "cancel", "handoff", "refuse"}
NEVER_SAID_TO_PEOPLE = (Hushed, BudgetSpent, RoleMayNot, RoleTaken, NotAMember, RoomPaused)


class AnyContract(RuleBasedStateMachine):
    talk: Talk
    naive: Naive

    def __init__(self) -> None:
        super().__init__()
        self.now = self.began = self.last_said = 0.0
        self.refused: Refusal | None = None

    @initialize(document=st.sampled_from([REVIEW, DEBATE, QUEUE, FREE, ENDLESS]))
    def open(self, document: dict[str, Any]) -> None:
        self.talk = Talk(document, ann=None, bob=None, cid=None)
        self.naive = Naive(document)

    # ---- acts -------------------------------------------------------------------------------

    def act(self, decide: Callable[[Any, Any], Step], *, may_revive: bool = False) -> Step | None:
        """Take the step; or see that it is refused for a reason, and changes nothing."""
        before, shown, heard = self.talk.room, repr(self.talk.room), len(self.talk.messages)
        self.refused = None
        try:
            step = self.talk.act(decide)
        except Refusal as refusal:
            self.refused = refusal
        assert repr(before) == shown
        if self.refused is None:
            assert before.closing is None or may_revive or self.talk.room == before
            return step
        assert self.talk.room is before
        assert len(self.talk.messages) == heard
        assert not isinstance(self.refused, Overdue) or self.is_overdue
        assert not isinstance(self.refused, RoomClosed) or self.is_overdue or before.closing
        return None

    @rule(name=NAMES, role=ROLES, human=st.booleans())
    def join(self, name: str, role: str | None, human: bool) -> None:
        step = self.act(
            lambda room, past: room.join(
                name,
                role=role,
                proof=NO_PROOF,
                stamp=stamp(self.now),
                kind="human" if human else "agent",
            )
        )
        if step:
            now = step.room.must_be_member(name)
            self.naive.forget_votes(name, now.role, is_here=True)
            self.must_be_ended_as_decided(step, work_is_open=self.work_is_open)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        member, work = self.talk.room.member(name), self.open_work
        step = self.act(lambda room, past: room.leave(name, proof=NO_PROOF, stamp=stamp(self.now)))
        if step:
            assert member
            left = [one for one in work if one.for_anybody or one.of != (member.name,)]
            self.naive.forget_votes(name, None, is_here=False)
            self.must_be_ended_as_decided(step, work_is_open=bool(left))

    @rule(
        sender=NAMES,
        type=TYPES,
        content=CONTENTS,
        to=st.lists(NAMES, max_size=2),
        reply_to=st.sampled_from([None, None, None, *range(9)]),
        human=st.sampled_from([False, False, False, True]),
    )
    def post(
        self, sender: str, type: str, content: Any, to: list[str], reply_to: int | None, human: bool
    ) -> None:
        kind = "human" if human else "agent"
        self.say(Draft(sender, content, type, tuple(to), reply_to, kind))

    @rule(
        pair=st.permutations(["ann", "bob", "cid"]),
        messages=st.integers(2, 12),
        content=st.sampled_from(EMPTY),
        type=st.sampled_from(["note", "note", "chatter", "question", "answer", "fyi", "result"]),
    )
    def loop(self, pair: list[str], messages: int, content: str, type: str) -> None:
        for at in range(messages):
            self.say(Draft(pair[at % 2], content, type))

    @rule(
        choice=st.sampled_from(["a", "b"]),
        senders=st.permutations(["ann", "bob", "cid"]),
        votes=st.integers(1, 3),
    )
    def decide(self, choice: str, senders: list[str], votes: int) -> None:
        """Some say what may end this room."""
        body = {"verdict": "approved", "choice": choice, "final": True}
        for sender in senders[:votes]:
            for one in self.naive.rules:
                self.say(Draft(sender, body, one["type"]))

    @rule(pause=st.sampled_from([True, *[False] * 5]), proof=PROOFS)
    def hold(self, pause: bool, proof: Proof) -> None:
        step = self.act(
            lambda room, past: (room.pause if pause else room.resume)(
                "ada", proof=proof, stamp=stamp(self.now)
            )
        )
        assert step is None or proof != NO_PROOF
        if step and step.messages:
            self.last_said = self.now

    @precondition(lambda self: len(self.talk.messages) > 9)
    @rule(proof=PROOFS)
    def close(self, proof: Proof) -> None:
        step = self.act(
            lambda room, past: room.close("ada", "Enough.", proof=proof, stamp=stamp(self.now))
        )
        assert step is None or proof != NO_PROOF

    @precondition(lambda self: self.talk.room.closing is not None)
    @rule()
    def revive(self) -> None:
        self.reopen(True, TRUSTED)

    @rule(human=st.booleans(), proof=PROOFS)
    def reopen_somehow(self, human: bool, proof: Proof) -> None:
        self.reopen(human, proof)

    def reopen(self, human: bool, proof: Proof) -> None:
        was_closed = self.talk.room.closing is not None
        step = self.act(
            lambda room, past: room.reopen(
                "ada",
                proof=proof,
                stamp=stamp(self.now),
                past=past,
                kind="human" if human else "agent",
            ),
            may_revive=True,
        )
        if step and was_closed:
            assert human
            assert proof is TRUSTED
            assert step.room.closing is None
            self.began = self.last_said = self.now
            self.naive.begin_anew()

    @rule(
        messages=st.sampled_from([None, 3, 9, 15]),
        on_stall=st.sampled_from(["notice", "hush", "close"]),
        proof=PROOFS,
    )
    def adopt(self, messages: int | None, on_stall: str, proof: Proof) -> None:
        document = {
            **self.naive.document,
            "budget": {**self.naive.document["budget"], "messages": messages},
            "guard": {**self.naive.document["guard"], "on_stall": on_stall},
        }
        step = self.act(
            lambda room, past: room.adopt(
                contract_from(document),
                instead_of=room.contract,
                proof=proof,
                stamp=stamp(self.now),
            )
        )
        if step:
            assert proof != NO_PROOF
            self.naive.document = document

    @rule(seconds=st.sampled_from([1, 1, 30, 30, 450, 899]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        is_due = self.is_overdue
        step = self.act(lambda room, past: room.expire(stamp(self.now)))

        assert step
        assert bool(step.messages) == is_due

    # ---- saying something -------------------------------------------------------------------

    def say(self, draft: Draft) -> None:
        before, work, was_overdue = self.talk.room, self.open_work, self.is_overdue
        step = self.act(
            lambda room, past: room.post(draft, proof=NO_PROOF, stamp=stamp(self.now), past=past)
        )
        known = before.member(draft.sender)
        if step is None:
            self.must_be_refused_for_a_reason(draft)
            return
        member = step.room.must_be_member(draft.sender)
        message = step.messages[0]
        assert not was_overdue
        assert is_valid(draft, self.naive.document)
        if draft.sender_type == "agent":
            assert before.lifecycle == "open"
            assert not before.contract.roles or (known and known.role)
            assert self.naive.too_much(draft, member.name, member.role) == []
            self.naive.hear(draft, member.name)
        self.last_said = self.now
        self.must_wake_by_the_rules(draft, step)
        self.must_tell_by_the_rules(draft, step)
        self.naive.vote(draft, member.name, member.role)
        self.must_be_ended_as_decided(
            step,
            work_is_open=draft.type in ("request", "handoff", "submit")
            or any(one.seq != message.reply_to for one in work),
        )

    def must_be_refused_for_a_reason(self, draft: Draft) -> None:
        refused, member = self.refused, self.talk.room.members.get(skeleton(draft.sender))
        assert draft.sender_type != "human" or not isinstance(refused, NEVER_SAID_TO_PEOPLE)
        if isinstance(refused, BudgetSpent):
            name, role = (member.name, member.role) if member else (draft.sender, None)
            assert self.naive.too_much(draft, name, role)
        if isinstance(refused, ContractViolation):
            assert not is_valid(draft, self.naive.document)
        if isinstance(refused, Hushed):
            assert member
            assert member.standing.notices >= 2
            assert refused.facts["score"] >= LOW["hush"]
            assert self.naive.document["guard"].get("on_stall", "hush") == "hush"
            assert draft.type not in {*NEVER_SCORED, "result", *self.naive.unheld_types}
            assert not self.naive.may_end(draft, member.role)
            heard = [one.content for one in self.talk.messages]
            assert "parser.py" not in str(draft.content) or draft.content in heard

    def must_wake_by_the_rules(self, draft: Draft, step: Step) -> None:
        message = step.messages[0]
        others = {one.name for one in step.room.active_members} - {message.sender}
        declared = self.naive.document.get("types", {}).get(draft.type, {})
        assert set(message.wakes) <= others
        if draft.sender_type == "human" or draft.type in ("decision", "cancel"):
            assert set(message.wakes) == others
        elif draft.type in (*SILENT, "vote") or declared.get("wakes") == "nobody":
            assert message.wakes == ()

    def must_tell_by_the_rules(self, draft: Draft, step: Step) -> None:
        member = step.room.must_be_member(draft.sender)
        of_type = [one for one in step.notices if " of type " in one]
        shares = [one for one in step.notices if one.startswith("Budget:") and one not in of_type]
        by_guard = [one for one in step.notices if not one.startswith("Budget:")]
        if draft.sender_type == "human" or step.room.closing:
            assert step.notices == ()
            return
        assert not of_type or self.naive.is_type_short(member.name)
        assert not shares or self.naive.percent(member.name, self.now - self.began) >= 75
        assert not by_guard or member.standing.score >= LOW["notice"]
        assert not by_guard or draft.type not in {*NEVER_SCORED, *self.naive.exempt_types}

    def must_be_ended_as_decided(self, step: Step, *, work_is_open: bool) -> None:
        """`work_is_open`: so it was before the room ended, which settles everything."""
        closing, here = step.room.closing, step.room.active_members
        if closing is None:
            assert self.naive.outcomes(here, work_is_open=self.work_is_open) == set()
        elif closing.reason == "terminal":
            assert closing.outcome in self.naive.outcomes(here, work_is_open=work_is_open)
        else:
            assert self.naive.outcomes(here, work_is_open=True) == set()

    # ---- what is asked of the room --------------------------------------------------------------

    @property
    def open_work(self) -> list[Expectation]:
        return [one for one in self.talk.room.expectations if one.is_work]

    @property
    def work_is_open(self) -> bool:
        return bool(self.open_work)

    @property
    def is_overdue(self) -> bool:
        room, budget = self.talk.room, self.naive.document["budget"]
        spent_at = (room.reserve_since - NOON).total_seconds() if room.reserve_since else NO_LIMIT
        is_idle = self.now - self.last_said >= budget.get("idle_s", NO_LIMIT)
        return room.closing is None and (
            (is_idle and room.lifecycle == "open")
            or self.now - self.began >= budget.get("lifetime_s", NO_LIMIT)
            or self.now - spent_at >= RESERVE_S
        )

    # ---- what always holds ------------------------------------------------------------------

    @invariant()
    def numbers_have_no_gap_and_times_never_go_back(self) -> None:
        messages = self.talk.messages
        assert [one.seq for one in messages] == list(range(1, self.talk.room.last_seq + 1))
        assert [one.at for one in messages] == sorted(one.at for one in messages)
        assert len({one.id for one in messages}) == len(messages)

    @invariant()
    def an_ended_room_says_how_and_owes_nothing(self) -> None:
        room = self.talk.room
        assert (room.lifecycle == "closed") == (room.closing is not None)
        assert room.closing is None or room.expectations == ()
        assert room.closing is None or self.talk.messages[-1].type == "room.closed"

    @invariant()
    def the_room_counts_what_agents_said(self) -> None:
        room, said = self.talk.room, self.naive.said
        assert room.spent.messages == len(said)
        assert room.spent.size_bytes == sum(one.size_bytes for one in said)
        for member in room.members.values():
            own = sum(one.sender == member.name for one in said)
            assert member.spent.messages == own

    @invariant()
    def a_spent_room_is_in_its_reserve_or_closed(self) -> None:
        room = self.talk.room
        assert room.closing or (room.reserve_since is not None) == self.naive.is_spent

    @invariant()
    def no_role_has_more_than_it_may(self) -> None:
        room = self.talk.room
        taken = Counter(one.role for one in room.active_members)
        most = {role.name: role.max for role in room.contract.roles.values()}
        assert all(taken[name] <= (limit or NO_LIMIT) for name, limit in most.items())


def is_valid(draft: Draft, document: dict[str, Any]) -> bool:
    """Whether the body is as the document wants it; `verdict` in REVIEW alone has a schema."""
    body = draft.content if isinstance(draft.content, dict) else {}
    has_schema = "body" in document.get("types", {}).get(draft.type, {})
    return not has_schema or body.get("verdict") in ("approved", "rejected")


TestAnyContract = AnyContract.TestCase
TestAnyContract.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
