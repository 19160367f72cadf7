"""`room-mcp settings`: a room's limits, what is left of them, and changes of both."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import given, lines, rules
from .options import Commands, add_json, add_limits, add_room, add_speaker, command
from .speaking import keyring, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "settings",
        "show the limits of a room and what is left, or change them",
        settings,
        "Changing them is the right of whoever opened the room. A limit of null is none.",
    )
    add_room(parser)
    add_limits(parser)
    add_speaker(parser)
    add_json(parser)


def settings(args: argparse.Namespace) -> int:
    args.changes = {"budget": given.budget_from(args), "guard": given.guard_from(args)}
    return run(_settings, args)


async def _settings(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.addressing import resolve

    from .reading import show_json

    room = await resolve(client, args.room)
    changed = any(one is not None for one in args.changes.values())
    if changed:
        key = keyring(args, settings).owner_key(room.id)
        info = await client.adjust_room(room.id, **args.changes, owner_key=key)
    else:
        info = await client.info(room.id)
    if args.json:
        show_json(info)
        return 0
    print(lines.heading(info))
    if changed:
        print("Changed. Now:")
    for line in told(info):
        print(lines.fact(line))
    return 0


def told(info: wire.Info) -> Iterator[str]:
    """The room's limits, the guard, who has which role, and what is open."""
    from room_mcp.plain import one_line

    yield f"Rules: {one_line(info.template)}"
    if info.access != "open":
        yield f"Access: {info.access}"
    for one in info.knocking:
        wanted = f" as {one_line(one.role)}" if one.role else ""
        yield (
            f"Asks to come in{wanted}: {one_line(one.name)}, since {lines.clock(one.at)} "
            f"(room-mcp admit {lines.word(info.name)} {lines.word(one.name)}, or decline)"
        )
    yield f"Budget: {_budget(info.budget)}"
    if each := _allowance(info.budget.per_member):
        yield f"Budget of each member: {each}"
    yield f"Time: {_time(info.budget)}"
    if (contract := rules.contract_of(info)) is not None:
        yield f"Guard: {rules.guard(contract.guard)}"
    if info.chain is not None:
        yield f"Chain: {info.chain or 'begins with the next message'}"
    for role in info.roles:
        who = rules.listed(role.members) or "nobody yet"
        yield f"Role {one_line(role.name)} ({rules.places(role.min, role.max)}): {who}"
    yield from (_member(one) for one in info.members if one.active)
    yield from rules.cast_verdicts(info)
    yield from (_open(one) for one in info.expected)


def _budget(of: wire.Budget) -> str:
    limits = _allowance(of)
    if of.messages is None and of.bytes is None:
        return limits or "no limit"
    reserve = lines.counted(of.reserve_messages)
    return f"{limits}; then {reserve} in reserve that can end the room"


def _allowance(of: wire.Allowance) -> str:
    limits = {"messages": of.messages, "bytes": of.bytes}
    left = {"messages": of.messages_left, "bytes": of.bytes_left}
    return rules.allowance(limits, of.per_type, left)


def _time(of: wire.Budget) -> str:
    limits = [
        *([f"{lines.lasting(of.lifetime_s)} in all"] if of.lifetime_s else []),
        *([f"{lines.lasting(of.idle_s)} of silence"] if of.idle_s else []),
    ]
    closes = f"closes by itself at {lines.clock(of.closes_at)}" if of.closes_at else ""
    return "; ".join([rules.listed(limits, "or"), closes]).strip("; ") or "no limit"


def _member(of: wire.Member) -> str:
    from room_mcp.plain import one_line

    standing = of.standing
    left = "" if standing.budget_left is None else f", {standing.budget_left} left"
    kind = " (human)" if of.type == "human" else ""
    score = f", score {standing.score:g}" if of.type != "human" else ""
    kind += " (muted)" if of.muted else ""
    return f"Member {one_line(of.name)}{kind}: {lines.counted(of.messages)}{left}{score}"


def _open(of: wire.Expected) -> str:
    from room_mcp.plain import one_line

    who = rules.listed(of.of) if of.of else "anybody"
    taken = f", accepted by {one_line(of.accepted_by)}" if of.accepted_by else ""
    return (
        f"Open: #{of.seq} {one_line(of.type)} of {one_line(of.asker)}, "
        f"{one_line(of.answer_type)} expected from {who}{taken}"
    )
