"""A password is shown nowhere, and sent to no other host, however the address is spelt."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from room_mcp.store.interface import StoreError
from room_mcp.store.opening import open_store
from room_mcp.store.postgres.addresses import address_in
from room_mcp.store_address import shown

pytestmark = pytest.mark.anyio

LETTERS = "QXZJKV"  # that stand nowhere else, so that what is found of them is the password's
PASSWORDS = st.text(f"{LETTERS}@?#/:%,[]&=; \\", min_size=4, max_size=16)
HOSTS = ("db", "db:5432", "one,two:5433", "127.0.0.1:1", "[::1]:1", "", "%2Frun%2Fpostgresql")
SPELLINGS = (
    "postgresql://room:{}@{host}/rooms",
    "postgres://room:{}@{host}",
    "PostgreSQL://room:{}@{host}/rooms?sslmode=disable",
    "postgresql://:{}@{host}/rooms?connection_limit=x",
    "postgresql://room@{host}/rooms?password={}",
    "postgresql://{host}/rooms?user=room&password={}&sslmode=disable",
    "postgresql://room@{host}/rooms?sslmode=verify-full&sslpassword={}",
    "postgresql://room@{host}/rooms?passfile={}",
    "postgresql://room:{}@{host}/rooms#part",
    " postgresql://room:{}@{host}/rooms",
    '"postgresql://room:{}@{host}/rooms"',
    "postgresql:/room:{}@{host}/rooms",
    "postgresql:room:{}@{host}/rooms",
)
RUN = 4  # characters of a password that say something about it


def must_show_nothing_of(password: str, text: str) -> None:
    runs = {password[at : at + RUN] for at in range(len(password) - RUN + 1)}
    assert not [run for run in runs if set(run) & set(LETTERS) and run in text]


@given(spelling=st.sampled_from(SPELLINGS), host=st.sampled_from(HOSTS), password=PASSWORDS)
def test_nothing_of_a_password_is_shown(spelling: str, host: str, password: str):
    url = spelling.format(password, host=host)

    must_show_nothing_of(password, shown(url))
    try:
        address = address_in(url)
    except StoreError as error:
        must_show_nothing_of(password, f"{error} {error.detail} {error.advice}")
    else:
        must_show_nothing_of(password, address.shown)
        for one in address.urls:
            must_show_nothing_of(password, one.rpartition("@")[2].partition("?")[0])


@given(host=st.sampled_from(HOSTS), password=PASSWORDS)
def test_a_password_that_is_escaped_leaves_the_address_readable(host: str, password: str):
    url = f"postgresql://room:{quote(password, safe='')}@{host}/rooms"

    assert shown(url) == f"postgresql://{host}/rooms"
    assert address_in(url).shown == shown(url)
    assert [urlsplit(one).hostname for one in address_in(url).urls] == [
        urlsplit(f"//{one}").hostname for one in host.split(",")
    ]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://room:a@QXZJ?V@127.0.0.1:1/rooms",
        "postgresql://room:a@QXZJ?V=1@127.0.0.1:1/rooms",
        "postgresql://room:a@QXZJ/V@127.0.0.1:1/rooms",
        "postgresql://room:a@QXZJ#V@127.0.0.1:1/rooms",
        "postgresql://room:QXZJ/rooms",
        "postgresql:/room:QXZJ@127.0.0.1:1/rooms",
        "'postgresql://room:QXZJ@127.0.0.1:1/rooms'",
        "postgresql://room@127.0.0.1:1/rooms&password=QXZJ",
        "postgresql://room:QXZJ@127.0.0.1:1/rooms",
        "postgresql://room@127.0.0.1:1/rooms?password=a?QXZJ@b",
        "postgresql://room@127.0.0.1:1/rooms?passfile=/QXZJ/QXZJ",
    ],
)
async def test_nobody_is_told_of_a_password_whose_store_cannot_be_opened(url: str):
    with pytest.raises(StoreError) as told:
        await open_store(url).open()

    must_show_nothing_of("QXZJ", f"{told.value} {told.value.detail} {told.value.advice}")
