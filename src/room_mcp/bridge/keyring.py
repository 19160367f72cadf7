"""Member and owner keys of a shared server, kept in `<home>/keys/`, never in a model's context."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast


class Keyring:
    """The keys of one agent on one server.

    Args:
        urls: What the server is known by; it may be known by one of these alone later. Embedded
            rooms need no keys, and have none.
    """

    def __init__(self, home: Path, urls: Sequence[str], agent: str) -> None:
        folder = home / "keys"
        files = {url: folder / f"{_who(url, agent)}.json" for url in urls}
        self._files = list(files.values())
        if not agent.isascii():
            for url, file in files.items():
                _take_over(folder / f"{_who_once(url, agent)}.json", file)
        self._rooms: dict[str, dict[str, str]] = self._read()
        if self._rooms and not all(file.exists() for file in self._files):
            with suppress(OSError):  # else with the next key
                self._keep()

    @property
    def is_kept(self) -> bool:
        """Whether there is a server that asks for keys at all."""
        return bool(self._files)

    @property
    def room_ids(self) -> list[str]:
        """The rooms that keys are kept for, the latest last."""
        return list(self._rooms)

    def member_key(self, room_id: str) -> str:
        return self._key(room_id, "member")

    def owner_key(self, room_id: str) -> str:
        return self._key(room_id, "owner")

    def _key(self, room_id: str, kind: str) -> str:
        if room_id not in self._rooms:
            self._rooms = {**self._rooms, **self._read()}  # another process may have it
        return self._rooms.get(room_id, {}).get(kind, "")

    def keep(self, room_id: str, *, member: str | None = None, owner: str | None = None) -> None:
        """Remember keys of a room; a restarted process speaks on under the same name."""
        if self._files:
            self._keep(room_id, {"member": member, "owner": owner})

    def _keep(self, room_id: str = "", keys: Mapping[str, str | None] | None = None) -> None:
        self._files[0].parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():  # another process may keep keys of the same agent
            self._rooms = {**self._rooms, **self._read()}
            if room_id:
                kept = self._rooms.setdefault(room_id, {})
                kept.update({kind: key for kind, key in (keys or {}).items() if key})
            for file in self._files:
                self._write(file)

    @contextmanager
    def _locked(self) -> Generator[None]:
        with ExitStack() as held:
            for file in sorted(self._files):  # so that nobody waits in a ring
                lock = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
                held.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, file: Path) -> None:
        temporary = file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            json.dump(self._rooms, written)
        temporary.replace(file)

    def _read(self) -> dict[str, dict[str, str]]:
        """What is in any of the files; the first goes before the others."""
        rooms: dict[str, dict[str, str]] = {}
        for file in reversed(self._files):
            for id, keys in _kept_in(file).items():
                rooms[id] = {**rooms.get(id, {}), **keys}
        return rooms


def _kept_in(file: Path) -> dict[str, dict[str, str]]:
    try:
        known: Any = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, dict[str, str]]", known) if isinstance(known, dict) else {}


def _who(url: str, agent: str) -> str:
    """The agent of a server as a file's name; one, however the agent's name is spelled."""
    from room_mcp.rooms import skeleton  # late: embedded rooms, whose host waits, need no keys

    return hashlib.sha256(f"{url}\n{skeleton(agent)}".encode()).hexdigest()[:32]


def _who_once(url: str, agent: str) -> str:
    """As `_who` was when names were compared by case and width alone."""
    from room_mcp.rooms.names import folded

    return hashlib.sha256(f"{url}\n{folded(agent)}".encode()).hexdigest()[:32]


def _take_over(old: Path, new: Path) -> None:
    """The keys of an agent whose name is compared by another form now; only if it has no others."""
    if old != new and not new.exists():
        with suppress(OSError):
            old.rename(new)
