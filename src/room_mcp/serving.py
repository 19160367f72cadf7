"""Where a server listens, by which names and addresses it is called, and how it is encrypted."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NOTE = "serving.json"


@dataclass(frozen=True, slots=True)
class Listening:
    """How a server is reached.

    Args:
        host: The address or name to bind to; 0.0.0.0 and :: are all addresses of the machine.
        port: 0 picks a free one.
        certificate: A PEM file, for TLS; without `private_key` it holds the key too.
        public_url: Where others find it, when something in front ends TLS for it.
        proxy_ips: The addresses of what is in front, whose X-Forwarded-For is believed.
        names: Host names that it answers to besides its own.
        pin: The certificate, in PEM, that clients have to know by heart; empty when an
            authority vouches for it, or something in front shows another one.
        drain_s: Seconds that it goes on after SIGTERM, not ready any more, so that what is in
            front sends nobody here when it stops.
    """

    host: str
    port: int
    certificate: Path | None = None
    private_key: Path | None = None
    public_url: str = ""
    proxy_ips: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    pin: str = ""
    drain_s: float = 0

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def is_on_all_addresses(self) -> bool:
        return is_wildcard(self.host)

    def url(self, port: int) -> str:
        """The address to call from here, once it is bound to that port."""
        host = own_address(self.host) if self.is_on_all_addresses else self.host
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def public_origin(self) -> str:
        """The origin of its pages as browsers say it; empty when nothing is in front."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(":443").strip(":/")

    @property
    def own_names(self) -> frozenset[str]:
        """Every name and address by which it may be called, in small letters."""
        names = {*LOOPBACK, *self.names}
        if self.public_url:
            names.add(urlsplit(self.public_url).hostname or "")
        if not is_loopback(self.host):
            names |= {*machine_names(), own_address(self.host)}
            if not self.is_on_all_addresses:
                names.add(self.host)
        else:
            names.add(self.host)
        return frozenset(name.lower() for name in names if name)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def machine_names() -> frozenset[str]:
    """The names by which others of the same network call this machine."""
    name = socket.gethostname().lower().rstrip(".")
    short = name.partition(".")[0]
    sound = short and name.isascii()
    return frozenset({name, short, f"{short}.local"} if sound else ())


def own_address(like: str) -> str:
    """The address of this machine from which it would call others; of loopback when it is alone.

    Args:
        like: An address of the same family.
    """
    six = ":" in like
    somewhere = "2001:db8::1" if six else "192.0.2.1"  # for documentation; nothing is sent
    family = socket.AF_INET6 if six else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            return probe.getsockname()[0]
    except OSError:
        return "::1" if six else "127.0.0.1"


# ---- what the server notes for `room-mcp invite` -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """A running server of this home: its address for others, its store, and what to pin."""

    url: str
    store: str
    pin: str
    pid: int

    def note(self, home: Path) -> None:
        """Tell `invite` on this machine where the server is."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = home / f".{NOTE}.{self.pid}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
        temporary.replace(home / NOTE)


def noted(home: Path) -> Served | None:
    """The server that runs here; None when none has noted that it does."""
    try:
        found: Any = json.loads((home / NOTE).read_text("utf-8"))
        return Served(str(found["url"]), str(found["store"]), str(found["pin"]), int(found["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(home: Path) -> None:
    """Take this process's note away."""
    served = noted(home)
    if served is not None and served.pid == os.getpid():
        (home / NOTE).unlink(missing_ok=True)
