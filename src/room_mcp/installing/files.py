"""Reads and replaces config files that belong to somebody else: with a backup, all or nothing."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from .merging import CannotMerge

BACKUP = ".room-mcp-backup"
PRIVATE = 0o600  # a new file of one person may hold a key

_BOM = "\ufeff"


def read(path: Path) -> str | None:
    """The file's text with its line ends and byte order mark; None when there is no file.

    Raises:
        CannotMerge: It is not text in UTF-8, or may not be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise CannotMerge("it is not text in UTF-8") from None
    except OSError as error:
        raise CannotMerge(f"it cannot be read: {error.strerror}") from None


def without_mark(text: str) -> tuple[str, str]:
    """The byte order mark, or nothing, and the text behind it."""
    return (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)


def replace(path: Path, old: str | None, new: str, *, private: bool) -> Path | None:
    """Write `new` where `old` was read, keeping the file's mode and following links.

    Args:
        private: Whether a file that is new is for its owner's eyes only.

    Returns:
        The backup of what was there; None when the file is new.

    Raises:
        CannotMerge: Somebody changed the file since it was read, or it cannot be written.
    """
    try:
        real = path.resolve()
        real.parent.mkdir(parents=True, exist_ok=True)
        if read(real) != old:
            raise CannotMerge("another program has just changed it; run the command again")
        backup = None if old is None else _back_up(path, real, old)
        _write(real, new, mode=_mode(real, private=private))
    except OSError as error:
        raise CannotMerge(f"it cannot be written: {error.strerror}") from None
    return backup


def _mode(real: Path, *, private: bool) -> int:
    if real.exists():
        return stat.S_IMODE(real.stat().st_mode)
    if private:
        return PRIVATE
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _back_up(path: Path, real: Path, text: str) -> Path:
    """Copy the file beside itself under a name that is free, so the first copy is never lost."""
    number = 1
    while True:
        backup = path.with_name(path.name + BACKUP + (f"-{number}" if number > 1 else ""))
        try:
            handle = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), _mode(real, private=True))
            stream.write(text.encode())
        return backup


def _write(real: Path, text: str, *, mode: int) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, real)
    except BaseException:
        os.unlink(name)
        raise
