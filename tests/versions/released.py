"""The code of released versions, taken from the history."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tomllib
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMITS: dict[str, str] = tomllib.loads((HERE / "released.toml").read_text("utf-8"))


class NoHistory(Exception):
    """This copy of the project does not hold the commit of a release."""


def source_of(version: str, folder: Path) -> Path:
    """The folder that holds the package of that version, for PYTHONPATH. Raises NoHistory."""
    made = _git("archive", commit_of(version), "src")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder / version, filter="data")
    return folder / version / "src"


@cache
def is_here(version: str) -> bool:
    try:
        commit_of(version)
    except NoHistory:
        return False
    return True


def commit_of(version: str) -> str:
    """What git finds the version by. Raises NoHistory, with what git said."""
    said = ""
    for name in (COMMITS[version], f"v{version}"):
        found = _git("rev-parse", "--verify", f"{name}^{{tree}}")
        if found.returncode == 0:
            return name
        said = said or " ".join(found.stderr.decode(errors="replace").split())
    raise NoHistory(f"the history does not hold {version}: {said}")


def _git(*command: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, check=False)
    except OSError as error:
        raise NoHistory(f"git cannot be run: {error.strerror}") from error
