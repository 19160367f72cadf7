"""Short runs of faults.disk, faults.stopped, faults.clocks and faults.files."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import clocks, disk, files, stopped

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_nothing_is_lost_or_doubled_on_a_full_disk(tmp_path: Path):
    with disk.small_disk(tmp_path) as mounted:
        if not mounted:
            pytest.skip("nothing may be mounted here; the limit on files stands for it")
        seen = await disk.fail_and_go_on(tmp_path, times=1, kind="full")

    assert seen.findings == []
    assert seen.recording.retried


async def test_nothing_is_lost_or_doubled_where_no_file_may_grow(tmp_path: Path):
    seen = await disk.fail_and_go_on(tmp_path, times=1, kind="limited")

    assert seen.findings == []
    assert seen.recording.retried


async def test_a_store_on_a_read_only_disk_says_what_to_do(tmp_path: Path):
    with disk.small_disk(tmp_path) as mounted:
        if not mounted:
            pytest.skip("nothing may be mounted here")
        findings = await disk.open_read_only(tmp_path)

    assert findings == []


async def test_others_go_on_after_a_writer_was_stopped_with_the_lock(tmp_path: Path):
    seen = await stopped.stop_and_go_on(tmp_path, times=1, seconds=0)

    assert seen.findings == []
    assert seen.recording.retried


async def test_a_clock_that_jumps_harms_nobody(tmp_path: Path):
    jumps = (clocks.HOUR, -clocks.YEARS, clocks.YEARS, -clocks.HOUR)

    seen = await clocks.jump_about(tmp_path, jumps=jumps, rounds=1, posts=10)

    assert seen.findings == []


async def test_nothing_is_lost_or_doubled_when_files_vanish(tmp_path: Path):
    seen = await files.vanish(tmp_path, rounds=5, seed=1, others=1)

    assert seen.findings == []
