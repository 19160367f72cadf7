"""One timer for all deadlines: everything is called at its own, and only once."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from room_mcp.store.deadlines import Deadlines

pytestmark = pytest.mark.anyio


class Passed(list[str]):
    """What was called, and when all of it was."""

    def __init__(self, expected: int) -> None:
        super().__init__()
        self._expected = expected
        self.all = asyncio.Event()

    def add(self, one: str) -> None:
        self.append(one)
        if len(self) == self._expected:
            self.all.set()


async def test_each_is_called_once_and_in_the_order_of_the_deadlines():
    passed = Passed(3)
    deadlines = Deadlines(asyncio.get_running_loop(), passed.add)

    for one, timeout_s in (("last", 0.06), ("first", 0.02), ("second", 0.04)):
        deadlines.add(one, timeout_s)
    with anyio.fail_after(20):
        await passed.all.wait()

    assert passed == ["first", "second", "last"]


async def test_what_was_done_in_time_is_not_called():
    passed = Passed(1)
    deadlines = Deadlines(asyncio.get_running_loop(), passed.add)

    deadlines.add("done", 0.01)
    deadlines.add("late", 0.02)
    deadlines.discard("done")
    with anyio.fail_after(20):
        await passed.all.wait()

    assert passed == ["late"]
    assert deadlines.waiting() == ["late"]


async def test_a_later_one_is_called_after_all_earlier_ones_were_done():
    passed = Passed(1)
    deadlines = Deadlines(asyncio.get_running_loop(), passed.add)
    deadlines.add("done", 0.01)
    deadlines.discard("done")

    deadlines.add("late", 0.03)
    with anyio.fail_after(20):
        await passed.all.wait()

    assert passed == ["late"]
