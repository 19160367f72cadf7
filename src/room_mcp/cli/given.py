"""Rules that somebody gives on the command line: as JSON, or as the file of a template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

from . import Failed, WrongUse

if TYPE_CHECKING:
    import argparse

    from room_mcp.rooms import Contract

EXAMPLES = {
    "--body": '{"verdict":"approved"}',
    "--budget": '{"messages":40}',
    "--guard": '{"on_stall":"close"}',
}


def object_from(text: str, option: str) -> dict[str, Any]:
    """The JSON object that stands behind an option; raises WrongUse."""
    example = EXAMPLES[option]
    try:
        found: object = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WrongUse(
            f"{option} is not JSON ({error}). Quote it for the shell, as in {option} '{example}'."
        ) from None
    if not isinstance(found, dict):
        raise WrongUse(f"{option} takes a JSON object, such as '{example}'.")
    return cast("dict[str, Any]", found)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def budget_from(args: argparse.Namespace) -> dict[str, Any] | None:
    return None if args.budget is None else object_from(args.budget, "--budget")


def guard_from(args: argparse.Namespace) -> dict[str, Any] | None:
    """What --guard replaces; `on` and `off` leave the thresholds as they are."""
    if args.guard in ("on", "off"):
        return {"on": args.guard == "on"}
    return None if args.guard is None else object_from(args.guard, "--guard")


def is_file(template: str) -> bool:
    """Whether what stands for a template is a file's path, and not a name."""
    return "/" in template or template.endswith(".json")


def contract_in(path: str) -> Contract:
    """The rules in a file; raises Failed with the place and what is wrong there."""
    from pathlib import Path

    from room_mcp.backend.templates import template_in
    from room_mcp.rooms import Refusal

    try:
        return template_in(Path(path))
    except Refusal as error:
        # Where a place is told, the advice is to call what was called here.
        advice = "" if "place" in error.facts else f" {error.advice}"
        raise Failed(f"{path}: {error.detail}{advice}") from None
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}.") from None
