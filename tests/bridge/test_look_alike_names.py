"""Names that look alike are one name: for processes, for keys, and for whose a line is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from room_mcp.bridge.keyring import Keyring
from room_mcp.bridge.names import HeldNames, NameHeld
from room_mcp.bridge.replies import same_name
from room_mcp.rooms.names import folded

URL = "https://rooms.test"
CYRILLIC = "сlaude"


def test_a_process_cannot_hold_a_name_that_looks_like_a_held_one(tmp_path: Path):
    held = HeldNames(tmp_path, "here")
    held.hold("claude", exact=True)

    with pytest.raises(NameHeld):
        HeldNames(tmp_path, "there").hold(CYRILLIC, exact=True)
    held.release()


def test_a_line_of_a_look_alike_is_told_as_one_of_the_same_member():
    assert same_name("claude", CYRILLIC)
    assert not same_name("claude", "claudé")


def test_keys_that_were_kept_under_the_old_form_of_a_name_are_found(tmp_path: Path):
    once = hashlib.sha256(f"{URL}\n{folded(CYRILLIC)}".encode()).hexdigest()[:32]
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / f"{once}.json").write_text(json.dumps({"r": {"member": "rk_1"}}))

    assert Keyring(tmp_path, (URL,), CYRILLIC).member_key("r") == "rk_1"
    assert Keyring(tmp_path, (URL,), "claude").member_key("r") == "rk_1"


def test_keys_under_the_old_form_of_a_name_do_not_replace_newer_ones(tmp_path: Path):
    Keyring(tmp_path, (URL,), "claude").keep("r", member="rk_2")
    once = hashlib.sha256(f"{URL}\n{folded(CYRILLIC)}".encode()).hexdigest()[:32]
    (tmp_path / "keys" / f"{once}.json").write_text(json.dumps({"r": {"member": "rk_1"}}))

    assert Keyring(tmp_path, (URL,), CYRILLIC).member_key("r") == "rk_2"
