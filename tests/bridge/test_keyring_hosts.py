"""Keys that an agent keeps for rooms in a database, by whichever host that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from room_mcp.bridge.keyring import Keyring
from room_mcp.store_address import places

FIRST = "postgresql://ann:secret@db1.example/rooms"


def keyring(home: Path, address: str) -> Keyring:
    return Keyring(home, places(address), "claude")


@pytest.mark.parametrize(
    "address",
    [
        "postgres://bob@DB1.example:5432/rooms?sslmode=require&connection_limit=20",
        "postgresql://db1.example,db2.example/rooms",
        "postgresql://db2.example:5432,db1.example:5432/rooms",
        "postgresql://db2.example,db1.example,db1.example:5432/rooms",
        "postgresql:///rooms?host=db1.example",
        "postgresql://db1.example?dbname=rooms&port=5432",
    ],
)
def test_a_database_has_one_keyring_however_it_is_named(tmp_path: Path, address: str):
    keyring(tmp_path, FIRST).keep("r", member="rk_1")

    assert keyring(tmp_path, address).member_key("r") == "rk_1"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://db1.example:5433/rooms",
        "postgresql://db1.example/others",
        "postgresql://db1.example/rooms?search_path=others",
        "postgresql://db2.example/rooms",
    ],
)
def test_another_database_has_another_keyring(tmp_path: Path, address: str):
    keyring(tmp_path, FIRST).keep("r", member="rk_1")

    assert not keyring(tmp_path, address).member_key("r")


def test_keys_stay_when_a_standby_takes_the_place_of_the_first_host(tmp_path: Path):
    keyring(tmp_path, FIRST).keep("r", member="rk_1")
    both = keyring(tmp_path, "postgresql://db1.example,db2.example/rooms")
    later = keyring(tmp_path, "postgresql://db2.example/rooms")
    before = later.member_key("r")
    both.keep("s", member="rk_2", owner="ok_2")

    assert before == "rk_1"
    assert later.member_key("s") == "rk_2"
    assert keyring(tmp_path, FIRST).owner_key("s") == "ok_2"


def test_no_place_tells_a_login():
    assert "secret" not in str(places(FIRST))
