"""New names for new things."""

from __future__ import annotations

import os
import time
import uuid


def new_room_id() -> str:
    """A random UUID: whoever knows it may enter an open room, so it must not be guessable."""
    return str(uuid.uuid4())


def new_message_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds first, so that ids of one room sort roughly by time."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
