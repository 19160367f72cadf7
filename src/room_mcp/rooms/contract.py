"""What a room agrees on: which messages end it, and what they say about the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_OUTCOME_CHARS = 200


@dataclass(frozen=True, slots=True)
class TerminalRule:
    """A message type that ends the room.

    `outcome_from` names the field of the body that holds the outcome; `default` is the outcome
    when the body has no such text.
    """

    type: str
    outcome_from: str
    default: str

    def outcome(self, content: str | dict[str, Any]) -> str:
        """One line of at most `MAX_OUTCOME_CHARS`; it stands in lists and sentences."""
        value = content.get(self.outcome_from) if isinstance(content, dict) else None
        line = " ".join(value.split()) if isinstance(value, str) else ""
        return line[:MAX_OUTCOME_CHARS] or self.default


@dataclass(frozen=True, slots=True)
class Contract:
    """The rules that a room was opened with."""

    template: str
    terminal: tuple[TerminalRule, ...]

    def ending(self, type: str) -> TerminalRule | None:
        """The rule by which a message of this type ends the room, or None."""
        return next((rule for rule in self.terminal if rule.type == type), None)


OPEN = Contract(
    template="open",
    terminal=(
        TerminalRule("review_complete", outcome_from="verdict", default="complete"),
        TerminalRule("decision", outcome_from="outcome", default="decided"),
    ),
)

CONTRACTS: Mapping[str, Contract] = {contract.template: contract for contract in (OPEN,)}
