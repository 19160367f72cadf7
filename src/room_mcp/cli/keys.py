"""`room-mcp keys`: who may come in to a server, made, listed and shut out again."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from . import Failed
from .options import Commands, add_json, command
from .speaking import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

LONGEST = timedelta(days=36_500)  # what servers take is a little more
_DURATION = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "keys",
        "list who may come in to a server, let somebody in, or shut somebody out",
        list_keys,
        "Without more it lists them. On the machine of the server it needs no key itself; "
        "elsewhere an admin's.",
    )
    add_json(parser)
    below = parser.add_subparsers(title="more", metavar="WHAT", dest="what")
    listed = command(below, "list", "list all keys, revoked and expired ones too", list_keys)
    add_json(listed, again=True)
    made = command(
        below,
        "create",
        "make a key, and print it this once",
        create,
        "Its holder speaks as NAME or as NAME/…, such as NAME/claude. The key alone goes to "
        "stdout. A whole machine is let in more easily by `room-mcp invite`.",
    )
    made.add_argument("name", metavar="NAME", help="whom it stands for")
    made.add_argument(
        "--admin", action="store_true", help="may make keys and invitations, and end any room"
    )
    made.add_argument("--human", action="store_true", help="it is a person's")
    made.add_argument(
        "--expires",
        metavar="WHEN",
        type=expiry,
        help="30d, 12h or a date; by default it holds until it is revoked",
    )
    add_json(made, again=True)
    revoked = command(
        below, "revoke", "let a key let nobody in any more", revoke, "This cannot be undone."
    )
    revoked.add_argument("key", metavar="KEY", help="its id, or its name if no other has it")
    add_json(revoked, again=True)


def duration(text: str) -> timedelta:
    """A time as in 30d, 12h, 45m."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 30d, 12h or 45m")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def expiry(text: str) -> timedelta | datetime:
    """A time from now, or a date, which is one of this machine's zone."""
    if _DURATION.fullmatch(text.strip()):
        lasts = duration(text)
        if not timedelta(0) < lasts <= LONGEST:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no time that a key can last; without one it has no end"
            )
        return lasts
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time such as 30d or 12h nor a date such as 2027-01-31"
        ) from None


def moment(timestamp: str) -> str:
    """A time of the wire as people here read it."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M %Z}".strip()


# ---- make ---------------------------------------------------------------------------------------


def create(args: argparse.Namespace) -> int:
    return run(_create, args)


async def _create(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from .reading import show_json

    expires: timedelta | datetime | None = args.expires
    made = await client.keys.create(
        args.name,
        admin=args.admin,
        human=args.human,
        expires_at=expires if isinstance(expires, datetime) else None,
        expires_in_s=expires.total_seconds() if isinstance(expires, timedelta) else None,
    )
    if args.json:
        show_json(made)
        return 0
    print(made.key, flush=True)
    for line in _how_to_use(made, settings):
        print(line, file=sys.stderr)
    return 0


def _how_to_use(made: wire.KeyMade, settings: Settings) -> Iterator[str]:
    from room_mcp.plain import one_line
    from room_mcp.serving import noted

    from .door import DEFAULT_HOST, DEFAULT_PORT

    name = one_line(made.name)
    until = f"until {moment(made.expires_at)}" if made.expires_at else "until it is revoked"
    yield f"This is the key of {_kind(made)} {name}, {until}. It is not shown again."
    yield f"Its holder speaks as {name} or as {name}/…, such as {name}/claude."
    served = noted(settings.home)
    url = settings.url or (served.url if served else f"http://{DEFAULT_HOST}:{DEFAULT_PORT}")
    trusted = ""
    if served and served.pin and not settings.url:
        file = settings.home / "tls" / "certificate.pem"
        trusted = f" ROOM_MCP_CERTIFICATE={shlex.quote(str(file))}"
    yield f"With room-mcp:  ROOM_MCP_URL={url}{trusted} ROOM_MCP_KEY=…"
    yield f"With anything:  curl -H 'Authorization: Bearer …' {url}/agent/rooms"


def _kind(key: wire.Key) -> str:
    person = "the person" if key.kind == "human" else "the agent"
    return f"{person} and admin" if key.admin else person


# ---- list ---------------------------------------------------------------------------------------


def list_keys(args: argparse.Namespace) -> int:
    return run(_list, args)


async def _list(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    found = await client.keys.all()
    if args.json:
        rows = [key.model_dump(mode="json", by_alias=True) for key in found]
        print(json.dumps({"keys": rows}, ensure_ascii=False, separators=(",", ":")))
        return 0
    if not found:
        print("There are no keys. `room-mcp keys create NAME --admin` makes one.")
    for key in found:
        print(_row(key))
    return 0


def _row(key: wire.Key) -> str:
    from room_mcp.plain import one_line

    kind = "person" if key.kind == "human" else "agent"
    admin = ", admin" if key.admin else ""
    used = f"used {moment(key.used_at)}" if key.used_at else "never used"
    return f"{key.id}  {one_line(key.name)}  ({kind}{admin})  {_state(key)}, {used}"


def _state(key: wire.Key) -> str:
    if key.revoked_at:
        return f"revoked {moment(key.revoked_at)}"
    if not key.expires_at:
        return "valid"
    if not _is_valid(key):
        return f"expired {moment(key.expires_at)}"
    return f"valid until {moment(key.expires_at)}"


def _is_valid(key: wire.Key) -> bool:
    if key.revoked_at:
        return False
    ends = key.expires_at
    return ends is None or datetime.fromisoformat(ends) > datetime.now().astimezone()


# ---- revoke -------------------------------------------------------------------------------------


def revoke(args: argparse.Namespace) -> int:
    return run(_revoke, args)


async def _revoke(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    from room_mcp.plain import one_line

    from .reading import show_json

    chosen = _chosen(await client.keys.all(), args.key)
    key = await client.keys.revoke(chosen.id)
    if args.json:
        show_json(key)
        return 0
    print(f"{key.id} of {one_line(key.name)} lets nobody in any more.")
    return 0


def _chosen(keys: Sequence[wire.Key], said: str) -> wire.Key:
    """The key of that id, or the only valid one of that name."""
    from room_mcp.rooms import skeleton

    for key in keys:
        if key.id == said:
            return key
    named = [key for key in keys if skeleton(key.name) == skeleton(said)]
    valid = [key for key in named if _is_valid(key)]
    if len(valid) == 1:
        return valid[0]
    if valid:
        ids = ", ".join(key.id for key in valid)
        raise Failed(f"{said!r} has {len(valid)} valid keys. Say which by its id: {ids}.")
    if named:
        raise Failed(f"No key of {said!r} is valid any more.")
    raise Failed(f"There is no key {said!r}. `room-mcp keys list` shows them.")
