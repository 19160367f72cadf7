"""Who is in a room, and what a caller shows to speak under a name."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .budget import NOTHING_SPENT, Spent
from .guarding import AT_REST, Standing
from .message import SenderType
from .names import skeleton
from .refusals import NameNotYours


class Proof(NamedTuple):
    """What the caller has shown, apart from the name that he claims.

    `key_hash` is the SHA-256 of a key sent with the request, `spare_hash` that of another one,
    which may be meant for somebody else: a bearer token, or a member's key beside the owner's.
    One that fits nothing here is passed over. `more_hashes` are those of a caller who asks about
    many rooms, and has a key for each.
    `trusted` callers own the store itself (the embedded backend): keys do not guard against them.

    `principal` is whom the caller's server key stands for, as names are compared; `human` says
    that this is a person, `admin` that all rooms are his to keep in order. A `stranger` has no
    key on a server that wants one: only demo rooms exist for him.
    """

    key_hash: str | None = None
    trusted: bool = False
    spare_hash: str | None = None
    more_hashes: frozenset[str] = frozenset()
    principal: str = ""
    human: bool = False
    admin: bool = False
    stranger: bool = False

    @property
    def is_person(self) -> bool:
        """Whether a claim to be a person counts."""
        return self.trusted or self.human

    def must_be(self, name: str) -> None:
        """A server key lets its holder speak as whom it stands for, or as `that/…`.

        Raises:
            NameNotYours: The name is another one.
        """
        own, wanted = self.principal, skeleton(name)
        if own and wanted != own and not wanted.startswith(f"{own}/"):
            raise NameNotYours(
                f"Your key stands for {own!r}: you may not speak as {name!r}.",
                advice=f"Speak as {own!r} or as '{own}/…', such as '{own}/claude'.",
                names=[own, f"{own}/…"],
            )

    def shows(self, key_hash: str | None) -> bool:
        if key_hash is None:
            return False
        shown = (self.key_hash, self.spare_hash)
        return key_hash in self.more_hashes or any(
            one is not None and hmac.compare_digest(one, key_hash) for one in shown
        )


@dataclass(frozen=True)
class Member:
    """Somebody who joined. `active` is False after leaving; the name stays his.

    `protected`: from now on only the holder of the key may use the name. `messages` and
    `size_bytes` count all that he said, `spent` what counts against the budget, of which he was
    told at `told_percent`. `principal` is whose server key the name is bound to; `muted`: he may
    read, and not speak.
    """

    name: str
    kind: SenderType
    joined_at: datetime
    joined_seq: int
    active: bool = True
    key_hash: str | None = None
    protected: bool = False
    messages: int = 0
    size_bytes: int = 0
    role: str | None = None
    spent: Spent = NOTHING_SPENT
    standing: Standing = AT_REST
    told_percent: int = 0
    principal: str = ""
    muted: bool = False

    def is_by(self, proof: Proof) -> bool:
        """Whether the caller has shown that this is he; a name that is bound to nothing is no
        proof of anybody."""
        return proof.shows(self.key_hash) or (
            self.principal != "" and self.principal == proof.principal
        )
