"""Care of the store on this machine: `backup`, `restore`, `check`, `vacuum`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from room_mcp.store_address import is_database, shown

from . import FAILED, WrongUse, lines, options
from .options import Commands, add_json, command

if TYPE_CHECKING:
    from room_mcp.settings import Settings
    from room_mcp.store.sqlite.care.backup import Contents
    from room_mcp.store.sqlite.care.faults import Fault

STREAM = "-"
MAX_FAULTS = 1_000  # that are told one by one

IN_POSTGRES = {
    "backup": "pg_dump copies the database while it is used: pg_dump -Fc -f FILE DATABASE",
    "restore": "pg_restore puts a copy back; then `room-mcp restore --done` lets nodes and clients "
    "know.",
    "check": "pg_amcheck checks its tables and indexes, and `room-mcp audit` the hashes of the "
    "audit.",
    "vacuum": "PostgreSQL reuses the space by itself; VACUUM FULL gives it back to the disk while "
    "everybody waits.",
}
"""What is done in place of a command where the store is a database."""


def add_backup(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "backup",
        "copy the store of this machine into a file, while it is used",
        backup,
        "The copy is checked before it stands in its place. Others go on writing meanwhile.",
    )
    parser.add_argument("file", metavar="FILE", help="a new file")
    parser.add_argument("--force", action="store_true", help="also in place of a file")
    add_store(parser)
    add_json(parser)


def add_restore(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "restore",
        "put a backup in place of the store of this machine",
        restore,
        "Others may use the store meanwhile: they see the rooms of the backup from then on. The "
        "store as it was is kept beside. A PostgreSQL database is put back with its own tools; "
        "then --done lets all nodes and clients know.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="what `room-mcp backup` wrote")
    parser.add_argument("--yes", action="store_true", help="it is meant")
    parser.add_argument(
        "--done",
        action="store_true",
        help="instead: pg_restore, or a recovery to an earlier moment, has put the database back",
    )
    add_store(parser)
    add_json(parser)


def add_check(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "check",
        "check that nothing of the store of this machine is missing or damaged",
        check,
        "It only reads. Exit code 1: something is wrong.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="a backup instead of the store")
    add_store(parser)
    add_json(parser)


def add_vacuum(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "vacuum",
        "give back the disk space that the store of this machine does not need",
        vacuum,
        "Others cannot write while it works, some seconds for a gigabyte; they can read. It needs "
        "twice the store's size on the disk meanwhile.",
    )
    add_store(parser)
    add_json(parser)


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="STORE", type=options.store, help="by default ROOM_MCP_STORE"
    )


def address_of(args: argparse.Namespace, settings: Settings) -> str:
    """The store that is cared for. Raises WrongUse when the rooms are on a server."""
    if settings.url and not args.store:
        raise WrongUse(
            f"The rooms are on {settings.url}: its operator does `room-mcp {args.command}` there. "
            "--store names another store."
        )
    return args.store or settings.store


def store_of(args: argparse.Namespace, settings: Settings) -> Path:
    """The file that is cared for.

    Raises:
        WrongUse: The rooms are on a server, or in a database, which has its own tools.
        StoreUnavailable: The store is no file.
    """
    from room_mcp.store.opening import file_at

    address = address_of(args, settings)
    if is_database(address) and (instead := IN_POSTGRES.get(args.command)):
        raise WrongUse(f"The rooms are in {shown(address)}. {instead}")
    return file_at(address)


def _store(args: argparse.Namespace) -> Path:
    from room_mcp.settings import Settings

    return store_of(args, Settings.from_env())


class Shown:
    """How far something is, on a terminal; nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._percent = -1
        self._is_shown = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        if self._is_shown and percent != self._percent:
            self._percent = percent
            print(f"\r{self._what}: {percent} %", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._percent >= 0:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# ---- backup and restore -------------------------------------------------------------------------


def backup(args: argparse.Namespace) -> int:
    if args.file == STREAM:
        raise WrongUse("A backup is a file and no stream: name one, and send that on.")
    store = _store(args)
    from room_mcp.store.sqlite.care.backup import back_up

    file = Path(args.file).expanduser()
    with Shown("Copying") as shown:
        made = back_up(store, file, force=args.force, progress=shown)
    if args.json:
        print(json.dumps({"file": str(file), **_facts(made)}))
    else:
        print(lines.fact(f"Backed up {_counted(made)} of epoch {made.epoch}: {file}"))
    return 0


def restore(args: argparse.Namespace) -> int:
    if args.done:
        return _restored(args)
    store = _store(args)
    if not args.file:
        raise WrongUse("Name the backup: room-mcp restore FILE")
    from room_mcp.store.sqlite.care.backup import contents_of
    from room_mcp.store.sqlite.care.restore import restore

    file = Path(args.file).expanduser()
    if not args.yes:
        there = f" in place of {_present(store)}" if store.exists() else ""
        what = _counted(contents_of(file)) if file.is_file() else str(file)
        raise WrongUse(f"This puts {what}{there} into {store}. Say --yes if that is meant.")
    with Shown("Reading the backup") as shown:
        done = restore(store, file, progress=shown)
    if args.json:
        saved = None if done.saved_to is None else str(done.saved_to)
        facts = {**_facts(done.contents), "epoch": done.epoch, "savedTo": saved}
        print(json.dumps({**facts, "lostKeys": done.lost_keys}))
        return 0
    print(lines.fact(f"Restored {_counted(done.contents)}; the epoch is {done.epoch} now."))
    if done.saved_to is not None:
        was = "The store as it was" if done.was_readable else "The damaged store"
        print(lines.fact(f"{was} is kept: {done.saved_to}"))
    if done.lost_keys:
        print(f"Keys made since the backup are gone: {done.lost_keys}. See room-mcp keys list")
    return 0


def _restored(args: argparse.Namespace) -> int:
    """The database was put back by other means: it begins a new epoch."""
    import asyncio
    from datetime import UTC, datetime

    from room_mcp.settings import Settings
    from room_mcp.store.opening import asyncpg_wanted

    if args.file:
        raise WrongUse("FILE and --done do not go together: --done says that it is done already.")
    address = address_of(args, Settings.from_env())
    if not is_database(address):
        raise WrongUse(
            f"--done is for PostgreSQL, and the rooms are in {shown(address)}: `room-mcp restore "
            "FILE` puts a backup there and does all that is needed."
        )
    with asyncpg_wanted():
        from room_mcp.store.postgres.restored import begin_epoch
    epoch = asyncio.run(begin_epoch(address, datetime.now(UTC)))
    if args.json:
        print(json.dumps({"store": shown(address), "epoch": epoch}))
        return 0
    print(lines.fact(f"The epoch of {shown(address)} is {epoch} now: nodes and clients see it."))
    print("Invitations are withdrawn. Server keys are those of the copy: what was revoked since")
    print("lets in again, and what was made since is gone. See room-mcp keys list")
    return 0


def _present(store: Path) -> str:
    from room_mcp.store.interface import StoreError
    from room_mcp.store.sqlite.care.backup import contents_of

    with contextlib.suppress(StoreError):
        return f"{_counted(contents_of(store))} now"
    return "a store that cannot be read"


def _counted(of: Contents) -> str:
    rooms = f"{of.rooms:,} {'room' if of.rooms == 1 else 'rooms'}"
    at = "" if of.at is None else f", of {of.at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    return f"{rooms} with {lines.counted(of.messages)} ({of.size_bytes:,} bytes{at})"


def _facts(of: Contents) -> dict[str, Any]:
    return {
        "rooms": of.rooms,
        "messages": of.messages,
        "bytes": of.size_bytes,
        "epoch": of.epoch,
        "at": None if of.at is None else of.at.isoformat().replace("+00:00", "Z"),
    }


# ---- check and vacuum ---------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    file = Path(args.file).expanduser() if args.file else _store(args)
    from room_mcp.store.sqlite.care.check import check

    count = 0
    with Shown("Checking") as shown:
        found = check(file, files=not args.file, progress=shown)
        if args.json:
            faults = list(islice(found, MAX_FAULTS))
            count = len(faults)
            print(json.dumps({"ok": not faults, "faults": [_row(one) for one in faults]}, indent=2))
        else:
            for one in islice(found, MAX_FAULTS):
                count += 1
                for line in _told(one):
                    print(lines.fact(line), flush=True)
    if not args.json:
        print(lines.fact(f"{file}: {count or 'no'} {'fault' if count == 1 else 'faults'}."))
    return FAILED if count else 0


def _told(fault: Fault) -> Iterator[str]:
    where = f"room {fault.room_id}: " if fault.room_id else ""
    yield f"{fault.kind}: {where}{fault.detail}"
    yield f"     → {fault.advice}"


def _row(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind,
        "roomId": fault.room_id or None,
        "detail": fault.detail,
        "advice": fault.advice,
    }


def vacuum(args: argparse.Namespace) -> int:
    store = _store(args)
    from room_mcp.store.sqlite.care.vacuum import vacuum

    done = vacuum(store)
    freed = max(0, done.before_bytes - done.after_bytes)
    if args.json:
        facts = {"beforeBytes": done.before_bytes, "afterBytes": done.after_bytes}
        facts |= {"freedBytes": freed, "settled": done.is_settled}
        print(json.dumps({**facts, "blockedMs": round(done.blocked_s * 1_000, 1)}))
        return 0
    print(
        f"Freed {freed:,} of {done.before_bytes:,} bytes. Nobody could write for "
        f"{done.blocked_s:.2f} s."
    )
    if not done.is_settled:
        print("Somebody still reads what was there before. When he has ended, vacuum again.")
    return 0
