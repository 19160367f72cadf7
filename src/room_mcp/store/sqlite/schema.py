"""Opens the database file: the folder, the file, the checks, the migrations."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import NamedTuple

import apsw

from ..interface import StoreBusy, StoreUnavailable
from . import connection
from .connection import Database
from .file_lock import FileLock
from .files import Files, Place
from .migrating import migrate

SECRET_BYTES = 32
MOUNTS = Path("/proc/self/mountinfo")  # Linux; elsewhere only the answer to WAL tells

# WAL keeps its index in memory that all processes map; these file systems do not share it, or
# lie about locks. Local FUSE file systems (fuseblk, fuse.ntfs-3g) are fine.
_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs"),
        *("glusterfs", "ncpfs", "beegfs", "orangefs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph", "fuse.cephfs", "fuse.davfs"),
        *("fuse.curlftpfs", "fuse.smbnetfs", "fuse.goofys", "fuse.blobfuse", "fuse.moosefs"),
    )
)

_ELSEWHERE = "Keep the store on a local disk (ROOM_MCP_HOME), or set ROOM_MCP_URL to a server."


class Opened(NamedTuple):
    """`epoch` names this copy of the store; `secret` is random, and never leaves it; `files` are
    those that the connection has open."""

    db: Database
    epoch: str
    secret: bytes
    files: Files


def prepare_folder(path: Path) -> None:
    """Make the folder for the store, for its owner alone.

    Raises:
        StoreUnavailable: It cannot be made, or lies on a network file system.
    """
    folder = path.parent
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        for one in reversed(missing):
            one.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"The folder {folder} cannot be made: {error.strerror}.",
            advice="Make it yourself, or name another file (ROOM_MCP_HOME, --store).",
        ) from error
    kind = _file_system(folder)
    if kind in _NETWORK:
        raise StoreUnavailable(
            f"{folder} is on a network file system ({kind}); processes that share a store "
            "there can corrupt it.",
            advice=_ELSEWHERE,
        )


def lock_beside(path: Path) -> FileLock:
    """The lock of the store in this file. Raises StoreUnavailable."""
    return FileLock(path.with_name(path.name + ".lock"))


def open_locked(path: Path, *, making: bool = True) -> Opened:
    """The writer's connection to a store that is up to date; the caller holds the file lock.

    Args:
        making: A file that is not there is made.

    Raises:
        StoreUnavailable, StoreBusy: With advice.
    """
    try:
        if making:
            _create_file(path)
        db = connection.connect_writer(path)
    except apsw.Error as error:
        raise connection.trouble(error, path) from error
    try:
        place, before = Place(path), Place(path).files()
        _use_wal(db, path)
        db.pragma("data_version")  # SQLite opens the WAL with the first look into the file
        files = place.files()
        migrate(db, path)
        # What a crashed process wrote but did not sync must be safe before anybody is told of it.
        db.checkpoint(emptying=False)
        epoch = db.value("SELECT value FROM meta WHERE name = 'epoch'")
        secret = _secret(db)
        is_the_same = all(was in (now, None) for was, now in zip(before, files, strict=True))
        if place.files() != files or not is_the_same:
            raise StoreBusy(
                f"Files of {path} vanished while it was opened; nothing was stored.",
                advice="Try again.",
            )
    except apsw.Error as error:
        db.close()
        raise connection.trouble(error, path) from error
    except BaseException:
        db.close()
        raise
    return Opened(db, str(epoch), secret, files)


def _create_file(path: Path) -> None:
    """Make the file readable by its owner only. An existing file is never opened here."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be made: {error.strerror}.",
            advice="Check the folder's permissions, or name another file.",
        ) from error


def _use_wal(db: Database, path: Path) -> None:
    answer = db.pragma("journal_mode", "WAL")
    if answer != "wal":
        raise StoreUnavailable(
            f"The disk with {path} does not let processes share a database "
            f"(journal mode {answer}).",
            advice=_ELSEWHERE,
        )


def _secret(db: Database) -> bytes:
    """The store's secret; whoever opens it first makes it."""
    kept = db.value("SELECT value FROM meta WHERE name = 'secret'")
    if kept is None:
        kept = secrets.token_hex(SECRET_BYTES)
        db.run("INSERT INTO meta (name, value) VALUES ('secret', ?)", (kept,))
    return bytes.fromhex(kept)


def _file_system(folder: Path) -> str:
    """The kind of file system a folder is on; empty where nobody can tell."""
    if sys.platform != "linux":
        return ""
    try:
        mounts = MOUNTS.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    at = os.path.realpath(folder)
    best, kind = "", ""
    for line in mounts.splitlines():
        # 36 35 98:0 /root /mount/point options … - type source options
        fields, _, tail = line.partition(" - ")
        point = _unescaped(fields.split(" ")[4])
        inside = at == point or at.startswith(point.rstrip("/") + "/")
        # The last mount on a point hides the ones before it.
        if inside and len(point) >= len(best):
            best, kind = point, tail.split(" ")[0]
    return kind


def _unescaped(point: str) -> str:
    """A path of the mount table; spaces, tabs, newlines and backslashes are octal there."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, char)
    return point
