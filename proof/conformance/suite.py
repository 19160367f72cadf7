"""The suite itself: fetched from npm, run against a URL, and what it says read from its files."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ..ground import node, packages

NAME = "@modelcontextprotocol/conformance"
PINNED = f"{NAME}@0.2.0-alpha.12"
REVISIONS = ("2025-11-25", "2026-07-28")  # for which it knows what is required
RUN_S = 600  # for one run; it takes ten
TAIL = 1000  # characters of its output, when nothing else says what is wrong


@dataclass(frozen=True)
class Check:
    scenario: str
    id: str
    status: str  # SUCCESS, FAILURE, WARNING, SKIPPED or INFO
    message: str

    @property
    def entry(self) -> str:
        """What a baseline calls it."""
        return f"{self.scenario}:{self.id}"

    @property
    def fails(self) -> bool:
        """Whether a baseline has to excuse it; the suite holds one to its warnings too."""
        return self.status in ("FAILURE", "WARNING")

    def __str__(self) -> str:
        return f"{self.entry} {self.status}: {self.message}"


@dataclass(frozen=True)
class Result:
    """What one run saw."""

    exit_code: int
    checks: Sequence[Check]
    output: str

    @property
    def scenarios(self) -> set[str]:
        return {check.scenario for check in self.checks}

    @property
    def failing(self) -> list[Check]:
        return [check for check in self.checks if check.fails]

    @property
    def passed(self) -> list[Check]:
        return [check for check in self.checks if check.status == "SUCCESS"]


@dataclass(frozen=True)
class Requirements:
    """The scenarios that a server is held to at one revision."""

    required: set[str]
    others: set[str]  # run and reported as well, and not of an extension


def fetch() -> Path:
    """The package's folder; raises CannotTry."""
    node()
    return packages("conformance", [PINNED]) / NAME


def run(url: str, *options: str) -> Result:
    """Run it against the server at a URL."""
    program = fetch() / "dist" / "index.js"
    with tempfile.TemporaryDirectory(prefix="room-mcp-conformance-") as folder:
        command = [str(node()), str(program), "server", "--url", url, "--output-dir", folder]
        done = subprocess.run(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        return Result(done.returncode, list(_checks(Path(folder))), done.stdout[-TAIL:])


def requirements(revision: str) -> Requirements:
    """What the suite requires of servers; extensions of the protocol, which we lack, left out."""
    stated = read_yaml(fetch() / "requirements" / f"{revision}.yaml")
    others = {
        one["scenario"]
        for one in stated["not_scored"]
        if one["leg"] == "server" and one["reason"] != "extension"
    }
    return Requirements(set(stated["server"]), others)


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def _checks(folder: Path) -> Iterator[Check]:
    """What the scenarios left behind, each in a folder `server-SCENARIO-TIME`."""
    for path in sorted(folder.glob("*/checks.json")):
        named = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", path.parent.name)
        assert named, path
        for one in json.loads(path.read_text()):
            yield Check(named[1], one["id"], one["status"], one.get("errorMessage") or "")
