"""Callers are told apart without keeping their addresses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from starlette.requests import HTTPConnection

from room_mcp.backend.callers import ANYBODY, Caller
from room_mcp.backend.subjects import subject_of
from room_mcp.store.callers import ServerKey

SECRET = b"secret of this store"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def subject(address: str | None, caller: Caller = ANYBODY, secret: bytes = SECRET) -> str:
    client = None if address is None else (address, 4711)
    return subject_of(HTTPConnection({"type": "http", "client": client}), caller, secret)


def test_an_address_is_hashed():
    shown = subject("203.0.113.7")

    assert shown.startswith("addr:")
    assert len(shown) == len("addr:") + 16
    assert "203" not in shown


def test_another_address_is_another_subject():
    assert subject("203.0.113.7") != subject("203.0.113.8")


def test_another_store_hashes_otherwise():
    assert subject("203.0.113.7") != subject("203.0.113.7", secret=b"another")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_addresses_of_one_caller_are_one_subject(one: str, other: str):
    assert subject(one) == subject(other)


def test_networks_of_ipv6_are_told_apart():
    assert subject("2001:db8:1:2::1") != subject("2001:db8:1:3::1")


def test_callers_without_an_address_are_one_subject():
    assert subject(None) == subject(None) != subject("203.0.113.7")


def test_what_is_no_address_is_a_subject_too():
    assert subject("testclient") != subject("another")


def test_a_key_counts_for_whom_it_stands_and_not_for_its_address():
    key = ServerKey("rks_1", "hash", "Ann", "agent", admin=False, created_at=NOON)

    assert subject("203.0.113.7", Caller(key=key)) == "key:ann"


def test_whoever_runs_the_server_is_himself():
    assert subject("203.0.113.7", Caller(trusted=True)) == "self"
