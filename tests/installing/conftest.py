"""A machine made of temporary folders, with the command line in front of it."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from room_mcp.cli import install
from room_mcp.installing.machine import machine_at

FAKE_PROGRAM = """\
#!/bin/sh
{{ printf '%s ' {name}; for word in "$@"; do printf '%s|' "$word"; done; echo; }} >> {log}
case " $* " in
{cases}
esac
echo {says} >&2
exit {code}
"""


@dataclass(frozen=True)
class Said:
    """What one run of the command line ended with."""

    code: int
    out: str
    err: str


@dataclass
class Desk:
    """One person's machine: files, programs on the PATH, and `room-mcp install`."""

    root: Path
    capsys: pytest.CaptureFixture[str]
    platform: str = "linux"
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in ("home", "project", "bin", "venv/bin"):
            (self.root / folder).mkdir(parents=True)
        self.home, self.project = self.root / "home", self.root / "project"
        self.room_mcp = str(self.root / "venv/bin/room-mcp")
        Path(self.room_mcp).touch()

    @property
    def machine(self):
        return machine_at(
            home=self.home,
            cwd=self.project,
            env={"PATH": str(self.root / "bin"), "HOME": str(self.home), **self.env},
            platform=self.platform,
            python=self.root / "venv/bin/python",
        )

    def install(self, *words: str) -> Said:
        parser = argparse.ArgumentParser()
        install.add_parser(parser.add_subparsers())
        code = install.run_on(self.machine, parser.parse_args(["install", *words]))
        out, err = self.capsys.readouterr()
        return Said(code, out, err)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_bytes().decode()

    def everything(self) -> dict[str, str]:
        """Every file of the person's home and project, by its path below them."""
        return {
            str(path.relative_to(self.root)): path.read_bytes().decode()
            for folder in (self.home, self.project)
            for path in folder.rglob("*")
            if path.is_file()
        }

    def program(
        self, name: str, *, on: dict[str, tuple[str, str]] | None = None, says="", code=0
    ) -> None:
        """Put a program on the PATH that notes its arguments.

        Args:
            on: For a word among its arguments, the file it then writes, and the file's text.
        """
        cases = ""
        for number, (word, (target, text)) in enumerate((on or {}).items()):
            ready = self.write(f"ready/{name}-{number}", text)
            (self.root / target).parent.mkdir(parents=True, exist_ok=True)
            cases += f'*" {word} "*) /bin/cp {shlex.quote(str(ready))} '
            cases += f"{shlex.quote(str(self.root / target))} ;;\n"
        script = self.write(
            f"bin/{name}",
            FAKE_PROGRAM.format(
                name=name,
                log=shlex.quote(str(self.root / "calls")),
                cases=cases,
                says=shlex.quote(says),
                code=code,
            ),
        )
        script.chmod(0o755)

    def calls(self) -> list[str]:
        """The commands that were run, each as `program word|word|…|`."""
        log = self.root / "calls"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)
