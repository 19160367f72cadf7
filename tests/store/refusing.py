"""A server that refuses whoever connects, as one does that only starts, or a pooler."""

from __future__ import annotations

import asyncio
import contextlib

from between import Between

LENGTH_BYTES = 4
WANTS_TLS = (80_877_103).to_bytes(4, "big")
NO_TLS = b"N"


class Refusing(Between):
    """Stands before a database and refuses so many connections; later ones it lets through."""

    def __init__(self, url: str, *, code: str, message: str, times: int) -> None:
        super().__init__(url)
        fields = ("SFATAL", "VFATAL", f"C{code}", f"M{message}", "", "")
        told = "\0".join(fields).encode()[:-1] + b"\0"
        self._refusal = b"E" + (LENGTH_BYTES + len(told)).to_bytes(LENGTH_BYTES, "big") + told
        self._left = times

    async def connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        first = await _first(near)
        if first.endswith(WANTS_TLS):
            back.write(NO_TLS)
            first = await _first(near)
        if self._left:
            self._left -= 1
            back.write(self._refusal)
            back.close()
            return
        far, forth = await asyncio.open_connection(self.parts.hostname, self.parts.port)
        forth.write(first)
        both = [asyncio.create_task(_passed_on(*way)) for way in ((near, forth), (far, back))]
        self.both.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for writer in (forth, back):
            writer.transport.abort()


async def _first(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(LENGTH_BYTES)
    return length + await reader.readexactly(int.from_bytes(length, "big") - LENGTH_BYTES)


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
