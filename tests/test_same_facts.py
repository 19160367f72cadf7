"""Facts that stand in two places because a layer may not import the other are the same there."""

from __future__ import annotations

import asyncio

import pytest

from room_mcp import wire
from room_mcp.backend.waiting import Waits
from room_mcp.rooms import BUILT_IN_TYPES
from room_mcp.rooms.message import Wakes, wake_rule


def test_the_quiet_types_of_the_wire_are_those_that_wake_nobody():
    quiet = {type for type in BUILT_IN_TYPES if wake_rule(type, "agent") is Wakes.NOBODY}

    assert quiet == wire.QUIET_TYPES


class OnlyWokenFromOutside:
    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        await self._woken.wait()
        return True

    def wake(self) -> None:
        self._woken.set()


@pytest.mark.asyncio
async def test_draining_ends_a_wait_that_nothing_else_would_end():
    waits = Waits()

    async def nothing() -> None:
        asyncio.get_running_loop().call_soon(waits.drain)

    async with asyncio.timeout(20):
        found = await waits.until(nothing, OnlyWokenFromOutside(), timeout_s=3600)

    assert found is None
    assert waits.draining
