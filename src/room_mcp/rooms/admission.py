"""Who may come into a room: its access, who waits at the door, and who was sent away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from .copying import changed
from .members import Proof
from .message import SenderType
from .names import skeleton

Access = Literal["open", "keyed", "approval"]
ACCESSES: tuple[Access, ...] = ("open", "keyed", "approval")

MAX_KNOCKING = 50  # who may wait at one door; more are told to come back
MAX_BARRED = 500  # the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who waits for the owner to admit him, with what he will be as a member."""

    name: str
    kind: SenderType
    at: datetime
    role: str | None = None
    key_hash: str | None = None
    principal: str = ""

    def is_by(self, proof: Proof) -> bool:
        return (
            proof.trusted
            or proof.shows(self.key_hash)
            or (self.principal != "" and self.principal == proof.principal)
        )


class Barring(NamedTuple):
    """Somebody who was sent away: his name as names are compared, and his server key's."""

    name: str
    principal: str = ""


@dataclass(frozen=True)
class Admission:
    """What changes only when somebody comes, is let in or is sent away.

    `owner` is the principal of the server key that opened the room; empty without one. `barred`
    are those who may not come back. A `demo` room is there
    for callers without a key, too.
    """

    access: Access = "open"
    owner: str = ""
    demo: bool = False
    knocking: tuple[Knock, ...] = ()
    barred: tuple[Barring, ...] = ()

    def knock(self, name: str) -> Knock | None:
        wanted = skeleton(name)
        return next((one for one in self.knocking if skeleton(one.name) == wanted), None)

    def without_knock(self, name: str) -> Admission:
        wanted = skeleton(name)
        kept = tuple(one for one in self.knocking if skeleton(one.name) != wanted)
        return changed(self, knocking=kept)

    def without_knocks_of(self, principal: str) -> Admission:
        """Without whoever waits by this server key; the empty one is nobody's."""
        kept = tuple(one for one in self.knocking if not principal or one.principal != principal)
        return changed(self, knocking=kept)

    def bars(self, name: str, principal: str) -> bool:
        """Whether somebody of this name, or with this server key, was sent away."""
        wanted = skeleton(name)
        return any(
            one.name == wanted or (one.principal != "" and one.principal == principal)
            for one in self.barred
        )

    def barring(self, name: str, principal: str) -> Admission:
        kept = self.letting_back(name).barred
        return changed(self, barred=(*kept, Barring(skeleton(name), principal))[-MAX_BARRED:])

    def letting_back(self, name: str) -> Admission:
        wanted = skeleton(name)
        return changed(self, barred=tuple(one for one in self.barred if one.name != wanted))


EVERYBODY = Admission()
