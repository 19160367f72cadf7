"""A server that stands between a store and its database."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Self
from urllib.parse import urlsplit


class Between:
    """Listens as long as it is entered; `both` are the two ways of each connection."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.both: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self.connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self.both:
            task.cancel()
        await asyncio.gather(*self.both, return_exceptions=True)

    @property
    def url(self) -> str:
        """Of the database, through here."""
        login = self.parts.netloc.rpartition("@")[0]
        port = self._server.sockets[0].getsockname()[1]
        return self.parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()

    @abstractmethod
    async def connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Somebody has come."""
