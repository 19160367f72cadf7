"""The guard's memories of rooms that this process keeps, so that a post needs to read none."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from room_mcp.rooms.guard import Features, Memory, type_as

MAX_BYTES = 64 * 1024 * 1024  # of all rooms together, as the memories estimate themselves
SNAPSHOT_MESSAGES = 256  # between two snapshots in the store


class Heard(NamedTuple):
    """A message as the guard heard it; `scored` is False where only its facts count."""

    seq: int
    sender: str
    scored: bool
    human: bool
    features: Features


@dataclass(slots=True)
class Remembered:
    """A memory that has heard the room up to `seq`; the store's snapshot is at `snapshot_seq`.

    What was erased is forgotten: the memory is good for that number of `erasures` only.
    """

    memory: Memory
    seq: int
    snapshot_seq: int
    erasures: int

    def hear(self, one: Heard) -> None:
        self.memory.take(one.features, one.sender, type=type_as(one.scored), human=one.human)
        self.seq = one.seq


class Memories:
    """The most recently used memories by room id; what is taken out must be put back."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[Remembered, int]] = OrderedDict()
        self._epoch = ""
        self.size_bytes = 0

    def belong_to(self, epoch: str) -> bool:
        """Forget what was heard under another epoch: restored rooms go on from an earlier point.

        Returns:
            Whether there was another before.
        """
        before, self._epoch = self._epoch, epoch
        if before in ("", epoch):
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Forget everything; it is read again."""
        self._kept.clear()
        self.size_bytes = 0

    def take_out(self, room_id: str, erasures: int) -> Remembered | None:
        """The memory of a room; until it is put back, nobody has it."""
        found = self._kept.pop(room_id, None)
        if found is None:
            return None
        remembered, size_bytes = found
        self.size_bytes -= size_bytes
        return remembered if remembered.erasures == erasures else None

    def put_back(self, room_id: str, remembered: Remembered) -> None:
        """Keep it; the ones not used for longest go when there is no space."""
        self.take_out(room_id, remembered.erasures)
        size_bytes = remembered.memory.size_bytes
        self._kept[room_id] = (remembered, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self._max_bytes:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.size_bytes -= dropped
