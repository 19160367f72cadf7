"""No regular expression of the package takes a stranger's text as an order to be busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patterns import PACKAGE, found_patterns

ALL_WITHIN_S = 300  # a hang guard
HERE = Path(__file__).parent
WITH_PACKAGE = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}  # the one that is tested here


def test_every_pattern_is_found_and_can_be_tried():
    found = found_patterns()
    written = sum(file.read_text("utf-8").count("re.compile(") for file in PACKAGE.rglob("*.py"))

    assert len({one.place for one in found}) >= written > 40


def test_no_pattern_hangs_on_a_long_text():
    command = [sys.executable, "patterns.py"]
    done = subprocess.run(
        command,
        cwd=HERE,
        env=WITH_PACKAGE,
        capture_output=True,
        text=True,
        timeout=ALL_WITHIN_S,
        check=False,
    )

    assert (done.stdout.split()[-1:], done.stderr, done.returncode) == (["all"], "", 0)


@pytest.mark.parametrize(
    "pattern", [r"(a+)+b", r"://[^/@]*:[^/@]+@", r"(\w+\s?)*$", r"x*y*x*z", r'"(\\.|[^"])*"']
)
def test_the_texts_that_are_tried_would_keep_a_bad_pattern_busy(pattern: str):
    code = (
        "import re, signal, patterns as p; signal.alarm(1);"
        f"one = p.Found('', re.compile({pattern!r}), frozenset({{'search'}}));"
        "[one.use(text) for text in p.worst_texts(one)]"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=HERE, env=WITH_PACKAGE, check=False)

    assert done.returncode == -signal.SIGALRM
