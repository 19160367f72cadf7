"""What `doctor` looks at on this machine, one function for each; none of them raises."""

from __future__ import annotations

import os
import platform
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from room_mcp.store_address import is_database, path_in, shown

from .doctor import FAIL, OK, WARN, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from room_mcp.client import RoomsClient
    from room_mcp.settings import Settings

OLDEST_PYTHON = (3, 11)
LOCK_PATIENCE_S = 2.0  # a write transaction takes milliseconds
LOCK_POLL_S = 0.02


def python() -> Finding:
    detail = f"Python {platform.python_version()} on {platform.system()}, {sys.executable}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", FAIL, detail, "Install Python 3.11 or newer.")
    if sys.platform == "win32":
        return Finding("python", WARN, detail, "Windows has no store yet: use WSL or a server.")
    return Finding("python", OK, detail)


def home(settings: Settings) -> Finding:
    """The folder of rooms, names and keys: there, ours to write, and closed to others."""
    folder = settings.home
    if not folder.exists():
        return Finding("home", OK, f"{folder} does not exist yet; the first room makes it.")
    if not folder.is_dir():
        return Finding("home", FAIL, f"{folder} is not a folder.", "Set ROOM_MCP_HOME to one.")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "home",
            FAIL,
            f"{folder} cannot be written (mode {mode:o}).",
            "Give it to your user, or set ROOM_MCP_HOME to another folder.",
        )
    if mode & 0o077:
        return Finding(
            "home",
            WARN,
            f"Other users can open {folder} (mode {mode:o}).",
            f"chmod 700 {folder}",
        )
    return Finding("home", OK, f"{folder} (mode {mode:o})")


def sqlite(settings: Settings) -> Finding:
    from room_mcp.store.interface import StoreError

    try:
        import apsw

        from room_mcp.store.sqlite.connection import must_be_sound

        must_be_sound()
    except ImportError as error:
        return Finding("sqlite", FAIL, f"apsw cannot be loaded: {error}.", "pip install apsw")
    except StoreError as error:
        return Finding("sqlite", FAIL, error.detail, error.advice)
    return Finding("sqlite", OK, f"SQLite {apsw.sqlite_lib_version()}, apsw {apsw.apsw_version()}")


def postgres(settings: Settings) -> Finding:
    """The database of the store lets us in."""
    import asyncio

    from room_mcp.store.interface import StoreError
    from room_mcp.store.opening import asyncpg_wanted

    try:
        with asyncpg_wanted():
            from room_mcp.store.postgres.census import server
        found = asyncio.run(server(settings.store))
    except StoreError as error:
        return Finding("postgres", FAIL, error.detail, error.advice)
    if found.doubts:
        detail = " ".join((f"{found.told}.", *found.doubts))
        return Finding("postgres", WARN, detail, "Turn on what is off; let NTP keep clocks.")
    return Finding("postgres", OK, found.told)


def _lets_in(settings: Settings, *, without: Sequence[str] = ()) -> bool:
    """Whether the database does, when these variables are not set."""
    kept = {name: os.environ.pop(name) for name in without if name in os.environ}
    try:
        return postgres(settings).status != FAIL
    finally:
        os.environ.update(kept)


def lock(settings: Settings) -> Finding:
    """The lock that all processes on one store queue for can be had soon."""
    from room_mcp.store.interface import StoreError
    from room_mcp.store.sqlite.file_lock import FileLock

    store = path_in(settings.store)
    if store is None:
        return Finding("lock", OK, f"{shown(settings.store)} has none.")
    path = store.with_name(store.name + ".lock")
    if not path.exists():
        return Finding("lock", OK, f"{path} does not exist yet; the first room makes it.")
    try:
        file_lock = FileLock(path)
    except (OSError, StoreError) as error:
        return Finding("lock", FAIL, f"{path} cannot be opened: {error}.", "Check its owner.")
    try:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not file_lock.try_acquire():
            if time.monotonic() > deadline:
                return _held_lock(path)
            time.sleep(LOCK_POLL_S)
        file_lock.release()
    finally:
        file_lock.close()
    return Finding("lock", OK, f"{path} is free.")


def _held_lock(path: Path) -> Finding:
    holders, waiters = _lock_users(path)
    held = f" by {', '.join(holders)}" if holders else ""
    queue = f" Waiting: {', '.join(waiters)}." if waiters else ""
    return Finding(
        "lock",
        FAIL,
        f"{path} has been held for {LOCK_PATIENCE_S:.0f} s{held}; nobody else can write.{queue}",
        "See what that process does; if it hangs, end it. The lock goes with it.",
    )


def _lock_users(path: Path) -> tuple[list[str], list[str]]:
    """Who holds the lock and who waits for it, where the system tells (Linux)."""
    holders: list[str] = []
    waiters: list[str] = []
    try:
        inode = str(path.stat().st_ino)
        table = Path("/proc/locks").read_text("ascii", errors="replace")
    except OSError:
        return holders, waiters
    for line in table.splitlines():
        # 1: [->] FLOCK ADVISORY WRITE pid major:minor:inode start end
        words = line.split()[1:]
        waits = words[:1] == ["->"]
        words = words[1:] if waits else words
        if len(words) >= 5 and words[0] == "FLOCK" and words[4].rpartition(":")[2] == inode:
            (waiters if waits else holders).append(_process(words[3]))
    return holders, [one for one in waiters if one != _process(str(os.getpid()))]


def _process(pid: str) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name})"


def backend(settings: Settings) -> Finding:
    """The store opens, or the server answers and lets us in; and which of them it is, and why."""
    import asyncio

    from room_mcp.compose import open_client
    from room_mcp.failures import BackendError

    async def asked() -> str:
        is_elsewhere = settings.url or is_database(settings.store)
        client = open_client(settings, retry_for_s=0) if is_elsewhere else open_client(settings)
        async with client:
            who = await _who(client, settings)
            found = await client.rooms(closed=False)
            more = "+" if found.next_cursor else ""
            return f"{len(found.rooms)}{more} open rooms{who}"

    where, why = _where(settings)
    try:
        told = asyncio.run(asked())
    except BackendError as error:
        return Finding("backend", FAIL, f"{where} ({why}): {error.detail}", error.advice)
    return Finding("backend", OK, f"{where} ({why}) answers: {told}{_encrypted(settings)}")


def _where(settings: Settings) -> tuple[str, str]:
    """Where the rooms are, and what says so."""
    if settings.is_connected:
        return settings.url, "by `room-mcp connect`"
    if settings.url:
        return settings.url, "by ROOM_MCP_URL"
    kind = "a database" if is_database(settings.store) else "a file of this machine"
    return shown(settings.store), kind


async def _who(client: RoomsClient, settings: Settings) -> str:
    """As whom the server knows us; raises BackendError when the key lets nobody in."""
    if not (settings.url and settings.key):
        return ""
    from room_mcp.failures import NotOurs
    from room_mcp.plain import one_line

    try:
        me = await client.keys.me()
    except NotOurs:
        return ""  # a server that has only the origin's calls
    if me.key is None:
        return "; it takes no notice of the key"
    until = f", until {me.key.expires_at[:10]}" if me.key.expires_at else ""
    return f"; the key is valid, of {one_line(me.key.name)}{until}"


def _encrypted(settings: Settings) -> str:
    if not settings.certificate:
        return ""
    from room_mcp import certificates

    shown = certificates.shown(certificates.fingerprint(settings.certificate))
    return f"; its certificate is the one that is trusted, SHA-256 {shown}"


def launch(settings: Settings) -> Finding:
    """What `install` writes into a host's file can be started."""
    from room_mcp.installing.launch import is_passing, launch_for
    from room_mcp.installing.machine import this_machine

    start = launch_for(this_machine())
    shown = " ".join(start.argv)
    if not os.access(start.command, os.X_OK):
        return Finding("launch", FAIL, f"{shown} cannot be run.", "Install room-mcp again.")
    if is_passing(start):
        return Finding(
            "launch",
            WARN,
            f"{shown} stands in a cache that may be emptied.",
            "`uv tool install room-mcp` gives it a lasting place; then `room-mcp install`.",
        )
    return Finding("launch", OK, shown)


def hosts(settings: Settings) -> Finding:
    """Which hosts of this machine have an entry, and whether it is the present one."""
    from room_mcp.installing import installer
    from room_mcp.installing.hosts import HOSTS, is_here
    from room_mcp.installing.launch import HOW_TO_KEEP_PASSWORD, launch_for, left_behind
    from room_mcp.installing.machine import this_machine

    machine = this_machine()
    plan = installer.Plan(launch_for(machine), machine, dry_run=True)
    found = {host.title: installer.install(host, plan) for host in HOSTS if is_here(host, machine)}
    if not found:
        return Finding(
            "hosts",
            WARN,
            "No host was found on this machine.",
            "`room-mcp install HOST` writes its file anyway; `room-mcp install --help` names them.",
        )
    ready = [title for title, told in found.items() if told.action == "unchanged"]
    other = [title for title, told in found.items() if told.action == "would be updated"]
    broken = [title for title, told in found.items() if told.action == "failed"]
    detail = f"Registered with: {', '.join(ready) or 'none'}."
    if broken:
        detail += f" Not readable: {', '.join(broken)}."
    if other:
        return Finding(
            "hosts",
            WARN,
            f"{detail} With other settings than now: {', '.join(other)}.",
            "If that is not meant, `room-mcp install` writes the present ones.",
        )
    if broken or not ready:
        return Finding("hosts", WARN, detail, "`room-mcp install` registers the server.")
    names = left_behind(machine.env)
    if names and _lets_in(settings) and not _lets_in(settings, without=names):
        told = f"{detail} They get no {' and no '.join(names)}, which lets us into the database."
        return Finding("hosts", WARN, told, HOW_TO_KEEP_PASSWORD)
    return Finding("hosts", OK, detail)
