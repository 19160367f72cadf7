"""What installing may know of the computer it runs on, so that a test can hand it another one."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COMMAND_TIMEOUT_S = 30  # a host's own command answers within 3 s; 30 covers a first start

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: 0 is success; `output` is stdout, then stderr."""

    code: int
    output: str

    @property
    def complaint(self) -> str:
        """The line of the output that says most about a failure, without terminal colours."""
        lines = [line.strip() for line in _COLOUR.sub("", self.output).splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines[-1:]
        return telling[0] if telling else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Machine:
    """One computer, seen by one person in one folder."""

    home: Path
    cwd: Path
    platform: str
    """As `sys.platform`: "darwin" is a Mac, everything else has Linux paths."""
    env: Mapping[str, str]
    python: Path
    """The interpreter that runs us; our own script stands beside it."""
    which: Callable[[str], str | None]
    run: Callable[[Sequence[str]], Ran]

    def absolute(self, path: str) -> Path:
        """`path` with `~` and the current folder filled in; links are kept."""
        if path == "~" or path.startswith("~/"):
            path = str(self.home) + path[1:]
        return Path(os.path.normpath(self.cwd / path))


def machine_at(
    *, home: Path, cwd: Path, env: Mapping[str, str], platform: str, python: Path
) -> Machine:
    """A machine whose programs are those on `env`'s PATH."""
    return Machine(
        home=home,
        cwd=cwd,
        platform=platform,
        env=env,
        python=python,
        which=functools.partial(shutil.which, path=env.get("PATH", "")),
        run=functools.partial(_run, cwd=cwd, env=env),
    )


def this_machine() -> Machine:
    """The real one."""
    return machine_at(
        home=Path.home(),
        cwd=Path.cwd(),
        env=dict(os.environ),
        platform=sys.platform,
        python=Path(sys.executable),
    )


def _run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Ran:
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ran(1, f"no answer within {COMMAND_TIMEOUT_S} s")
    except OSError as error:
        return Ran(1, f"it could not be started: {error.strerror}")
    return Ran(done.returncode, done.stdout + done.stderr)
