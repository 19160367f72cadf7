"""Who is in a room, and what a caller shows to speak under a name."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .budget import NOTHING_SPENT, Spent
from .guarding import AT_REST, Standing
from .message import SenderType


class Proof(NamedTuple):
    """What the caller has shown, apart from the name that he claims.

    `key_hash` is the SHA-256 of a key sent with the request, `bearer_hash` that of a bearer
    token, which may be meant for somebody else: one that fits nothing here is passed over.
    `trusted` callers own the store itself (the embedded backend): keys do not guard against them.

    `principal` is whom the caller's server key stands for, as names are compared; `human` says
    that this is a person, `admin` that all rooms are his to keep in order. A `stranger` has no
    key on a server that wants one: only demo rooms exist for him.
    """

    key_hash: str | None = None
    trusted: bool = False
    bearer_hash: str | None = None
    principal: str = ""
    human: bool = False
    admin: bool = False
    stranger: bool = False

    @property
    def is_person(self) -> bool:
        """Whether a claim to be a person counts."""
        return self.trusted or self.human

    def shows(self, key_hash: str | None) -> bool:
        return key_hash is not None and any(
            shown is not None and hmac.compare_digest(shown, key_hash)
            for shown in (self.key_hash, self.bearer_hash)
        )


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who joined. `active` is False after leaving; the name stays his.

    `protected`: from now on only the holder of the key may use the name. `messages` and
    `size_bytes` count all that he said, `spent` what counts against the budget, of which he was
    told at `told_percent`.
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
