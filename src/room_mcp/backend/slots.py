"""What callers have open at once, such as waits: counted in the store, held by this process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from room_mcp.store.interface import StoreError
from room_mcp.store.limiting import LimitStore, slots

HELD_FOR = timedelta(seconds=120)  # then the slots of a process that died are free again
RENEWED_BEFORE = timedelta(seconds=60)  # longer than any wait lasts, so that none outlives it
KEEP_EVERY_S = 30.0  # often enough to be in time before a lease ends
KEPT_S = 1.0  # how long slots stay here that nobody uses: who waited soon waits again
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Held:
    """The slots of one caller: those in use, and those that the store counts for this process.

    `asking` counts who wants to know more of the store; they take turns.
    """

    opened: int = 0
    count: int = 0
    until: datetime = _LONG_AGO
    limit: int = 0
    asking: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def suffices(self, more: int, at: datetime) -> bool:
        return self.opened + more <= self.count and RENEWED_BEFORE < self.until - at <= HELD_FOR


class Slots:
    """Slots of one kind, for all callers.

    While the store cannot be written, each process counts by itself.

    Args:
        keeps: Whether what is open has to be renewed here, because it may be silent for long.
    """

    def __init__(
        self,
        store: LimitStore,
        kind: str,
        clock: Callable[[], datetime],
        *,
        keeps: bool = False,
    ) -> None:
        self._keeps = keeps
        self._keeper: asyncio.TimerHandle | None = None
        self._renewing: set[asyncio.Task[None]] = set()
        self._store = store
        self._kind = kind
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._held: dict[str, _Held] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def open(self, subject: str, limit: int) -> Slot | None:
        """A slot, until it is closed; None when the caller has as many as he may."""
        held = self._held.setdefault(subject, _Held())
        held.limit = limit
        slot = Slot(self, subject, held, limit)
        await self._ensure(slot, 1)
        if held.opened >= held.count:
            self.tidy_soon()
            return None
        held.opened += 1
        self._keep_soon()
        return slot

    async def renew(self, slot: Slot) -> None:
        """Keep what is open; to be called now and then while it is."""
        await self._ensure(slot, 0)

    def _keep_soon(self) -> None:
        if self._keeps and self._keeper is None and not self._closed:
            self._keeper = asyncio.get_running_loop().call_later(KEEP_EVERY_S, self._keep)

    def _keep(self) -> None:
        self._keeper = None
        task = asyncio.get_running_loop().create_task(self.keep())
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    async def keep(self) -> None:
        """Renew all that is open, and look again later."""
        opened = [
            Slot(self, subject, held, held.limit)
            for subject, held in self._held.items()
            if held.opened
        ]
        if opened:
            self._keep_soon()
        await asyncio.gather(*map(self.renew, opened))

    async def _ensure(self, slot: Slot, more: int) -> None:
        """Have slots for what is open and more, for as long as a wait takes; or all there are."""
        held = slot.held
        if held.suffices(more, self._clock()):
            return
        held.asking += 1
        try:
            async with held.turn:
                if not held.suffices(more, self._clock()):
                    await self._ask(slot.subject, held, held.opened + more, slot.limit)
        finally:
            held.asking -= 1

    async def _ask(self, subject: str, held: _Held, needed: int, limit: int) -> None:
        at = self._clock()
        until = at + HELD_FOR
        try:
            held.count = await self._store.take_slots(
                subject,
                self._kind,
                self._holder,
                limit=limit,
                opened=held.opened,
                needed=needed,
                at=at,
                until=until,
            )
        except StoreError:
            held.count = slots(limit=limit, others=0, opened=held.opened, needed=needed)
        held.until = until

    def tidy_soon(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(KEPT_S, self.tidy)

    def tidy(self) -> None:
        """Give back what nobody uses."""
        self._timer = None
        for subject, held in list(self._held.items()):
            if held.asking:
                self.tidy_soon()  # the store's answer may come after this
                continue
            if held.opened < held.count:
                held.count = held.opened
                with suppress(StoreError):
                    self._store.give_slots_back(subject, self._kind, self._holder, left=held.opened)
            if not held.count:
                del self._held[subject]

    async def aclose(self) -> None:
        """Give everything back: the process ends."""
        self._closed = True
        for timer in (self._timer, self._keeper):
            if timer is not None:
                timer.cancel()
        if self._held:
            with suppress(StoreError):
                await self._store.give_all_slots_back(self._holder)


class Slot:
    """One thing that is open."""

    def __init__(self, of: Slots, subject: str, held: _Held, limit: int) -> None:
        self._of = of
        self.subject = subject
        self.held = held
        self.limit = limit

    async def renew(self) -> None:
        await self._of.renew(self)

    def close(self) -> None:
        self.held.opened -= 1
        self._of.tidy_soon()

    async def __aenter__(self) -> Slot:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
