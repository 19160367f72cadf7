"""The shell that the tests of the command line type into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Shell(tmp_path / "home", capsys, monkeypatch)
    yield made
    for one in made.running:
        one.close()
