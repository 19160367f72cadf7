"""`room-mcp report`: what a bug report needs, in one file, without a word that anybody wrote.

Only what is named here gets in: counts, sizes, versions, and sentences that hold no name.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import room_mcp
from room_mcp.store_address import is_database, path_in

from . import Failed, WrongUse, lines
from .care import add_store, address_of
from .options import Commands, command
from .private import Private

if TYPE_CHECKING:
    from room_mcp.settings import Setting
    from room_mcp.store.sqlite.care.faults import Fault

PACKAGES = ("mcp", "apsw", "asyncpg", "anyio", "httpx2", "pydantic", "starlette", "uvicorn")
PRIVATE_UNITS = frozenset({"secret", "URL", "name", "file", "file or URL", "folder"})
# Of what `doctor` says, the sentences that hold no name, path or address.
TOLD_CHECKS = frozenset({"sqlite", "postgres"})
PLACES = frozenset({"permissions", "file-system"})  # faults whose sentences tell of places
UNAVAILABLE = "unavailable"
MAX_FAULTS = 100


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "report",
        "collect what a bug report needs, without names and texts",
        report,
        "Versions, settings without secrets, what `doctor` and `check` find, counts and sizes. "
        "Look into it before you attach it to an issue.",
    )
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="a new file, by default room-mcp-report-….zip here"
    )
    add_store(parser)


def report(args: argparse.Namespace) -> int:
    named = f"room-mcp-report-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    file = Path(args.file or named).expanduser()
    parts = _parts(args)
    _write(file, parts)
    print(lines.fact(f"Wrote {file}:"))
    for name, part in parts.items():
        failed = part.get(UNAVAILABLE) if isinstance(part, dict) else None  # pyright: ignore
        told = f"could not be made ({failed})" if failed else f"{len(_text(part)):>8,} bytes"
        print(f"  {name:<14} {told}")
    print("It holds no texts, no names and no keys. Look into it, then attach it to your report.")
    return 0


def _parts(args: argparse.Namespace) -> dict[str, Any]:
    """All that can be made, without what is private."""
    address, homes = _places(args)
    store = path_in(address) if address else None
    parts: dict[str, Any] = {
        "versions.json": _made(_versions),
        "settings.json": _made(_settings),
        "doctor.json": _made(_doctor),
    }
    if store is not None:
        parts |= of_store(store)
    elif is_database(address):
        parts["store.json"] = _made(lambda: _of_database(address))
    hidden: dict[str, Any] = Private(store, homes).hidden(parts)
    return hidden


def _places(args: argparse.Namespace) -> tuple[str, list[Path]]:
    """The store's address, empty when its rooms are elsewhere; and the folders of this person."""
    import os

    from room_mcp.settings import HOME, STORE, URL, Settings, SettingsError, home_in

    homes = [Path.home(), home_in(os.environ)]
    # A wrong value of another setting is for `doctor` to tell.
    env = {one.name: os.environ.get(one.name, "") for one in (HOME, STORE, URL)}
    try:
        if args.store:
            env[URL.name] = ""
        return address_of(args, Settings.from_env(env)), homes
    except (WrongUse, SettingsError):
        return "", homes


def _made(make: Callable[[], Any]) -> Any:
    """A part, or the kind of what went wrong: a report is wanted when something is broken."""
    try:
        return make()
    except Exception as error:  # whatever is broken: the other parts may tell why
        return {UNAVAILABLE: type(error).__name__}


def _write(file: Path, parts: dict[str, Any]) -> None:
    try:
        with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as bundle:
            for name, part in parts.items():
                bundle.writestr(name, _text(part))
    except FileExistsError:
        raise Failed(f"{file} exists already. Name another file.") from None
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror}.") from None


def _text(part: Any) -> str:
    return json.dumps(part, indent=2) + "\n"


def _versions() -> dict[str, str]:
    found = {"room-mcp": room_mcp.__version__, "python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version_of(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    try:
        import apsw

        found["sqlite"] = apsw.sqlite_lib_version()
    except ImportError:
        found["sqlite"] = "not to be loaded"
    found["system"] = platform.platform()
    found["implementation"] = platform.python_implementation()
    return found


def _settings() -> dict[str, str]:
    """Those that are set; of what may hold a name or a secret, only that it is."""
    import os

    from room_mcp.settings import SETTINGS

    return {
        one.name: _value(one, os.environ[one.name]) for one in SETTINGS if os.environ.get(one.name)
    }


def _value(setting: Setting, value: str) -> str:
    from room_mcp.settings import STORE, Settings, SettingsError

    if setting.unit in PRIVATE_UNITS:
        return "(set)"
    try:
        # With a store, what `room-mcp connect` has kept is not read: that may be wrong as well.
        Settings.from_env({STORE.name: "rooms.db", setting.name: value})
    except SettingsError:
        return "(wrong)"  # it may be anything, also what belongs elsewhere
    return value[:20]


def _doctor() -> list[dict[str, Any]]:
    """What was found, up to where it could not go on."""
    from .doctor import OK, findings

    found: list[dict[str, Any]] = []
    try:
        for one in findings():
            is_told = one.check in TOLD_CHECKS and one.status == OK
            found.append(
                {
                    "check": one.check,
                    "status": one.status,
                    "tookMs": one.took_ms,
                    **({"detail": one.detail} if is_told else {}),
                }
            )
    except Exception as error:  # as `_made`
        found.append({UNAVAILABLE: type(error).__name__})
    return found


def of_store(store: Path) -> dict[str, Any]:
    """What the check finds, and the counts, as far as the store can be read."""
    return {
        "check.json": _made(lambda: _faults(store)),
        "store.json": _made(lambda: _census(store)),
    }


def _of_database(address: str) -> dict[str, Any]:
    import asyncio

    from room_mcp.store.postgres.census import census

    return asyncio.run(census(address))


def _census(store: Path) -> dict[str, Any]:
    from room_mcp.store.sqlite.care import places
    from room_mcp.store.sqlite.care.backup import said_plainly
    from room_mcp.store.sqlite.care.census import census

    places.must_exist(store)
    with said_plainly(store, store), places.reading(store) as db:
        return census(db, store)


def _faults(store: Path) -> dict[str, Any]:
    """How many of each kind, and the first; rooms are left out, for an id lets one in."""
    from room_mcp.store.sqlite.care.check import check

    faults = list(check(store))
    return {
        "kinds": Counter(one.kind for one in faults),
        "first": [_row(one) for one in faults[:MAX_FAULTS]],
    }


def _row(fault: Fault) -> dict[str, str]:
    if fault.kind in PLACES:
        return {"kind": fault.kind, **({"mode": fault.mode} if fault.mode else {})}
    return {"kind": fault.kind, "detail": fault.detail}
