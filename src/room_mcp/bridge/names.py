"""Names: given with each request, or held by a live process.

A process holds a name by an OS lock, so that a dead one holds none. A derived name that is held
counts up (`claude`, `claude-2`, …), and the one that this host and folder had last is tried first,
so that a restarted window is itself again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol, cast

MAX_COUNT = 99
JOINT = "-"  # between a name and its count


class NameHeld(Exception):
    """An explicit name belongs to another live process."""


class Nameless(Exception):
    """A caller that has not said who it is wants to do what only a known one may."""


class Names(Protocol):
    """Under which name an agent speaks."""

    @property
    def held(self) -> str | None:
        """The name that is held, or None."""
        ...

    def hold(self, name: str, *, exact: bool, above: int = 0, joint: str = JOINT) -> str:
        """Hold the name, or one counted up from it; the same one until `release`."""
        ...

    def likely(self, name: str, *, joint: str = JOINT) -> str:
        """The name that `hold` would get now; nothing is held."""
        ...

    def release(self) -> None: ...


class GivenName:
    """The name that each request brings with it; nothing is held between them.

    Args:
        name: Empty when the caller did not say who it is.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def held(self) -> str | None:
        return self._name or None

    def hold(self, name: str, *, exact: bool, above: int = 0, joint: str = JOINT) -> str:
        """The given name, whatever is asked for; raises Nameless when there is none."""
        if not self._name:
            raise Nameless
        return self._name

    def likely(self, name: str, *, joint: str = JOINT) -> str:
        return self._name

    def release(self) -> None:
        """There is nothing to give back."""


class HeldNames:
    """The names of one machine's agents, kept in `<home>/names/`.

    Args:
        home: The folder of room-mcp.
        place: What tells this window from others of its host: host name and working folder.
    """

    def __init__(self, home: Path, place: str) -> None:
        self._folder = home / "names"
        self._place = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._held: tuple[str, int] | None = None

    @property
    def held(self) -> str | None:
        """The name that this process holds, or None."""
        return self._held[0] if self._held else None

    def hold(self, name: str, *, exact: bool, above: int = 0, joint: str = JOINT) -> str:
        """Hold the name, or one counted up from it; the same one until `release`.

        Args:
            above: Skip this many candidates: somebody elsewhere has them.
            joint: What stands between the name and its count.

        Raises:
            NameHeld: `exact` is set and another process holds it; or all are held.
            OSError: The folder cannot be used.
        """
        if self._held is not None:
            return self._held[0]
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for candidate in [name] if exact else self._candidates(name, joint)[above:]:
            if (descriptor := self._locked(candidate)) is not None:
                self._held = (candidate, descriptor)
                if not exact:
                    self._remember(name, candidate)
                return candidate
        raise NameHeld(
            f"The name {name!r} is held by another live process of this machine. Close that one, "
            "or start this one under another name with --agent NAME."
        )

    def likely(self, name: str, *, joint: str = JOINT) -> str:
        """The name that `hold` would get now; nothing is held."""
        if self._held is not None:
            return self._held[0]
        if not self._folder.exists():
            return name
        for candidate in self._candidates(name, joint):
            if (descriptor := self._locked(candidate)) is not None:
                os.close(descriptor)
                return candidate
        return name

    def release(self) -> None:
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    def _candidates(self, name: str, joint: str) -> list[str]:
        counted = [name, *(f"{name}{joint}{count}" for count in range(2, MAX_COUNT + 1))]
        last = self._last().get(name)
        return counted if last not in counted else [last, *(one for one in counted if one != last)]

    def _locked(self, name: str) -> int | None:
        """A descriptor that holds the lock of the name, or None when another process does."""
        # Named by hash: a name may hold characters that a file name may not.
        file = hashlib.sha256(compared(name).encode()).hexdigest()[:32]
        descriptor = os.open(self._folder / f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def _last(self) -> dict[str, str]:
        try:
            known: Any = json.loads((self._folder / f"{self._place}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, str]", known) if isinstance(known, dict) else {}

    def _remember(self, name: str, candidate: str) -> None:
        """A convenience: where it cannot be written, the next start counts from the beginning."""
        known = {**self._last(), name: candidate}
        target = self._folder / f"{self._place}.json"
        with contextlib.suppress(OSError):
            temporary = target.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(known), "utf-8")
            temporary.replace(target)


def compared(name: str) -> str:
    """The name as rooms compare it."""
    if name.isascii():
        return name.lower()
    from room_mcp.rooms import skeleton  # late: a host waits for the start, few names need it

    return skeleton(name)
