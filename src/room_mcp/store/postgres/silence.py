"""Has the system give up connections whose other end is gone without a word.

A machine that loses its power or its network sends nothing any more, not even that it goes. Without
this a node would wait for its answers as long as for those of a slow one.
"""

from __future__ import annotations

import socket
from typing import Any

SILENT_S = 5  # without any sign of life; a slow server's system gives signs of its own
IDLE_S = 2  # then the other end is asked for one
MS = 1_000

# Seconds, but for the last; by the names under which one system or the other knows them.
_OPTIONS = {
    "TCP_KEEPIDLE": IDLE_S,
    "TCP_KEEPALIVE": IDLE_S,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": SILENT_S - IDLE_S,
    "TCP_USER_TIMEOUT": SILENT_S * MS,  # also for what was sent and has not arrived
}


def give_up_silent(session: Any) -> None:
    """Set it up for a new connection of asyncpg, which has no option for that."""
    transport = getattr(session, "_transport", None)
    sock = transport and transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
