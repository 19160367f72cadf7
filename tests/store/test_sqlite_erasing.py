"""What is removed from an SQLite store is in none of its files any more."""

from __future__ import annotations

import pytest
from store_talk import new_room, nothing, says

from room_mcp.store.interface import Act, Store

pytestmark = pytest.mark.anyio


async def test_erased_text_is_nowhere_in_the_files(store: Store, path):
    room_id = await new_room(store, "xylophone-secret", "secret-xylophone " * 2_000)

    await store.erase(room_id, nothing)

    await store.aclose()
    files = [path, path.with_name(path.name + "-wal")]
    assert not any(b"xylophone" in file.read_bytes() for file in files if file.exists())


async def test_erased_words_leave_a_large_index_too(store: Store, path):
    await new_room(store)
    room_id = await new_room(store)
    words = [" ".join(f"w{n * m}" for m in range(1, 60)) for n in range(400)]
    for start in range(0, 400, 50):
        await store.act_all(room_id, [Act(says(text)) for text in words[start : start + 50]])
    secret = await new_room(store, "xylophone-secret")
    await store.act_all(room_id, [Act(says(text)) for text in words])

    await store.erase(secret, nothing)

    await store.aclose()
    assert b"xylophone" not in path.read_bytes()


async def test_a_deleted_room_leaves_no_text_in_the_files(store: Store, path):
    room_id = await new_room(
        store,
        "xylophone-secret",
        "secret-xylophone " * 2_000,
        name="zither-name",
        purpose="harpsichord",
    )

    await store.delete(room_id, nothing)

    await store.aclose()
    text = b"".join(
        file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")
    )
    assert not [word for word in (b"xylophone", b"zither", b"harpsichord") if word in text]
