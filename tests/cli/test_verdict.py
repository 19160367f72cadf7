"""`room-mcp verdict`: a script goes on only when a room has ended well."""

from __future__ import annotations

import asyncio
import threading

import pytest
from cli_shell import Shell

from room_mcp.compose import open_client
from room_mcp.settings import Settings


def decided(shell: Shell, verdict: str) -> None:
    """A review that rex alone has decided."""
    shell.review(ann="author", rex="reviewer")
    shell.says("rex", "pr-12", "review_complete", verdict=verdict, summary="I read\nit all.")


def test_a_good_end_is_success_and_says_who_and_why(shell: Shell):
    decided(shell, "approved")

    said = shell("verdict", "pr-12")

    assert said.code == 0
    assert said.lines == [
        '"pr-12" is closed: approved, which is good by its rules.',
        "By rex, #1.",
        "Conclusion: I read it all.",
    ]


def test_another_end_is_failure(shell: Shell):
    decided(shell, "rejected")

    said = shell("verdict", "pr-12")

    assert said.code == 1
    assert said.lines[0] == '"pr-12" is closed: rejected, which is not good by its rules.'


def test_a_room_that_was_just_closed_has_not_ended_well(shell: Shell):
    shell.room("docs")
    shell("close", "docs", "--as", "ann")

    said = shell("verdict", "docs")

    assert said.code == 1
    assert said.lines[1] == "By ann (closed), #1."


def test_a_room_that_is_open_is_failure_and_shows_what_was_cast(shell: Shell):
    shell.review(ann="author", rex="reviewer", kim="reviewer")
    shell.says("rex", "pr-12", "review_complete", verdict="approved")

    said = shell("verdict", "pr-12")

    assert said.code == 1
    assert said.lines == [
        '"pr-12" is open, with 1 message: no outcome yet.',
        "Verdict: approved, review_complete #1 of rex",
    ]


def test_a_wait_that_runs_out_has_its_own_exit_code(shell: Shell):
    shell.room("docs")

    assert shell("verdict", "docs", "--wait", "0.1").code == 3
    assert shell("verdict", "docs", "--wait", "0").code == 3


async def talk_and_decide(settings: Settings, room: str) -> None:
    async with open_client(settings) as client:
        for step in range(20):
            await client.post(room, "ann", f"Step {step} is done.", type="progress")
        await client.post(room, "ann", "Ship it.", type="decision")


def test_a_wait_goes_on_while_people_talk_and_ends_with_the_room(shell: Shell):
    room = shell.room("docs")
    settings = Settings.from_env(shell.environment)
    talking = threading.Thread(target=asyncio.run, args=[talk_and_decide(settings, room)])

    talking.start()
    said = shell("verdict", "docs", "--wait", "15")
    talking.join()

    assert said.code == 0
    assert said.lines[0] == '"docs" is closed: decided, which is good by its rules.'


def test_a_verdict_for_scripts_is_what_is_known_of_the_room(shell: Shell):
    decided(shell, "rejected")

    said = shell("verdict", "pr-12", "--json")

    assert said.code == 1
    assert (said.json["outcome"], said.json["good"]) == ("rejected", False)
    assert said.json["closing"]["by"] == "rex"


@pytest.mark.parametrize("words", [("nowhere",), ("pr-12", "--wait", "long"), ()])
def test_what_cannot_be_asked_is_wrong_use(shell: Shell, words: tuple[str, ...]):
    shell.review()

    said = shell("verdict", *words)

    assert (said.code, said.out) == (2, "")
