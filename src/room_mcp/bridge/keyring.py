"""Member and owner keys of a shared server, kept in `<home>/keys/`, never in a model's context."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast


class Keyring:
    """The keys of one agent on one server. Embedded rooms need none: `url` is empty then."""

    def __init__(self, home: Path, url: str, agent: str) -> None:
        self._file = home / "keys" / f"{_who(url, agent)}.json" if url else None
        if self._file is not None and not agent.isascii():
            _take_over(home / "keys" / f"{_who_once(url, agent)}.json", self._file)
        self._rooms: dict[str, dict[str, str]] = self._read()

    @property
    def is_kept(self) -> bool:
        """Whether there is a server that asks for keys at all."""
        return self._file is not None

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
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():  # another process may keep keys of the same agent
            self._rooms = {**self._rooms, **self._read()}
            kept = self._rooms.setdefault(room_id, {})
            if member:
                kept["member"] = member
            if owner:
                kept["owner"] = owner
            self._write(self._file)

    @contextmanager
    def _locked(self) -> Generator[None]:
        assert self._file is not None
        lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, file: Path) -> None:
        temporary = file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            json.dump(self._rooms, written)
        temporary.replace(file)

    def _read(self) -> dict[str, dict[str, str]]:
        if self._file is None:
            return {}
        try:
            known: Any = json.loads(self._file.read_text("utf-8"))
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
