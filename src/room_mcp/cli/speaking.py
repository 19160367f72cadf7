"""Who speaks on the command line, and how its commands reach the backend."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from . import WrongUse

if TYPE_CHECKING:
    import argparse

    from room_mcp.bridge.keyring import Keyring
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

    Command = Callable[[RoomsClient, argparse.Namespace, Settings], Coroutine[Any, Any, int]]

RETRY_FOR_S = 3.0  # a person is looking; who follows a room is patient instead
NOBODY = "user"  # the name where the system's name for its user is none of ours


def run(command: Command, args: argparse.Namespace, *, patient: bool = False) -> int:
    """Run one room command with a client of the backend that the settings name.

    Args:
        patient: Keep trying for long when the backend cannot be reached.
    """
    import asyncio

    from room_mcp.client import RoomsClient
    from room_mcp.compose import open_client
    from room_mcp.settings import Settings

    settings = Settings.from_env()

    async def work() -> int:
        if settings.url and not patient:
            client = RoomsClient(settings.url, key=settings.key, retry_for_s=RETRY_FOR_S)
        else:
            client = open_client(settings)
        async with client:
            return await command(client, args, settings)

    return asyncio.run(work())


def chosen_name(args: argparse.Namespace, settings: Settings) -> str:
    """The name that somebody chose, by --as or ROOM_MCP_AGENT; empty when nobody did.

    Raises:
        Refusal: It is no name.
    """
    from room_mcp.rooms import member_name

    chosen = getattr(args, "speaker", None) or settings.agent
    return member_name(chosen) if chosen else ""


def speaker(args: argparse.Namespace, settings: Settings) -> str:
    """The name to speak under; by default the one that the system has for its user."""
    return chosen_name(args, settings) or user_name()


def user_name() -> str:
    """The system's name for its user, with what a name may not hold left out."""
    from room_mcp.rooms import Refusal, member_name

    try:
        name = re.sub(r"[^\w.\-]+", "-", getpass.getuser()).strip("-._")
        return member_name(name)
    except (OSError, KeyError, Refusal):
        return NOBODY


def must_be_a_person(otherwise: str = "Leave it out.") -> None:
    """Raises WrongUse unless somebody sits at a terminal; a program is no person."""
    if not sys.stdin.isatty():
        raise WrongUse(
            f"--human counts only when a person types: the input is no terminal. {otherwise}"
        )


def keyring(args: argparse.Namespace, settings: Settings) -> Keyring:
    """The keys that the speaker has on a shared server; embedded rooms need none."""
    from room_mcp.bridge.keyring import Keyring

    return Keyring(settings.home, settings.url, speaker(args, settings))


def keep(
    keys: Keyring,
    room_id: str,
    without: str,
    *,
    member: str | None = None,
    owner: str | None = None,
) -> None:
    """Keep a key for later commands; `without` tells what is lost when that fails."""
    try:
        keys.keep(room_id, member=member, owner=owner)
    except OSError as error:
        print(f"The key could not be kept ({error.strerror}): {without}", file=sys.stderr)
