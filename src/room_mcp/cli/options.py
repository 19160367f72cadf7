"""What the parsers of several commands share: how a command is added, its options and values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

MAX_PORT = 65_535

Commands = argparse._SubParsersAction  # pyright: ignore[reportPrivateUsage]  # argparse has no public name for it
Run = Callable[[argparse.Namespace], int]


def command(
    commands: Commands[argparse.ArgumentParser], name: str, help: str, run: Run, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command; `help` is its line in the list of commands, `more` what its own help adds."""
    sentence = f"{help[0].upper()}{help[1:]}."
    parser = commands.add_parser(
        name, help=help, description=f"{sentence} {more}".strip(), allow_abbrev=False
    )
    parser.set_defaults(run=run)
    return parser


def add_room(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", metavar="ROOM", help="its name, id or beginning of the id")


def add_speaker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="speaker",
        metavar="NAME",
        help="who speaks; by default ROOM_MCP_AGENT, your key's name or your user name",
    )


def add_human(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--human", action="store_true", help="a person types this; only at a terminal"
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget", metavar="JSON", help="""limits to replace, such as '{"messages":40}'"""
    )
    parser.add_argument(
        "--guard",
        metavar="JSON",
        help="""on, off, or what to replace, such as '{"on_stall":"close"}'""",
    )


def add_json(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """`again`: a command below one that has the option, too; it counts wherever it stands."""
    default = argparse.SUPPRESS if again else False
    parser.add_argument(
        "--json", action="store_true", default=default, help="answer as JSON, for scripts"
    )


# ---- values -------------------------------------------------------------------------------------


def store(text: str) -> str:
    """The address of a store, of a kind that is known."""
    from room_mcp.store_address import ADVICE, unknown

    if told := unknown(text):
        raise argparse.ArgumentTypeError(f"{told} {ADVICE}")
    return text


def seconds(text: str) -> float:
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def seq(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise argparse.ArgumentTypeError(f"{text!r} is no message number, such as 12 or #12")
    return int(digits)


def count(text: str) -> int:
    number = _number(text)
    if not (1 <= number <= 500 and number == int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 500")
    return int(number)


def path(text: str) -> str:
    if not re.fullmatch(r"(/[\w.~-]+)+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no path; it looks like /mcp")
    return text


def port(text: str) -> int:
    number = _number(text)
    if not (0 <= number <= MAX_PORT and number == int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to {MAX_PORT}")
    return int(number)


def part(text: str) -> tuple[str, str]:
    """A member's name and role."""
    name, sign, role = text.rpartition("=")
    if not (sign and name and role):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=ROLE, such as ann=author")
    return name, role


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
