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
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import room_mcp

from . import Failed, lines
from .care import add_store, store_of
from .options import Commands, command

PACKAGES = ("mcp", "apsw", "anyio", "httpx2", "pydantic", "starlette", "uvicorn")
PRIVATE_UNITS = frozenset({"secret", "URL", "name", "file", "folder"})
# Of what `doctor` says, the sentences that hold no name, path or address.
TOLD_CHECKS = frozenset({"sqlite"})
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
    from room_mcp.settings import Settings

    settings = Settings.from_env()
    named = f"room-mcp-report-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    file = Path(args.file or named).expanduser()
    parts: dict[str, Any] = {
        "versions.json": _versions(),
        "settings.json": _settings(),
        "doctor.json": _doctor(),
    }
    if args.store or not settings.url:
        parts |= of_store(store_of(args, settings))
    _write(file, parts)
    print(lines.fact(f"Wrote {file}:"))
    for name, part in parts.items():
        print(f"  {name:<14} {len(_text(part)):>8,} bytes")
    print("It holds no texts, no names and no keys. Look into it, then attach it to your report.")
    return 0


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
        one.name: "(set)" if one.unit in PRIVATE_UNITS else os.environ[one.name][:20]
        for one in SETTINGS
        if os.environ.get(one.name)
    }


def _doctor() -> list[dict[str, Any]]:
    from .doctor import findings

    return [
        {
            "check": one.check,
            "status": one.status,
            "tookMs": one.took_ms,
            **({"detail": one.detail} if one.check in TOLD_CHECKS else {}),
        }
        for one in findings()
    ]


def of_store(store: Path) -> dict[str, Any]:
    """What the check finds, and the counts, as far as the store can be read."""
    from room_mcp.store.interface import StoreError
    from room_mcp.store.sqlite.care.backup import said_plainly
    from room_mcp.store.sqlite.care.census import census
    from room_mcp.store.sqlite.care.places import reading

    parts: dict[str, Any] = {}
    try:
        parts["check.json"] = _faults(store)
        with said_plainly(store, store), reading(store) as db:
            parts["store.json"] = census(db, store)
    except StoreError as error:
        parts["store.json"] = {"unavailable": type(error).__name__}
    return parts


def _faults(store: Path) -> dict[str, Any]:
    """How many of each kind, and the first; rooms are left out, for an id lets one in."""
    from room_mcp.store.sqlite.care.check import check

    faults = list(check(store))
    first = [
        {"kind": one.kind, "detail": one.detail.replace(str(store), "STORE")}
        for one in faults[:MAX_FAULTS]
    ]
    return {"kinds": Counter(one.kind for one in faults), "first": first}
