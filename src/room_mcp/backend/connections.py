"""Connections of the network, as the limits count them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .slots import Slot

CONNECTION = "room_mcp.connection"  # a key of the ASGI scope, which no socket request can set


class Connection:
    """Takes a slot of each caller who sends a request by it, until it is lost."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}  # by whom they count for
        self._is_lost = False

    async def counts_for(
        self, subject: str, open_slot: Callable[[], Awaitable[Slot | None]]
    ) -> bool:
        """Whether the caller may have it; False when he has as many as he may."""
        if subject in self._slots:
            return True
        slot = await open_slot()
        if slot is None:
            return False
        if self._is_lost or subject in self._slots:
            slot.close()  # hung up meanwhile, or counted by a request beside this one
        else:
            self._slots[subject] = slot
        return True

    def lost(self) -> None:
        """Give the slots back."""
        self._is_lost = True
        for slot in self._slots.values():
            slot.close()
        self._slots.clear()
