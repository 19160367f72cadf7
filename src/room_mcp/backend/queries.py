"""Reading a URL's query: numbers are checked, clamped where the contract says so, and named."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request

from room_mcp import wire

from .errors import HttpProblem
from .limits import MAX_INTEGER

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
MAX_TEXT_CHARS = 200  # twice what a name may have; words to search for are no more either
MAX_LIST_CHARS = 64 * wire.MAX_UPDATE_ROOMS  # an id, a colon, a seq and a comma take 54
_MAX_SEQ_DIGITS = 16  # of 2^53; Python refuses to read numbers of thousands of digits


class Query:
    """The query of one request; `only` refuses names that the call does not know."""

    def __init__(self, request: Request, only: tuple[str, ...]) -> None:
        self._params = request.query_params
        for name in self._params:
            if name not in only:
                known = ", ".join(only) or "none"
                raise HttpProblem(
                    "malformed",
                    f"The parameter {name[:50]!r} is not known here.",
                    f"Known: {known}.",
                )
        given = [name for name, _ in self._params.multi_items()]
        if len(given) > len(self._params):
            twice = next(name for name in given if given.count(name) > 1)
            raise HttpProblem(
                "malformed", f"The parameter {twice!r} is given twice.", "Send it once."
            )

    def _value(self, name: str, most: int = MAX_TEXT_CHARS) -> str | None:
        value = self._params.get(name)
        if value is not None and len(value) > most:
            raise HttpProblem(
                "malformed",
                f"The parameter {name!r} has more than {most} characters.",
                "Send a shorter one.",
            )
        return value

    def text(self, name: str) -> str | None:
        value = self._value(name)
        if value is not None and "\x00" in value:
            raise HttpProblem("malformed", f"The parameter {name!r} holds NUL.", "Leave it out.")
        return value

    def cursor(self, name: str) -> int | None:
        """A seq, 0 or more; None when it is not given."""
        value = self._value(name)
        if value is None:
            return None
        seq = seq_in(value)
        if seq is None:
            raise HttpProblem(
                "malformed",
                f"The parameter {name!r} is no cursor.",
                f"Send a whole number from 0 on, such as {name}=12.",
            )
        return seq

    def limit(self, default: int, most: int = wire.MAX_LIMIT) -> int:
        """A page size, clamped to 1 … `most`; the answer says what it became."""
        value = self._value("limit")
        if value is None:
            return default
        try:
            return max(1, min(int(value), most))
        except ValueError:
            raise HttpProblem(
                "malformed", "The parameter 'limit' is no number.", f"Send 1 to {most}."
            ) from None

    def wait_s(self) -> float:
        """Seconds to wait, clamped to 0 … `MAX_WAIT_S`."""
        value = self._value("wait")
        if value is None:
            return 0
        try:
            seconds = float(value)
        except ValueError:
            seconds = float("nan")
        if seconds != seconds:
            raise HttpProblem(
                "malformed",
                "The parameter 'wait' is no number.",
                f"Send 0 to {wire.MAX_WAIT_S} seconds.",
            )
        return max(0.0, min(seconds, float(wire.MAX_WAIT_S)))

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name)
        if value is None:
            return default
        if value.lower() not in _FLAGS:
            raise HttpProblem(
                "malformed",
                f"The parameter {name!r} is neither true nor false.",
                "Send one of them.",
            )
        return _FLAGS[value.lower()]

    def time(self, name: str) -> datetime | None:
        value = self._value(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise HttpProblem(
                "malformed", f"The parameter {name!r} is no time.", "Send the nextCursor as it was."
            ) from None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at

    def ids(self, name: str) -> list[str]:
        """Room ids, separated by commas."""
        value = self._value(name, MAX_LIST_CHARS)
        return [known_id(part) for part in _at_most(value.split(","))] if value else []

    def cursors(self, name: str) -> dict[str, int]:
        """`id:after` pairs, separated by commas; without `:after` from the start."""
        found: dict[str, int] = {}
        for part in _at_most((self._value(name, MAX_LIST_CHARS) or "").split(",")):
            room_id, _, after = part.partition(":")
            if not part:
                continue
            seq = seq_in(after or "0")
            if seq is None:
                raise HttpProblem(
                    "malformed",
                    f"The parameter {name!r} is not of the form id:after,id:after.",
                    "Send the last seq that you have behind each id, such as :12.",
                )
            found[known_id(room_id)] = seq
        return found


def seq_in(text: str) -> int | None:
    """The seq that a text spells, 0 to 2^53; None when it spells none."""
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_SEQ_DIGITS:
        return None
    return seq if (seq := int(text)) <= MAX_INTEGER else None


def known_id(value: str) -> str:
    """A room id as the store spells it; anything else is a room that does not exist."""
    try:
        return str(UUID(value))
    except ValueError:
        return value[:64]


def _at_most(parts: list[str]) -> list[str]:
    if len(parts) > wire.MAX_UPDATE_ROOMS:
        raise HttpProblem(
            "malformed",
            f"The request names {len(parts)} rooms; at most {wire.MAX_UPDATE_ROOMS} are allowed.",
            "Ask in several requests.",
        )
    return parts
