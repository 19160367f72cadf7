"""What a store promises about server keys and invitations."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import pytest
from engines import ALL
from store_talk import NOON, all_entries, by_ann

from room_mcp.store.callers import Invitation, ServerKey
from room_mcp.store.interface import Store

pytestmark = pytest.mark.anyio
ENGINES = ALL

MINUTE = timedelta(minutes=1)
CODE = Invitation("hash of a code", "rex", "agent", NOON, NOON + MINUTE)


def a_key(id: str = "rks_1", name: str = "ann", *, minutes: int = 0) -> ServerKey:
    at = NOON + minutes * MINUTE
    return ServerKey(id, f"hash of {id}", name, "agent", admin=False, created_at=at)


def key_for(invitation: Invitation) -> ServerKey:
    return a_key("rks_9", invitation.name)


async def use_arrives(store: Store, id: str, at: datetime) -> None:
    with anyio.fail_after(20):
        while (key := await store.server_key(id)) is None or key.used_at != at:
            await anyio.lowlevel.checkpoint()


async def test_a_key_comes_back_as_it_was_made(store: Store, other: Store):
    key = ServerKey("rks_1", "hash", "Ёжик", "human", True, NOON, NOON + MINUTE)

    await store.add_key(key)

    assert await other.server_key("rks_1") == key
    assert await other.server_key("rks_2") is None


async def test_keys_come_the_oldest_first(store: Store, other: Store):
    newer, older = a_key("rks_1", minutes=5), a_key("rks_2")
    await store.add_key(newer)
    await store.add_key(older)

    assert await other.server_keys() == [older, newer]


async def test_a_key_is_revoked_once_and_stays_known(store: Store, other: Store):
    await store.add_key(a_key())

    revoked = await store.revoke_key("rks_1", NOON + MINUTE)
    again = await other.revoke_key("rks_1", NOON + 2 * MINUTE)

    assert revoked == again == replace(a_key(), revoked_at=NOON + MINUTE)
    assert await other.server_keys() == [revoked]
    assert await store.revoke_key("rks_2", NOON) is None


async def test_the_last_use_of_a_key_is_noted_and_never_goes_back(store: Store):
    await store.add_key(a_key())
    for minutes in (1, 3, 2):
        store.key_used("rks_1", NOON + minutes * MINUTE)
    store.key_used("rks_2", NOON)

    await use_arrives(store, "rks_1", NOON + 3 * MINUTE)
    await store.add_key(a_key("rks_3"))  # behind what was noted, where all is done in order

    used = [(await store.server_key(id)) for id in ("rks_1", "rks_3")]
    assert [one and one.used_at for one in used] == [NOON + 3 * MINUTE, None]


async def test_an_invitation_is_redeemed_once_by_whoever_comes_first(store: Store, other: Store):
    await store.add_invitation(CODE)

    entry = by_ann("redeem")
    got = await asyncio.gather(
        *(one.redeem(CODE.hash, NOON, key_for, entry=entry) for one in (store, other) * 5)
    )

    assert [one for one in got if one] == [key_for(CODE)]
    assert await other.server_keys() == [key_for(CODE)]
    (kept,) = await all_entries(store)
    assert (kept.entry.name, kept.entry.key_id) == ("rex", "rks_9")


async def test_an_invitation_ends_with_its_time(store: Store):
    await store.add_invitation(CODE)

    assert await store.redeem(CODE.hash, CODE.expires_at, key_for) is None
    assert await store.redeem("another hash", NOON, key_for) is None
    assert await store.redeem(CODE.hash, NOON, key_for) is not None


async def test_invitations_that_have_expired_are_forgotten_with_the_next(store: Store):
    await store.add_invitation(CODE)

    later = replace(CODE, hash="another", created_at=NOON + MINUTE, expires_at=NOON + 2 * MINUTE)
    await store.add_invitation(later)

    assert await store.redeem(CODE.hash, NOON, key_for) is None
    assert await store.redeem("another", NOON + MINUTE, key_for) is not None
