"""Whom `serve` lets in and how it is reached: its options, and what does not go together."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from room_mcp.serving import Listening, is_loopback, is_wildcard, machine_names, own_address

from . import Failed, WrongUse
from .options import port, seconds, store

if TYPE_CHECKING:
    from room_mcp.backend.gate import Door
    from room_mcp.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8750
PROXY_HERE = ("127.0.0.1", "::1")

_HOST_NAME = re.compile(r"[\w.\-]+|[0-9A-Fa-f:.]+", re.ASCII)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help=f"the address to listen on; 0.0.0.0 is every one (default {DEFAULT_HOST})",
    )
    parser.add_argument(
        "--port",
        type=port,
        default=DEFAULT_PORT,
        help=f"0 picks a free one (default {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--store",
        metavar="STORE",
        type=store,
        help="a file or postgresql://USER@HOST/DATABASE, by default ROOM_MCP_STORE",
    )
    who = parser.add_argument_group("who may come in")
    who.add_argument(
        "--require-key", action="store_true", help="only callers with a key: room-mcp keys, invite"
    )
    who.add_argument("--demo", action="store_true", help="demo rooms may be used without a key")
    who.add_argument(
        "--listed", action="store_true", help="list rooms that do not say whether they are listed"
    )
    how = parser.add_argument_group("beyond this machine")
    how.add_argument(
        "--tls-self-signed",
        action="store_true",
        help="encrypt with a certificate of its own, which invitations carry",
    )
    how.add_argument("--tls-cert", metavar="FILE", help="encrypt with this certificate, in PEM")
    how.add_argument("--tls-key", metavar="FILE", help="its key, in PEM")
    how.add_argument(
        "--public-url", metavar="URL", help="its https:// address where a proxy ends TLS for it"
    )
    how.add_argument(
        "--proxy-ip",
        metavar="IP",
        action="append",
        default=[],
        help="where that proxy is, if not on this machine; may be repeated",
    )
    how.add_argument(
        "--drain-seconds",
        metavar="S",
        type=seconds,
        default=0,
        help="after SIGTERM /readyz says no, and it goes on for so long, until whoever balances "
        "the load has seen that (default 0); a second signal ends it at once",
    )
    how.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a host name that it answers to besides its own; may be repeated",
    )


def door_of(args: argparse.Namespace) -> Door:
    """Whom the server lets in.

    Raises:
        WrongUse: Options that do not go together, or others could come in without a key.
    """
    from room_mcp.backend.gate import Door

    if args.demo and not args.require_key:
        raise WrongUse(
            "--demo lets callers in without a key, and here none needs one. Say --require-key too."
        )
    if args.public_url and not args.require_key:
        raise WrongUse("--public-url lets others in: say --require-key too.")
    if not (args.require_key or is_loopback(args.host)):
        raise WrongUse(
            f"--host {args.host} would let everybody in who reaches it. Say --require-key and "
            "--tls-self-signed too, then `room-mcp invite` for each machine; or serve this "
            "machine only, which another one reaches through a tunnel: "
            f"ssh -L {args.port}:127.0.0.1:{args.port} HOST"
        )
    return Door(
        requires_key=args.require_key,
        has_demo=args.demo,
        lists_rooms=args.listed or not args.require_key,
    )


def listening_of(args: argparse.Namespace, settings: Settings) -> Listening:
    """How the server is reached; its own certificate is made when it is wanted the first time.

    Raises:
        WrongUse: Options that do not go together, or keys would travel readable.
        Failed: The certificate or its key cannot be used.
    """
    names = tuple(_host_name(name) for name in args.allow_host)
    public_url = _public_url(args.public_url) if args.public_url else ""
    if args.proxy_ip and not public_url:
        raise WrongUse("--proxy-ip says where the proxy of --public-url is: say that too.")
    certificate, key = _certificate(args, settings, names)
    if not (certificate or public_url or is_loopback(args.host)):
        raise WrongUse(
            f"Keys would travel readable to --host {args.host}. Say --tls-self-signed, or "
            "--tls-cert and --tls-key; or --public-url https://… where a proxy ends TLS."
        )
    return Listening(
        host=args.host,
        port=args.port,
        certificate=certificate,
        private_key=key,
        public_url=public_url,
        proxy_ips=tuple(args.proxy_ip or PROXY_HERE) if public_url else (),
        names=names,
        pin=_pin(certificate) if certificate and not public_url else "",
        drain_s=args.drain_seconds,
    )


def _public_url(url: str) -> str:
    from room_mcp.settings import must_hold_no_secret

    must_hold_no_secret(url)
    try:
        parts = urlsplit(url)
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or url.rstrip("/").partition("://")[2] != urlsplit(url).netloc:
        raise WrongUse(
            f"--public-url {url!r} is not such an address: it begins with https:// and has no path."
        )
    return url.rstrip("/")


def _host_name(name: str) -> str:
    if not _HOST_NAME.fullmatch(name):
        raise WrongUse(f"--allow-host {name!r} is no host name; say it without scheme and port.")
    return name


def _certificate(
    args: argparse.Namespace, settings: Settings, names: tuple[str, ...]
) -> tuple[Path | None, Path | None]:
    if args.tls_self_signed:
        if args.tls_cert or args.tls_key:
            raise WrongUse("--tls-self-signed and --tls-cert exclude each other. Say one.")
        from room_mcp import certificates

        return certificates.own(settings.home / "tls", _own_names(args.host, names)), None
    if bool(args.tls_cert) != bool(args.tls_key):
        raise WrongUse("--tls-cert and --tls-key go together.")
    if not args.tls_cert:
        return None, None
    certificate, key = Path(args.tls_cert).expanduser(), Path(args.tls_key).expanduser()
    _must_be_a_pair(certificate, key)
    return certificate, key


def _own_names(host: str, names: tuple[str, ...]) -> set[str]:
    found = {"localhost", "127.0.0.1", "::1", own_address("0.0.0.0"), *machine_names(), *names}
    return found if is_wildcard(host) else {*found, host}


def _must_be_a_pair(certificate: Path, key: Path) -> None:
    import ssl

    try:
        # No password, else it would be asked for at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or "").replace("_", " ").lower() or "not readable"
        raise Failed(
            f"{certificate} and {key} cannot be used ({reason}). They are a certificate and its "
            "unencrypted key, both in PEM."
        ) from None
    except OSError as error:
        raise Failed(
            f"{certificate} or {key} cannot be read: {error.strerror}. Name two files."
        ) from None


def _pin(certificate: Path) -> str:
    """The certificate, where clients can only know it by heart."""
    from room_mcp import certificates

    pem = certificates.without_key(certificate.read_text("utf-8"))
    return pem if certificates.is_signed_by_itself(pem) else ""
