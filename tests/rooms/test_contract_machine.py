"""What holds by any contract, for any agents and any acts in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from contract_talk import Talk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from machine_contracts import DEBATE, ENDLESS, FREE, LOW, QUEUE, REVIEW
from naive_rules import NO_LIMIT, Naive
from room_talk import NO_PROOF, OWNER, TRUSTED, stamp

from room_mcp.rooms import Draft, Proof, Refusal, Room, Step, contract_from, skeleton
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


ENDS = {"budget": "budget_spent", "lifetime": "expired", "idle": "idle"}


class AnyTalk(RuleBasedStateMachine):
    document: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.now = self.began = self.last_said = 0.0
        self.spent_at: float | None = None
        self.told: dict[str, int] = {}  # name → the mark of the budget that he was told of
        self.refused: Refusal | None = None

        self.talk = Talk(self.document, ann=None, bob=None, cid=None)
        self.naive = Naive(self.document)

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
        at=st.integers(0, 1),
        choices=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3),
        senders=st.permutations(["ann", "bob", "cid"]),
        then=st.sampled_from(["nothing", "leave", "author", "chair", "worker"]),
    )
    def decide(self, at: int, choices: list[str], senders: list[str], then: str) -> None:
        """Some say what may end this room; then the last of the others leaves or changes."""
        for choice, sender in zip(choices, senders, strict=False):
            verdict = "approved" if choice == "a" else "rejected"
            body = {"verdict": verdict, "choice": choice, "final": True}
            for one in self.naive.rules[at : at + 1]:
                self.say(Draft(sender, body, one["type"]))
        if then == "leave":
            self.leave(senders[-1])
        elif then != "nothing":
            self.join(senders[-1], then, False)

    @rule(to=st.sampled_from([(), ("bob",), ("bob", "cid")]), done=st.booleans())
    def hand_out(self, to: tuple[str, ...], done: bool) -> None:
        """Work, taken or not, done or not."""
        self.say(Draft("ann", "See parser.py:88.", "request", to))
        self.say(Draft("bob", "ok", "accept"))
        self.say(Draft("ann", "ok", "closing"))
        if done:
            self.say(Draft("bob", "ok", "result"))

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
        by_roles = any(one.get("by") for one in self.naive.rules)
        assert step is None or proof == OWNER or (proof == TRUSTED and not by_roles)

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
            assert all(one.standing.score == 0 for one in step.room.members.values())
            self.began = self.last_said = self.now
            self.naive.begin_anew()
            self.told, self.spent_at = {}, None

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
            if document["budget"] != self.naive.document["budget"]:
                self.told = {}
            self.naive.document = document
            self.note_what_is_spent()

    @rule(seconds=st.sampled_from([1, 1, 30, 30, 450, 899]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([-1, 0]))
    def wait_until_it_is_due(self, seconds: float) -> None:
        at, _ = self.due
        if at < NO_LIMIT:
            self.now = max(self.now, at + seconds)

    @precondition(lambda self: self.is_overdue)
    @rule()
    def catch_up(self) -> None:
        self.expire()
        self.reopen(True, TRUSTED)

    @rule()
    def expire(self) -> None:
        is_due, (_, reason) = self.is_overdue, self.due
        step = self.act(lambda room, past: room.expire(stamp(self.now)))

        assert step
        assert bool(step.messages) == is_due
        assert not is_due or (step.room.closing and step.room.closing.reason == reason)

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
        self.note_what_is_spent()
        self.must_wake_by_the_rules(draft, step)
        self.must_tell_by_the_rules(draft, step)
        self.must_hold_back_by_the_rules(draft, step, before)
        self.must_end_with_the_reserve(draft, step)
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
        mark = max(one for one in (0, 75, 90) if one <= self.percent_of(member.name))
        assert bool(shares) == (mark > self.told.get(member.name, 0))
        self.told[member.name] = max(mark, self.told.get(member.name, 0))
        assert not by_guard or member.standing.score >= LOW["notice"]
        assert not by_guard or draft.type not in {*NEVER_SCORED, *self.naive.exempt_types}

    def must_hold_back_by_the_rules(self, draft: Draft, step: Step, before: Room) -> None:
        """What has to happen to a note that says nothing, and to the scores after a person's."""
        if draft.sender_type == "human":
            assert all(one.standing.score == 0 for one in step.room.members.values())
        elif draft.type == "note" and draft.content in EMPTY:
            known = before.members.get(skeleton(draft.sender))
            told = known.standing.notices if known else 0
            score = step.room.must_be_member(draft.sender).standing.score
            on_stall = self.naive.document["guard"].get("on_stall", "hush")
            is_stalled = score >= LOW["hush"] and told >= 2 and not before.expectations
            assert score < LOW["quiet"] or on_stall == "notice" or step.messages[0].wakes == ()
            assert not is_stalled or on_stall != "hush"
            assert not is_stalled or on_stall != "close" or step.room.closing

    def must_end_with_the_reserve(self, draft: Draft, step: Step) -> None:
        closing, is_over = step.room.closing, self.naive.is_over
        assert closing or not is_over or draft.sender_type == "human"
        assert closing is None or closing.reason != "budget" or is_over

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

    # ---- time -------------------------------------------------------------------------------

    def note_what_is_spent(self) -> None:
        spent_at = self.now if self.spent_at is None else self.spent_at
        self.spent_at = spent_at if self.naive.is_spent else None

    def percent_of(self, name: str) -> float:
        return self.naive.percent(name, self.now - self.began)

    @property
    def due(self) -> tuple[float, str]:
        """When the room has to close, and why."""
        budget = self.naive.document["budget"]
        idle_s = budget.get("idle_s", NO_LIMIT) if self.talk.room.lifecycle == "open" else NO_LIMIT
        return min(
            (self.began + budget.get("lifetime_s", NO_LIMIT), "lifetime"),
            (self.last_said + idle_s, "idle"),
            (NO_LIMIT if self.spent_at is None else self.spent_at + RESERVE_S, "budget"),
        )

    @property
    def is_overdue(self) -> bool:
        return self.talk.room.closing is None and self.now >= self.due[0]

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
        if room.closing:
            named = self.naive.document["budget"].get("on_budget")
            assert self.talk.messages[-1].type == "room.closed"
            reason, outcome = room.closing.reason, room.closing.outcome
            assert reason not in ENDS or outcome == (named or ENDS[reason])
            assert reason not in ("stalled", "closed") or outcome == reason

    @invariant()
    def the_room_counts_what_agents_said(self) -> None:
        room, said = self.talk.room, self.naive.said
        assert room.spent.messages == len(said)
        assert room.spent.size_bytes == sum(one.size_bytes for one in said)
        for member in room.members.values():
            own = sum(one.sender == member.name for one in said)
            assert member.spent.messages == own

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


class Review(AnyTalk):
    document = REVIEW


class Debate(AnyTalk):
    document = DEBATE


class Queue(AnyTalk):
    document = QUEUE


class Free(AnyTalk):
    document = FREE


class Endless(AnyTalk):
    document = ENDLESS


TestReview = Review.TestCase
TestDebate = Debate.TestCase
TestQueue = Queue.TestCase
TestFree = Free.TestCase
TestEndless = Endless.TestCase

QUICK = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestReview.settings = QUICK
TestDebate.settings = QUICK
TestQueue.settings = QUICK
TestFree.settings = QUICK
TestEndless.settings = QUICK
