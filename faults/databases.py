"""New databases on a PostgreSQL server: one of our own, or the one that the environment names."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .postgres_binaries import system_binaries, wheel_binaries

GIVEN = "ROOM_MCP_TEST_POSTGRES"
"""The URL of a server to use instead of one of our own, for all that needs databases alone. Its
user must be allowed to create them; each has a name of its own, and is dropped afterwards."""


def given_server() -> str | None:
    return os.environ.get(GIVEN) or None


def given_databases() -> Databases | None:
    """Those on the server that the environment names, if it names one."""
    url = given_server()
    if url is None:
        return None
    found = wheel_binaries() or system_binaries()
    return Databases(url, url, Path("psql") if found is None else found / "psql", is_ours=False)


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def run_sql(url: str, statement: str, psql: Path) -> str:
    """One statement; one line for each row, `|` between its columns.

    Raises:
        RuntimeError: The server refused it, or was not reached; the text says why.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    shown = parts._replace(netloc=f"{name}{at}{host}").geturl()
    options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement)
    done = subprocess.run(
        [psql, shown, *options],
        env={**os.environ, "PGPASSWORD": unquote(password)},  # not where `ps` shows it
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.strip()


class Databases:
    """Those of one server.

    Args:
        master: The URL of who may create databases.
        user: The URL of whom they shall belong to.
        psql: The program that is asked.
        is_ours: Whether nobody minds that the whole server writes out what it has in memory.
    """

    def __init__(self, master: str, user: str, psql: Path, *, is_ours: bool = True) -> None:
        self._master = master
        self._user = user
        self._psql = psql
        # Copied files are there at once where nothing is synced; else the log is quicker.
        self._strategy = "file_copy" if is_ours else "wal_log"

    def create(self, like: str | None = None) -> str:
        """The URL of a new database: a copy of another, which nobody has open, or empty."""
        name = f"room_mcp_{secrets.token_hex(6)}"
        owner = unquote(urlsplit(self._user).username or "")
        template = "template0" if like is None else name_in(like)
        self._run(
            f'CREATE DATABASE "{name}" OWNER "{owner}" TEMPLATE "{template}"'
            f" STRATEGY {self._strategy}"
        )
        return with_database(self._user, name)

    def drop(self, url: str) -> None:
        """Whoever has it open is thrown out."""
        self._run(f'DROP DATABASE IF EXISTS "{name_in(url)}" WITH (FORCE)')

    def put_back(self, copy: str, url: str) -> None:
        """Let a copy, which nobody has open, take the place of a database that others use."""
        self.drop(url)
        self._run(f'ALTER DATABASE "{name_in(copy)}" RENAME TO "{name_in(url)}"')

    def _run(self, statement: str) -> None:
        run_sql(self._master, statement, self._psql)
