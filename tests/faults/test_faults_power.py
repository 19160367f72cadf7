"""A few power cuts; `make faults` tries hundreds."""

from __future__ import annotations

import random

from faults.power import cut_often, synchronous_normal
from faults.recorded_disk import (
    SECTOR_BYTES,
    Disk,
    FolderSynced,
    Made,
    Removed,
    Synced,
    Truncated,
    Written,
)

SEED = 7
TRIES = 200


def after_cuts(disk: Disk) -> set[bytes | None]:
    """All that many cuts leave of the file "a"; None: it is not there."""
    chance = random.Random(SEED)
    return {disk.after_cut(chance).get("a") for _ in range(TRIES)}


def test_nothing_acknowledged_is_lost_when_the_power_goes():
    summary = cut_often(posts=400, cuts=20, seed=SEED)

    assert summary.findings == []
    assert len(summary.cuts) == 20
    assert summary.commits.unsynced > 0
    assert summary.commits.checkpoints > 2


def test_the_cuts_would_show_what_a_store_loses_that_does_not_wait_for_the_disk():
    with synchronous_normal():
        summary = cut_often(posts=400, cuts=10, seed=SEED)

    assert summary.lost


def test_a_cut_leaves_what_was_synced():
    disk = Disk([Made("a", 1), Written(1, 0, b"one"), Synced(1), FolderSynced()])

    assert after_cuts(disk) == {b"one"}


def test_a_cut_leaves_each_unsynced_change_or_not():
    safe = [Made("a", 1), Written(1, 0, b"one"), Synced(1), FolderSynced()]
    disk = Disk([*safe, Truncated(1, 2), Written(1, 0, b"ONE")])

    assert after_cuts(disk) == {b"one", b"on", b"ONE"}


def test_a_cut_tears_a_write_between_sectors():
    before, after = b"b" * SECTOR_BYTES, b"a" * SECTOR_BYTES
    safe = [Made("a", 1), Written(1, 0, before * 2), Synced(1), FolderSynced()]
    disk = Disk([*safe, Written(1, 0, after * 2)])

    assert after_cuts(disk) == {before * 2, before + after, after + before, after * 2}


def test_a_name_is_safe_only_when_its_folder_was_synced():
    disk = Disk([Made("a", 1), Written(1, 0, b"one"), Synced(1)])

    assert after_cuts(disk) == {None, b"one"}


def test_a_removed_file_may_come_back_until_its_folder_was_synced():
    disk = Disk([Made("a", 1), Written(1, 0, b"one"), Synced(1), FolderSynced(), Removed("a")])

    assert after_cuts(disk) == {None, b"one"}
