"""`room-mcp verify`: whether a transcript is what was said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell

from room_mcp.rooms import Step
from room_mcp.store.opening import open_store


def exported(shell: Shell, tmp_path: Path, *texts: str) -> Path:
    """The transcript of a chained room in which ann said these things."""
    assert shell("create", "review", "--chain", "--as", "ann").code == 0
    for text in texts:
        assert shell("send", "review", text, "--as", "ann").code == 0
    file = tmp_path / "review.jsonl"
    assert shell("export", "review", "--format", "jsonl", "-o", str(file)).code == 0
    return file


def head(shell: Shell) -> str:
    return shell("settings", "review", "--json").json["chain"]


def rewrite(file: Path, *numbers: int, **fields: Any) -> None:
    """Keep the lines of these numbers; the last of them gets these fields."""
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    kept = [lines[number - 1] for number in numbers]
    kept[-1] |= fields
    file.write_text("".join(f"{json.dumps(one)}\n" for one in kept), "utf-8")


def test_an_intact_transcript_is_told_with_its_head(shell: Shell, tmp_path: Path):
    file = exported(shell, tmp_path, "one", "two")

    said = shell("verify", str(file))

    assert said.code == 0
    assert f"Intact: 2 messages in {file}." in said.out
    assert f"Head: {head(shell)}" in said.out
    assert "room-mcp settings" in said.out


def test_the_settings_of_a_room_show_its_head(shell: Shell, tmp_path: Path):
    exported(shell, tmp_path, "one")
    shell("create", "other")

    assert f"Chain: {head(shell)}\n" in shell("settings", "review").out
    assert "Chain" not in shell("settings", "other").out


def test_with_the_head_nothing_is_left_to_compare(shell: Shell, tmp_path: Path):
    file = exported(shell, tmp_path, "one", "two")

    said = shell("verify", str(file), "--head", head(shell))

    assert (said.code, said.out) == (0, f"Intact: 2 messages in {file}.\n")


@pytest.mark.parametrize(
    ("lines", "fields", "told"),
    [
        ((1, 2), {"content": "no"}, "Broken at #2: it, or the hash of the one before it"),
        ((1, 3), {}, "Broken at #2: it is missing: #3 follows #1."),
        ((1, 2, 2), {}, "Broken at #2: it comes again"),
        ((2, 1), {}, "Broken at #1: it is missing"),
        ((1, 2), {"chain": None}, "Broken at #2: it has no hash."),
    ],
)
def test_the_first_message_that_is_wrong_is_named(
    shell: Shell, tmp_path: Path, lines: tuple[int, ...], fields: dict[str, Any], told: str
):
    file = exported(shell, tmp_path, "one", "two", "three")
    rewrite(file, *lines, **fields)

    said = shell("verify", str(file))

    assert said.code == 1
    assert told in said.out


def test_an_end_that_is_missing_shows_by_the_head_alone(shell: Shell, tmp_path: Path):
    file = exported(shell, tmp_path, "one", "two")
    rewrite(file, 1)

    without, with_head = (
        shell("verify", str(file)),
        shell("verify", str(file), "--head", head(shell)),
    )

    assert (without.code, with_head.code) == (0, 1)
    assert "missing at the end" in without.out
    assert "Broken at #2: messages are missing at the end" in with_head.out
    assert "up to #1, fits together" in with_head.out


def test_scripts_get_the_facts(shell: Shell, tmp_path: Path):
    file = exported(shell, tmp_path, "one", "two")
    chain = head(shell)
    rewrite(file, 1, 2, sender="eve")

    said = shell("verify", str(file), "--json")

    assert said.code == 1
    assert said.json.pop("problem")
    assert said.json["brokenAt"] == 2
    assert said.json["intact"] is False
    assert said.json["head"] != chain


async def erase(path: Path, room_id: str) -> None:
    """Remove the texts of a room, as its owner does over REST."""
    store = open_store(path)
    await store.open()
    await store.erase(room_id, lambda room, _: Step(room))
    await store.aclose()


def test_what_was_erased_is_told_and_the_rest_is_verified(shell: Shell):
    room_id: str = shell("create", "review", "--chain", "--json").json["id"]
    for text in ("one", "two"):
        shell("send", "review", text)
    asyncio.run(erase(shell.home / "rooms.db", room_id))
    shell("send", "review", "three")
    text = shell("export", "review", "--format", "jsonl").out

    said = shell("verify", "-", "--head", head(shell), stdin=text)

    assert said.code == 0
    assert "Intact: 3 messages in the input." in said.out
    assert "their texts were erased: #1 to #2." in said.out


def test_where_all_was_erased_there_is_nothing_to_verify(shell: Shell, tmp_path: Path):
    file = exported(shell, tmp_path, "one")
    rewrite(file, 1, content=None, chain=None)

    said = shell("verify", str(file))

    assert said.code == 1
    assert "holds no hashes" in said.err


def test_the_input_is_read_for_a_dash(shell: Shell, tmp_path: Path):
    text = exported(shell, tmp_path, "one").read_text("utf-8")

    said = shell("verify", "-", stdin=text)

    assert "Intact: 1 message in the input." in said.out


def test_a_transcript_for_people_cannot_be_verified(shell: Shell):
    shell("create", "review", "--chain")
    shell("send", "review", "hello")
    markdown = shell("export", "review").out

    said = shell("verify", "-", stdin=markdown)

    assert said.code == 1
    assert "export ROOM --format jsonl" in said.err


def test_a_room_without_a_chain_cannot_be_verified(shell: Shell):
    shell.room("review", "hello")

    said = shell("verify", "-", stdin=shell("export", "review", "--format", "jsonl").out)

    assert said.code == 1
    assert said.out.startswith("Broken at #1: it has no hash")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "must be an object"),
        ("{", "it is not JSON"),
        ('{"seq":1,"seq":1}', "a name stands there twice"),
        ('{"seq":1}', "'id' is missing"),
        ('{"more":1}', "'more' is no field"),
    ],
)
def test_a_line_that_is_no_message_is_named(shell: Shell, line: str, told: str):
    said = shell("verify", "-", stdin=line)

    assert said.code == 1
    assert "line 1: " in said.err
    assert told in said.err


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00.0000Z"])
def test_a_time_that_no_export_writes_is_named(shell: Shell, tmp_path: Path, time: str):
    file = exported(shell, tmp_path, "one")
    rewrite(file, 1, timestamp=time)

    assert "is no time of an export" in shell("verify", str(file)).err


def test_a_file_that_cannot_be_read_is_named(shell: Shell, tmp_path: Path):
    said = shell("verify", str(tmp_path / "none.jsonl"))

    assert (said.code, "none.jsonl cannot be read" in said.err) == (1, True)


def test_what_is_no_utf_8_is_named(shell: Shell):
    assert "is not UTF-8" in shell("verify", "-", stdin=b"\xff").err


def test_a_head_that_is_no_hash_is_wrong_use(shell: Shell):
    assert shell("verify", "x.jsonl", "--head", "123").code == 2


def test_a_room_that_is_there_keeps_its_chain_or_has_none(shell: Shell):
    shell.room("review")

    said = shell("create", "review", "--chain", "--as", "ann")

    assert "Whether it has a chain stays" in said.out
    assert head(shell) is None
