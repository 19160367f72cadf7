"""A connection to a database that breaks at the worst moment."""

from __future__ import annotations

import asyncio
import contextlib

from between import Between

COMMIT = b"COMMIT\0"  # as it is sent: a statement without values
LISTEN, ELSEWHERE = b'LISTEN "room_mcp"', b'LISTEN "room_mcq"'
PIECE_BYTES = 65_536


class Cutting(Between):
    """Stands between a store and its database, and cuts the next connection that commits."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._arrives: bool | None = None
        self.cuts = 0
        self.has_cut = asyncio.Event()
        self.loses_notices = False  # as some poolers do
        self.delays_commits = False  # until it `goes_on`; whoever sent one may be gone by then
        self.has_delayed = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.lets_in = asyncio.Event()  # whether new connections come through
        self.lets_in.set()

    def cut_next(self, *, arrives: bool) -> None:
        """Cut where the next COMMIT comes by: after the server has answered it, or before it is
        there."""
        self._arrives = arrives

    async def connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await self.lets_in.wait()
        far, forth = await asyncio.open_connection(self.parts.hostname, self.parts.port)
        ways = (self._asked(near, forth, far), self._answered(far, back))
        both = [asyncio.create_task(one) for one in ways]
        self.both.update(both)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            for writer in (forth, back):
                writer.transport.abort()

    async def _asked(
        self, near: asyncio.StreamReader, forth: asyncio.StreamWriter, far: asyncio.StreamReader
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await near.read(PIECE_BYTES):
                is_cut = COMMIT in piece and self._arrives is not None
                if is_cut and not self._arrives:
                    self._arrives = None
                    self.cuts += 1
                    self.has_cut.set()
                    return
                if COMMIT in piece and self.delays_commits:
                    self.has_delayed.set()
                    await self.goes_on.wait()
                forth.write(piece.replace(LISTEN, ELSEWHERE) if self.loses_notices else piece)

    async def _answered(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await far.read(PIECE_BYTES):
                if self._arrives and piece.startswith(b"C\0\0\0\x0bCOMMIT\0"):
                    self._arrives = None
                    self.cuts += 1
                    self.has_cut.set()
                    return
                back.write(piece)
