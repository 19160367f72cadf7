"""`invite`, `connect`, `disconnect`: another machine joins a server by one line.

The line holds the server's address, a code that works once, and, where no authority vouches for
the server, the fingerprint of its certificate.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import Failed, WrongUse, lines
from .keys import duration, moment
from .options import Commands, add_json, command
from .speaking import RETRY_FOR_S, run, user_name

if TYPE_CHECKING:
    from pathlib import Path

    from room_mcp import wire
    from room_mcp.client import RoomsClient
    from room_mcp.connected import Connected
    from room_mcp.settings import Settings

VERSION = "rkc1_"
WORKS_FOR = "1h"
LONGEST = timedelta(days=30)

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?:[\w.\-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Token:
    """What the line holds; `fingerprint` is empty where authorities vouch for the server."""

    url: str
    code: str
    fingerprint: bytes = b""

    def __str__(self) -> str:
        parts = {"u": self.url, "c": self.code, "f": _base64(self.fingerprint)}
        compact = json.dumps(
            {key: part for key, part in parts.items() if part}, separators=(",", ":")
        )
        return VERSION + _base64(compact.encode())


def token_in(text: str) -> Token:
    """Raises WrongUse when the text is none."""
    text = text.strip()
    if not text.startswith(VERSION):
        raise WrongUse(
            f"An invitation begins with {VERSION}; `room-mcp invite` on the server's machine "
            "prints one. If yours begins otherwise, upgrade room-mcp here."
        )
    try:
        parts: Any = json.loads(_bytes(text.removeprefix(VERSION)))
        token = Token(str(parts["u"]), str(parts["c"]), _bytes(str(parts.get("f", ""))))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise WrongUse(
            "The invitation is not whole. Copy all of it; it is one word without spaces."
        ) from None
    if not _is_safe(token.url):
        raise WrongUse(
            "The invitation names no encrypted address, and keys would travel readable. Ask for "
            "another one."
        )
    return token


def _is_safe(url: str) -> bool:
    """Whether a key may travel there: by TLS, or to this machine itself."""
    match = _ADDRESS.fullmatch(url)
    return match is not None and (match["scheme"] == "https" or _is_local(url))


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)


# ---- invite -------------------------------------------------------------------------------------


def add_invite(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "invite",
        "print the one line that connects another machine to this server",
        invite,
        "The line works once. Without a name it is for yourself: there you have the same name "
        "as here, and your agents are NAME/claude, NAME/codex and so on.",
    )
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--human", metavar="NAME", help="for another person, and his agents")
    whom.add_argument("--agent", metavar="NAME", help="for one agent, which speaks as NAME")
    parser.add_argument(
        "--expires",
        metavar="WHEN",
        type=_expiry,
        default=WORKS_FOR,
        help=f"how long the line works, such as 10m or 2d (default {WORKS_FOR})",
    )
    parser.add_argument("--url", metavar="URL", help="the address by which it reaches the server")
    add_json(parser)


def _expiry(text: str) -> timedelta:
    lasts = duration(text)
    if lasts > LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is too long: at most {LONGEST.days}d")
    return lasts


def invite(args: argparse.Namespace) -> int:
    return run(_invite, args)


async def _invite(client: RoomsClient, args: argparse.Namespace, settings: Settings) -> int:
    url, fingerprint = _address(args, settings)
    name = args.agent or args.human or settings.principal or user_name()
    invited = await client.keys.invite(
        name, human=not args.agent, expires_in_s=args.expires.total_seconds()
    )
    line = f"room-mcp connect {Token(url, invited.code, fingerprint)}"
    if args.json:
        told = {"command": line, "url": url, **invited.model_dump(mode="json", by_alias=True)}
        print(json.dumps(told, ensure_ascii=False, separators=(",", ":")))
        return 0
    print(line, flush=True)
    print(_meaning(invited, url), file=sys.stderr)
    if _is_local(url):
        print(
            f"{url} is an address of this machine alone: another one reaches it only through a "
            "tunnel. Serve with --host 0.0.0.0, or say --url.",
            file=sys.stderr,
        )
    return 0


def _meaning(invited: wire.Invited, url: str) -> str:
    from room_mcp.plain import one_line

    name = one_line(invited.name)
    who = f"{name}, whose agents are {name}/claude and so on"
    if invited.kind == "agent":
        who = f"the agent {name}"
    return (
        f"Run it on the other machine, once, until {moment(invited.expires_at)}: it is for {who}, "
        f"at {url}. Whoever has the line can use it, so send it as you would a password."
    )


def _address(args: argparse.Namespace, settings: Settings) -> tuple[str, bytes]:
    """The server's address for others, and the fingerprint of a certificate to be pinned."""
    from room_mcp import certificates
    from room_mcp.serving import noted
    from room_mcp.store_address import shown

    said = _url(args.url) if args.url else ""
    if settings.url:
        pem = settings.certificate
        return said or settings.url, certificates.fingerprint(pem) if pem else b""
    served = noted(settings.home)
    if served is not None and served.store != (here := shown(settings.store)):
        raise Failed(
            f"The server that runs here serves {served.store}, and these are the keys of {here}. "
            "Set ROOM_MCP_STORE to the store that it serves."
        )
    if served is None and not said:
        raise Failed(
            "No server runs here that others could come to. Start one: room-mcp serve --host "
            "0.0.0.0 --require-key --tls-self-signed. If it runs in another way, say its --url."
        )
    pin = served.pin if served else ""
    return said or (served.url if served else ""), certificates.fingerprint(pin) if pin else b""


def _url(text: str) -> str:
    from room_mcp.settings import must_hold_no_secret

    must_hold_no_secret(text)
    url = text.rstrip("/")
    if not _is_safe(url):
        raise WrongUse(
            f"--url {text!r} is no address to send keys to: it begins with https:// and has no "
            "path."
        )
    return url


def _is_local(url: str) -> bool:
    from room_mcp.serving import is_loopback

    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


# ---- connect ------------------------------------------------------------------------------------


def add_connect(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "connect",
        "connect this machine to a server, by the line that `invite` printed there",
        connect,
        "Then it registers room-mcp with the hosts found here, as `room-mcp install` does.",
    )
    parser.add_argument("code", metavar="CODE", help=f"the word that begins with {VERSION}")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="only these, found or not")
    parser.add_argument("--no-install", action="store_true", help="register with no host")


def connect(args: argparse.Namespace) -> int:
    import asyncio

    token = token_in(args.code)
    home = _free_home()
    asyncio.run(_connect(token, home))
    return 0 if args.no_install else _install(args.hosts)


def _free_home() -> Path:
    """The home folder, where nothing says yet that the rooms are elsewhere."""
    from room_mcp.settings import KEY, STORE, URL, Settings

    settings = Settings.from_env()
    for setting in (URL, STORE, KEY):
        if os.environ.get(setting.name, "").strip():
            raise WrongUse(
                f"{setting.name} is set, and what is set counts more than a connection. Unset it "
                "first, also in the files of hosts."
            )
    if settings.is_connected:
        raise WrongUse(
            f"This machine is connected to {settings.url} already. `room-mcp disconnect` ends that."
        )
    return settings.home


async def _connect(token: Token, home: Path) -> None:
    from room_mcp.client import RoomsClient
    from room_mcp.connected import Connected, connecting
    from room_mcp.failures import OutcomeUnknown
    from room_mcp.plain import one_line

    certificate = _certificate(token)
    with connecting(home) as draft:
        client = RoomsClient(token.url, certificate=certificate, retry_for_s=RETRY_FOR_S)
        async with client:
            try:
                made = await client.keys.redeem(token.code)
            except OutcomeUnknown as error:
                raise Failed(
                    f"{error.detail} The invitation may be used up; try once more, and else ask "
                    "for another one."
                ) from None
        agent = made.name if made.kind == "agent" else ""
        kept = Connected(token.url, made.key, made.name, agent, certificate)
        draft.keep(kept)
    name = one_line(made.name)
    speaks = name if agent else f"{name}, and its agents as {name}/claude and so on"
    print(f"This machine is connected to {token.url}. It speaks there as {speaks}.")
    print(f"The key is kept in {home}, readable by you alone. `room-mcp disconnect` gives it back.")


def _certificate(token: Token) -> str:
    """The certificate that the server shows, once it is known to be the one that was meant."""
    from room_mcp import certificates

    parts = urlsplit(token.url)
    if not token.fingerprint or parts.scheme != "https":
        return ""
    try:
        pem = certificates.shown_by(parts.hostname or "", parts.port or 443)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise Failed(
            f"{token.url} cannot be reached ({reason}). Nothing was sent. See that the server "
            "runs, and that this machine can reach that address."
        ) from None
    if not hmac.compare_digest(certificates.fingerprint(pem), token.fingerprint):
        raise Failed(
            f"{token.url} shows another certificate than the invitation says: its SHA-256 is "
            f"{certificates.shown(certificates.fingerprint(pem))}. Nothing was sent. Somebody may "
            "stand in between; ask whoever invited you."
        )
    return pem


def _install(names: list[str]) -> int:
    """Register with the hosts, whose files get neither address nor key: both stand in our home."""
    from room_mcp.installing.hosts import HOSTS, is_here
    from room_mcp.installing.machine import this_machine

    from . import install

    machine = this_machine()
    if not names and not any(is_here(host, machine) for host in HOSTS):
        print("No host was found here. `room-mcp install HOST` registers with one; that is all.")
        return 0
    options = argparse.Namespace(
        hosts=names,
        agent=None,
        scope="user",
        uninstall=False,
        dry_run=False,
        show=False,
        json=False,
    )
    return install.run_on(machine, options)


# ---- disconnect ---------------------------------------------------------------------------------


def add_disconnect(commands: Commands[argparse.ArgumentParser]) -> None:
    command(
        commands,
        "disconnect",
        "end what `connect` began: this machine has rooms of its own again",
        disconnect,
        "Its key is given back, so that it lets nobody in any more.",
    )


def disconnect(args: argparse.Namespace) -> int:
    import asyncio

    from room_mcp import connected
    from room_mcp.settings import home_in

    home = home_in(os.environ)
    try:
        kept = connected.connected(home)
    except ValueError:
        kept = None  # whatever it holds, it shall be gone
    if kept is None and not (home / connected.FILE).exists():
        print("This machine is connected to no server.")
        return 0
    given_back = kept is not None and asyncio.run(_give_back(kept))
    connected.disconnect(home)
    where = lines.fact(kept.url) if kept else "the server"
    print(f"This machine is disconnected from {where}: its rooms are in {home} again.")
    if kept and not given_back:
        from room_mcp.plain import one_line

        print(
            f"The key of {one_line(kept.name)} is still valid there; whoever runs the server "
            f"revokes it: room-mcp keys revoke {kept.key[:12]}",
            file=sys.stderr,
        )
    print("Restart open hosts. To come back, ask for a new line from `room-mcp invite`.")
    return 0


async def _give_back(kept: Connected) -> bool:
    """Revoke the key; False when that did not work."""
    from room_mcp.client import RoomsClient
    from room_mcp.failures import BackendError

    client = RoomsClient(kept.url, key=kept.key, certificate=kept.certificate, retry_for_s=0)
    async with client:
        try:
            me = await client.keys.me()
            if me.key is not None:
                await client.keys.revoke(me.key.id)
        except BackendError as error:
            return getattr(error, "code", "") == "key_invalid"
    return me.key is not None
