"""The server that this machine was connected to: a file of its home that its owner alone reads."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

FILE = "connection.json"


@dataclass(frozen=True, slots=True)
class Connected:
    """What `room-mcp connect` got.

    `name` is whom the key stands for; an agent's key also gives its `agent` the name to speak
    under. `certificate` is the PEM of the only one that is trusted; empty where authorities are.
    """

    url: str
    key: str
    name: str
    agent: str = ""
    certificate: str = ""


def connected(home: Path) -> Connected | None:
    """What stands in the file; None when there is none.

    Raises:
        ValueError: It holds something else.
    """
    try:
        text = (home / FILE).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(error.strerror) from None
    try:
        found: Any = json.loads(text)
        kept = {one: found.get(one, "") for one in Connected.__slots__}
    except (ValueError, AttributeError):
        raise ValueError("it is not what `room-mcp connect` writes") from None
    if not all(isinstance(one, str) for one in kept.values()) or not kept["url"]:
        raise ValueError("it is not what `room-mcp connect` writes")
    return Connected(**kept)


class Draft:
    """A file that is written, and does not stand yet."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def keep(self, made: Connected) -> None:
        json.dump(asdict(made), self._file)
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def connecting(home: Path) -> Generator[Draft]:
    """Where to keep a connection: it stands once all has gone well, whole or not at all.

    The file is opened first, so that no code is used up for a key that cannot be kept.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = home / f".{FILE}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield Draft(file)
        temporary.replace(home / FILE)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def disconnect(home: Path) -> None:
    (home / FILE).unlink(missing_ok=True)
