"""What the proofs stand on: a report, a Node that is new enough, packages, and a server."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".proof"  # everything that is fetched; removed by `make clean`
ROOM_MCP = (sys.executable, "-m", "room_mcp")
OLDEST_NODE = (22, 19)  # what the conformance suite and the Inspector need
SKIPPED = 3

_QUIET = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_loglevel": "error",
}


class CannotTry(Exception):
    """Something that this machine lacks; the text says what, in one line."""


class Report:
    """Prints what was seen, line by line, and knows how it ended."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.passed = self.failed = self.skipped = 0
        print(f"== {title}", flush=True)

    def ok(self, what: str) -> None:
        self.passed += 1
        print(f"ok       {what}", flush=True)

    def fail(self, what: str, why: str = "") -> None:
        self.failed += 1
        print(f"FAILED   {what}{': ' if why else ''}{why}", flush=True)

    def skip(self, what: str, why: str) -> None:
        self.skipped += 1
        print(f"skipped  {what}: {why}", flush=True)

    def check(self, holds: bool, what: str, why: str = "") -> bool:
        """Say ok or FAILED; whether it held."""
        if holds:
            self.ok(what)
        else:
            self.fail(what, why)
        return holds

    def end(self) -> int:
        """The exit code, after one line that sums up."""
        told = f"{self.passed} ok, {self.failed} failed, {self.skipped} skipped"
        print(f"== {self._title}: {told}", flush=True)
        if self.failed:
            return 1
        return SKIPPED if self.skipped or not self.passed else 0


# ---- Node -----------------------------------------------------------------------------------


@functools.cache
def node() -> Path:
    """A Node that is new enough: the machine's, else a portable one from npm.

    Raises:
        CannotTry: There is no npm, or it cannot fetch one.
    """
    found = shutil.which("node")
    if found and _node_version(found) >= OLDEST_NODE:
        return Path(found)
    return packages("node", ["node@22"]) / "node" / "bin" / "node"


def _node_version(program: str) -> tuple[int, int]:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)", told.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def packages(name: str, wanted: Sequence[str]) -> Path:
    """The `node_modules` that holds these npm packages, such as "left-pad@1.3.0".

    Fetched once into `.proof/npm/<name>`, and again when what is wanted changes.

    Raises:
        CannotTry: npm is missing or cannot fetch them.
    """
    folder = CACHE / "npm" / name
    modules = folder / "node_modules"
    stamp = folder / "wanted.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(wanted):
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise CannotTry("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    done = subprocess.run(
        [npm, "install", "--no-package-lock", "--no-save", *wanted],
        cwd=folder,
        env={**os.environ, **_QUIET},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if "complete log" not in line]
        raise CannotTry(f"npm could not fetch {', '.join(wanted)}: {_last_line(why)}")
    stamp.write_text(json.dumps(list(wanted)))
    return modules


def node_env() -> dict[str, str]:
    """The environment in which the right Node is the first on the path."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


# ---- Python ---------------------------------------------------------------------------------


def python_with(name: str, wanted: Sequence[str]) -> Path:
    """The Python of a virtual environment of its own that holds these packages.

    Made once in `.proof/venv/<name>`, and again when what is wanted changes.

    Raises:
        CannotTry: pip cannot fetch them.
    """
    folder = CACHE / "venv" / name
    python = folder / "bin" / "python"
    stamp = folder / "wanted.json"
    if stamp.exists() and json.loads(stamp.read_text()) == list(wanted):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise CannotTry(f"no virtual environment can be made here: {error}") from None
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotTry(
            f"pip could not fetch {', '.join(wanted)}: {_last_line(done.stderr.splitlines())}"
        )
    stamp.write_text(json.dumps(list(wanted)))
    return python


def _last_line(of: Sequence[str]) -> str:
    lines = [line for line in of if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


# ---- our side -------------------------------------------------------------------------------


@contextlib.contextmanager
def a_home() -> Iterator[Path]:
    """A folder for rooms, names and keys, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="room-mcp-proof-") as folder:
        yield Path(folder)


def env_of(home: Path) -> dict[str, str]:
    """The environment of a machine on which room-mcp was never used, but for this home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOM_MCP_")}
    return {**kept, "ROOM_MCP_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}


@contextlib.contextmanager
def a_server(
    arguments: Sequence[str], env: Mapping[str, str], command: Sequence[str] = ROOM_MCP
) -> Iterator[str]:
    """A server process that says its URL in its first line, such as `serve --port 0`."""
    process = subprocess.Popen([*command, *arguments], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.wait(10)}")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
