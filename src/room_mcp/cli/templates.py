"""`room-mcp templates`: the rules that a room can start from, and whether a file holds some."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from . import FAILED, Failed, WrongUse, given, lines, rules
from .options import Commands, add_json, command
from .speaking import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.rooms import Contract
    from room_mcp.settings import Settings


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "templates",
        "list the rules that a room can start from, show one, or check a file",
        list_templates,
        "Without more it lists them.",
    )
    add_json(parser)
    below = parser.add_subparsers(title="more", metavar="WHAT", dest="what")
    one = command(below, "show", "print a template as JSON, fit to be changed and used", show)
    one.add_argument("name", metavar="NAME", help="as `room-mcp templates` lists it")
    add_json(one, again=True)
    checked = command(
        below,
        "check",
        "say what is wrong in a template's file, or what it means",
        check,
        "The file's name is the template's. Exit code 1: the file is no template.",
    )
    checked.add_argument("file", metavar="FILE", help="a JSON document")
    add_json(checked, again=True)


# ---- list and show ------------------------------------------------------------------------------


def list_templates(args: argparse.Namespace) -> int:
    return run(_list, args)


async def _list(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from .reading import show_json

    found = await client.templates()
    if args.json:
        show_json(found)
        return 0
    for line in _listed(found, settings):
        print(lines.fact(line))
    return 0


def _listed(found: wire.Templates, settings: Settings) -> Iterator[str]:
    from room_mcp.plain import one_line

    for one in found.templates:
        yield f"{one_line(one.name)}{'' if one.built_in else ' (own)'}: {one_line(one.about)}"
    if all(one.built_in for one in found.templates) and not settings.url:
        yield f"Your own belong into {settings.templates}, a JSON file each."
    for problem in found.problems:
        yield f"Not usable: {one_line(problem)}"


def show(args: argparse.Namespace) -> int:
    return run(_show, args)


async def _show(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    found = await client.templates()
    document = next((one.contract for one in found.templates if one.name == args.name), None)
    if document is None:
        raise _unknown(args.name, found)
    # As exact as an export: in ASCII where it could act on a terminal.
    text = json.dumps(document, ensure_ascii=False, indent=2)
    print(text if text.replace("\n", "").isprintable() else json.dumps(document, indent=2))
    return 0


def _unknown(name: str, found: wire.Templates) -> Exception:
    broken = next((one for one in found.problems if one.startswith(f"{name}: ")), None)
    if broken is not None:
        return Failed(f"The template {broken}")
    known = ", ".join(one.name for one in found.templates)
    return WrongUse(f"There is no template {name[:100]!r}. Known templates: {known}.")


# ---- check --------------------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    if not args.json:
        for line in _meaning(given.contract_in(args.file), args.file):
            print(lines.fact(line))
        return 0
    try:
        answer = _row(given.contract_in(args.file))
    except Failed as error:
        print(json.dumps({"ok": False, "error": str(error)}, ensure_ascii=False))
        return FAILED
    print(json.dumps({"ok": True, **answer}, ensure_ascii=False))
    return 0


def _meaning(of: Contract, file: str) -> Iterator[str]:
    """What a template says, for whoever wrote it: one fact a line."""
    about = f": {of.about}" if of.about else ", which does not say what it is for"
    yield f"{file} is the template {of.template}{about}"
    yield from (rules.role(of, one) for one in of.roles.values())
    if not of.roles:
        yield "No roles: everybody may send everything."
    yield from rules.endings(of)
    for whose, allowance in (
        ("Budget", of.budget.room),
        ("Budget of each member", of.budget.member),
    ):
        limits = {"messages": allowance.messages, "bytes": allowance.size_bytes}
        if told := rules.allowance(limits, allowance.per_type):
            yield f"{whose}: {told}"
    yield f"Guard: {rules.guard(of.guard)}"
    for one in of.types.values():
        if one.example is not None:
            yield f"Body of {one.name}: {json.dumps(one.example, ensure_ascii=False)}"


def _row(of: Contract) -> dict[str, Any]:
    return {
        "name": of.template,
        "about": of.about,
        "roles": {
            one.name: {
                "min": one.min,
                "max": one.max,
                "may": None if one.may is None else list(one.may),
            }
            for one in of.roles.values()
        },
        "ends": rules.endings(of),
        "good": list(of.good),
        "examples": {one.name: one.example for one in of.types.values() if one.example is not None},
    }
