"""A room by rules of a test's own, in which members talk."""

from __future__ import annotations

from typing import Any

from room_talk import NO_PROOF, NOON, OWNER, TRUSTED, stamp

from room_mcp.rooms import Contract, Draft, Member, Room, Step, contract_from
from room_mcp.rooms.rehearsal import Rehearsal


class Talk(Rehearsal):
    """The room that a contract's document describes, with these members in these roles.

    `at` are seconds after noon, when it was opened; people show that they are people.
    """

    def __init__(self, document: dict[str, Any], **roles: str | None) -> None:
        contract = contract_from(document)
        super().__init__(Room("r", "review", NOON, owner_key_hash="owner-hash", contract=contract))
        for name, role in roles.items():
            self.join(name, role)

    def join(self, name: str, role: str | None = None, *, human: bool = False) -> str | None:
        """The role that somebody gets who comes, comes back, or wants another."""
        kind = "human" if human else "agent"
        self.act(
            lambda room, past: room.join(name, role=role, proof=NO_PROOF, stamp=stamp(), kind=kind)
        )
        return self.room.must_be_member(name).role

    def leave(self, name: str) -> Step:
        return self.act(lambda room, past: room.leave(name, proof=NO_PROOF, stamp=stamp()))

    def say(
        self,
        sender: str,
        type: str = "note",
        content: Any = "hello",
        *,
        at: float = 0,
        human: bool = False,
        **fields: Any,
    ) -> Step:
        kind = "human" if human else "agent"
        proof = TRUSTED if human else NO_PROOF
        draft = Draft(
            sender, content, type, sender_type=kind, **{**fields, "to": (*fields.get("to", ()),)}
        )
        return self.act(
            lambda room, past: room.post(draft, proof=proof, stamp=stamp(at), past=past)
        )

    def chat(
        self, *senders: str, messages: int, type: str = "note", content: Any = "ok"
    ) -> list[Step]:
        """The steps of the same message again and again, the senders taking turns."""
        return [self.say(senders[at % len(senders)], type, content) for at in range(messages)]

    # ---- the owner, and time ----------------------------------------------------------------

    def close(self) -> Step:
        return self.act(lambda room, past: room.close("ada", "Enough.", proof=OWNER, stamp=stamp()))

    def pause(self, *, at: float = 0) -> Step:
        return self.act(lambda room, past: room.pause("ada", proof=OWNER, stamp=stamp(at)))

    def resume(self, *, at: float = 0) -> Step:
        return self.act(lambda room, past: room.resume("ada", proof=OWNER, stamp=stamp(at)))

    def expire(self, *, at: float) -> Step:
        return self.act(lambda room, past: room.expire(stamp(at)))

    def reopen(self, *, at: float = 0) -> Step:
        return self.act(
            lambda room, past: room.reopen(
                "ada", proof=TRUSTED, stamp=stamp(at), past=past, kind="human"
            )
        )

    def adopt(self, document: dict[str, Any], *, at: float = 0) -> Step:
        return self.act(
            lambda room, past: room.adopt(
                contract_from(document),
                instead_of=room.contract,
                proof=OWNER,
                stamp=stamp(at),
            )
        )

    # ---- what is seen -----------------------------------------------------------------------

    @property
    def contract(self) -> Contract:
        return self.room.contract

    def member(self, name: str) -> Member:
        return self.room.must_be_member(name)

    def owes(self, name: str) -> list[int]:
        """The seqs of what waits for this member."""
        return [one.seq for one in self.room.expected_of(name)]

    @property
    def open_work(self) -> list[int]:
        return [one.seq for one in self.room.expectations if one.is_work]

    @property
    def outcome(self) -> str:
        """How the room ended; empty while it is open."""
        return "" if self.room.closing is None else self.room.closing.outcome

    @property
    def reason(self) -> str:
        return "" if self.room.closing is None else self.room.closing.reason
