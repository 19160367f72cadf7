"""Who speaks on the command line, and how its commands reach the backend."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
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

    from room_mcp.compose import open_client
    from room_mcp.settings import Settings
    from room_mcp.store_address import is_database

    settings = Settings.from_env()

    async def work() -> int:
        is_elsewhere = settings.url or is_database(settings.store)
        if is_elsewhere and not patient:
            client = open_client(settings, retry_for_s=RETRY_FOR_S)
        else:
            client = open_client(settings)
        async with client:
            known = await _known(client, args, settings)
            client.sees_unlisted = not settings.url
            if settings.url:
                client.room_keys = _KeysOf(args, known)
            return await command(client, args, known)

    return asyncio.run(work())


async def _known(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> Settings:
    """The settings, with whom our key stands for where somebody speaks who has not said as whom."""
    from room_mcp.failures import BackendRefused, NotOurs

    speaks = "speaker" in args and not chosen_name(args, settings)
    if not (speaks and client.has_key) or settings.principal:
        return settings
    try:
        key = (await client.keys.me()).key
    except (NotOurs, BackendRefused):  # the origin knows no keys; what is wrong is told anyway
        return settings
    return settings if key is None else replace(settings, principal=key.name)


def chosen_name(args: argparse.Namespace, settings: Settings) -> str:
    """The name that somebody chose, by --as or ROOM_MCP_AGENT; empty when nobody did.

    Raises:
        Refusal: It is no name.
    """
    from room_mcp.rooms import member_name

    chosen = getattr(args, "speaker", None) or settings.agent
    return member_name(chosen) if chosen else ""


def speaker(args: argparse.Namespace, settings: Settings) -> str:
    """The name to speak under; by default whom the key stands for, or the system's user."""
    return chosen_name(args, settings) or settings.principal or user_name()


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

    urls = (settings.url,) if settings.url else ()
    return Keyring(settings.home, urls, speaker(args, settings))


class _KeysOf:
    """The speaker's keys, read when a command first asks for one."""

    def __init__(self, args: argparse.Namespace, settings: Settings) -> None:
        self._args = args
        self._settings = settings
        self._keyring: Keyring | None = None

    def key(self, room_id: str) -> str:
        """The member's key, else the owner's, which shows what only the owner sees."""
        if self._keyring is None:
            self._keyring = keyring(self._args, self._settings)
        return self._keyring.member_key(room_id) or self._keyring.owner_key(room_id)


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
