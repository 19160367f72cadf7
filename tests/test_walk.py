"""The main job on real processes: what `make demo` shows, checked."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def played(room_env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "room_mcp", "demo"],
        env=room_env,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_two_agents_and_a_curl_user_review_a_change_until_the_room_closes(played: str):
    said = [line for line in played.splitlines() if line.startswith("#")]

    assert [line.split()[0] for line in said] == [f"#{seq}" for seq in range(1, 8)]
    assert [line.split()[2].rstrip(":") for line in said] == [
        "author",
        "reviewer",
        "author",
        "security",
        "author",
        "reviewer",
        "room",
    ]
    assert "approved" in said[-1]
    assert "This room is closed: approved, by reviewer (#6)" in played
