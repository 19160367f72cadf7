"""What a room agrees on: who may say what, which messages end it, and what they must hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from .budget import NO_BUDGET, Budget
from .guard import EXEMPT, Thresholds
from .guard.memory import Numbers
from .message import BUILT_IN_TYPES, EXPECTS, SenderType, Wakes, wake_rule

MAX_OUTCOME_CHARS = 200
ANY_OUTCOME = "*"  # among the good outcomes: every one that a terminal message gave, but the bad
PEOPLE = "human"  # who may take a role, beside names of agents

OnStall = Literal["notice", "quiet", "hush", "close"]

USUAL_THRESHOLDS = Thresholds()
EXEMPT_TYPES = EXEMPT | {"vote"}  # of these the guard takes the facts alone

# What may be held back from whoever loops, beside types of one's own without a schema. An answer
# or a proposal is one of them when nothing that is open asks for it.
FREE_TEXT_TYPES = frozenset({"note", "question", "answer", "request", "propose"})


class Need(Enum):
    """What it takes until a terminal message ends the room."""

    ANY = "any"
    ALL_OF_ROLE = "all_of_role"
    MAJORITY_OF_ROLE = "majority_of_role"
    NO_OPEN_WORK = "no_open_work"


@dataclass(frozen=True, slots=True)
class Role:
    """A part that members take. `may` are message types, None means every one; `who` are names
    that may take it, PEOPLE for any person; empty means anybody.
    """

    name: str
    about: str = ""
    min: int = 0
    max: int | None = None
    may: tuple[str, ...] | None = None
    who: tuple[str, ...] = ()

    def allows(self, type: str) -> bool:
        return self.may is None or type in self.may


@dataclass(frozen=True, slots=True)
class MessageType:
    """A type that a contract declares, or a built-in one whose body it describes.

    `body` is a JSON Schema, None for any content; `example` passes it. `expects` are the types
    that answer it. `wakes` is None for what the type wakes anyway.
    """

    name: str
    about: str = ""
    body: Any = None
    example: Any = None
    wakes: Wakes | None = None
    expects: tuple[str, ...] = ()
    exempt: bool = False


@dataclass(frozen=True, slots=True)
class TerminalRule:
    """A message type that ends the room.

    `by` are the roles that may end it so, empty means everybody; `when` is a JSON Schema that the
    body must pass, None means always. `outcome_from` names the field of the body that holds the
    outcome; `outcome` stands when the body has no such text. `conclusion_from` names the one that
    sums it up, beside those that always may.
    """

    type: str
    by: tuple[str, ...] = ()
    when: Any = None
    need: Need = Need.ANY
    outcome_from: str = ""
    outcome: str = ""
    conclusion_from: str = ""

    def outcome_of(self, content: str | dict[str, Any]) -> str:
        """One line of at most `MAX_OUTCOME_CHARS`; it stands in lists and sentences."""
        value = content.get(self.outcome_from) if isinstance(content, dict) else None
        line = " ".join(value.split()) if isinstance(value, str) else ""
        return line[:MAX_OUTCOME_CHARS] or self.outcome or self.type


@dataclass(frozen=True, slots=True)
class GuardRules:
    """How a room treats exchanges without progress.

    `words` are texts that count as courtesy, praise or stop words besides ours.
    """

    on: bool = True
    thresholds: Thresholds = USUAL_THRESHOLDS
    on_stall: OnStall = "hush"
    numbers: Numbers = "progress"
    exempt_types: frozenset[str] = EXEMPT_TYPES
    exempt_roles: frozenset[str] = frozenset()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Contract:
    """The rules that a room was opened with; `source` is all of it, as compact JSON.

    Two contracts are equal when their sources are. `documents.contract_from` makes them.
    """

    source: str
    template: str = field(compare=False)
    about: str = field(default="", compare=False)
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role], compare=False)
    types: Mapping[str, MessageType] = field(default_factory=dict[str, MessageType], compare=False)
    terminal: tuple[TerminalRule, ...] = field(default=(), compare=False)
    outcome_order: tuple[str, ...] = field(default=(), compare=False)
    good: tuple[str, ...] = field(default=(), compare=False)
    bad: tuple[str, ...] = field(default=(), compare=False)
    budget: Budget = field(default=NO_BUDGET, compare=False)
    guard: GuardRules = field(default=GuardRules(), compare=False)

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.source)

    @property
    def terminal_types(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule.type for rule in self.terminal))

    @property
    def ends_by_roles(self) -> bool:
        """Whether the end of the room belongs to certain roles."""
        return any(rule.by for rule in self.terminal)

    def is_good(self, outcome: str, *, by_message: bool) -> bool:
        """Whether the room ended as it should; `by_message`: a terminal message ended it."""
        if outcome in self.bad:
            return False
        return outcome in self.good or (by_message and ANY_OUTCOME in self.good)

    # ---- types ------------------------------------------------------------------------------

    def can_end(self, type: str, role: str | None, sender_type: SenderType = "agent") -> bool:
        """Whether such a message may be one that ends the room; `when` is not asked here."""
        return any(rule.type == type and (not rule.by or role in rule.by) for rule in self.terminal)

    def ends_of(self, role: str | None) -> tuple[str, ...]:
        """The types by which a member of this role can end the room."""
        known = self.roles.get(role or "")
        return tuple(
            type
            for type in self.terminal_types
            if self.can_end(type, role)
            and (known.allows(type) if known is not None else not self.roles)
        )

    def good_ends_of(self, role: str | None) -> tuple[str, ...]:
        """Those of `ends_of` that may end it well; where nothing is called good, all of them."""
        if not self.good:
            return self.ends_of(role)
        hopeless = {
            rule.type
            for rule in self.terminal
            if not rule.outcome_from and not self.is_good(rule.outcome_of(""), by_message=True)
        }
        return tuple(type for type in self.ends_of(role) if type not in hopeless)

    def wake_rule(self, type: str, sender_type: SenderType) -> Wakes:
        """How a type wakes; what answers something wakes its asker, a stranger wakes as a note."""
        if sender_type == "human" or type in BUILT_IN_TYPES:
            return wake_rule(type, sender_type)
        declared = self.types.get(type)
        if declared is not None and declared.wakes is not None:
            return declared.wakes
        return Wakes.AUTHOR if type in self.answering else wake_rule(type, sender_type)

    @cached_property
    def expects(self) -> Mapping[str, tuple[str, ...]]:
        """Type that expects an answer → types that give it. `refuse` gives every one of them."""
        built_in = {type: (answer,) for type, answer in EXPECTS.items()}
        own = {one.name: one.expects for one in self.types.values() if one.expects}
        return MappingProxyType({**built_in, **own})

    @cached_property
    def answering(self) -> frozenset[str]:
        """The types that answer something."""
        return frozenset({"refuse"}.union(*self.expects.values()))

    def has_body_rule(self, type: str) -> bool:
        declared = self.types.get(type)
        return declared is not None and declared.body is not None

    def is_free_text(self, type: str) -> bool:
        """Whether the guard may hold such messages back."""
        if self.has_body_rule(type):
            return False
        return type in FREE_TEXT_TYPES or (
            type not in BUILT_IN_TYPES and type not in self.answering
        )

    def is_exempt(self, type: str, role: str | None) -> bool:
        """Whether the guard takes no notice of a message but for its facts."""
        declared = self.types.get(type)
        return (
            type in self.guard.exempt_types
            or (declared is not None and declared.exempt)
            or role in self.guard.exempt_roles
        )
