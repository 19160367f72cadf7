"""Who takes which role."""

from __future__ import annotations

from collections.abc import Iterable

from .contract import PEOPLE, Contract, Role
from .members import Member
from .message import SenderType
from .names import skeleton
from .refusals import Malformed, RoleTaken


def role_for(
    contract: Contract,
    wanted: str | None,
    name: str,
    kind: SenderType,
    others: Iterable[Member],
    kept: str | None = None,
) -> str | None:
    """The role that a member gets: the wanted one, else the first that still lacks somebody.

    `kept` is the one that he had before. A person needs none, and comes back without it when it
    is taken; in a room without roles nobody has one.

    Raises:
        Malformed: There is no such role here.
        RoleTaken: It is full, or not for this name; or every role is.
    """
    if not contract.roles:
        if wanted:
            raise Malformed("This room has no roles.", advice="Join without a role.")
        return None
    taken = [member.role for member in others]
    if not wanted and kind == "human":
        before = contract.roles.get(kept or "")
        is_free = before and _is_for(before, name, kind) and _has_place(before, taken)
        return kept if is_free else None
    wanted = wanted or kept
    if wanted:
        role = contract.roles.get(wanted)
        if role is None:
            raise Malformed(
                f"There is no role {wanted!r} here.", advice=f"Roles: {', '.join(contract.roles)}."
            )
        _must_be_free(contract, role, name, kind, taken)
        return role.name
    fitting = [one for one in contract.roles.values() if _is_for(one, name, kind)]
    for role in (
        *(one for one in fitting if taken.count(one.name) < one.min),
        *(one for one in fitting if _has_place(one, taken)),
    ):
        return role.name
    raise RoleTaken(
        "Every role of this room that you may take is taken.",
        advice="Read along without joining; nothing can be sent without a role.",
        roles=places(contract, taken),
    )


def places(contract: Contract, taken: list[str | None]) -> dict[str, str]:
    """Role → how many have it of how many it may have."""
    return {
        one.name: f"{taken.count(one.name)} of {one.max or 'any number'}"
        for one in contract.roles.values()
    }


def _must_be_free(
    contract: Contract, role: Role, name: str, kind: SenderType, taken: list[str | None]
) -> None:
    if not _is_for(role, name, kind):
        raise RoleTaken(
            f"The role {role.name} is for {', '.join(role.who)}.",
            advice="Join with another role, or without one.",
            roles=places(contract, taken),
        )
    if not _has_place(role, taken):
        free = [
            one.name
            for one in contract.roles.values()
            if _has_place(one, taken) and _is_for(one, name, kind)
        ]
        raise RoleTaken(
            f"The role {role.name} is taken: {role.max} of {role.max}.",
            advice=f"Join with another role: {', '.join(free)}." if free else "Read along.",
            roles=places(contract, taken),
        )


def _has_place(role: Role, taken: list[str | None]) -> bool:
    return role.max is None or taken.count(role.name) < role.max


def _is_for(role: Role, name: str, kind: SenderType) -> bool:
    if not role.who:
        return True
    return skeleton(name) in role.who or (kind == "human" and PEOPLE in role.who)
