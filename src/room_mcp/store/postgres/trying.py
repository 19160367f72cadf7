"""Tries again what a lost connection, or another node, has undone before anything was stored."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import asyncpg

from ..interface import StoreError
from .addresses import Address
from .database import CommitFailed
from .troubles import PASSES, trouble

MAX_TRYING_S = 5.0
STARTING_S = 10.0  # that a server which starts at the same time as a node may take
FIRST_PAUSE_S = 0.02  # before the second try; twice as long before each further one
MAX_PAUSE_S = 1.0

T = TypeVar("T")


async def tried(call: Callable[[], Awaitable[T]], address: Address) -> T:
    """What a read or a transaction answers, the first time that it comes through.

    Raises:
        StoreBusy, StoreUnavailable: Nothing was stored.
        OutcomeUnknown: Its COMMIT was not answered.
    """
    end = time.monotonic() + MAX_TRYING_S
    for pause_s in pauses():
        try:
            return await call()
        except StoreError:
            raise
        except TimeoutError as error:  # it has taken its time already
            raise trouble(error, address) from error
        except PASSES as error:
            if time.monotonic() + pause_s > end:
                raise trouble(error, address) from error
        except (CommitFailed, asyncpg.PostgresError) as error:
            raise trouble(error, address) from error
        await asyncio.sleep(pause_s)
    raise AssertionError("there is always one more pause")


async def once_started(call: Callable[[], Awaitable[T]]) -> T:
    """What it answers once the server takes connections; one that starts says that it does."""
    end = time.monotonic() + STARTING_S
    for pause_s in pauses():
        try:
            return await call()
        except asyncpg.CannotConnectNowError:
            if time.monotonic() + pause_s > end:
                raise
        await asyncio.sleep(pause_s)
    raise AssertionError("there is always one more pause")


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try; rarely the same for two nodes."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.5)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)
