"""Connections to the database that break at every moment, under writers and readers.

    python -m faults.postgres_dropped [--drops 1000] [--seed N]

A proxy between nodes and database loses, cuts, delays, half-closes and freezes, a COMMIT more often
than anything else; and the server is told to end connections. Whoever has no idempotency key is
told the truth as well: nothing acknowledged is lost, nothing that was not stored is stored twice.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from .bad_links import BadLinks
from .clusters import Cluster, skipped
from .ground import Seen
from .postgres_load import ROOMS, WRITERS, Load, longest_silence

DROPS = 1_000
POSTS = 40  # between two times that the server ends connections, at most
ENDED_AT_ONCE = 3
DEADLINE_S = 1_200  # something hangs; far beyond what a run takes

_END = """
SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'room-mcp'
     ORDER BY random() LIMIT $1
) AS chosen
"""


class Dropped:
    """One run on the database at `url`."""

    def __init__(
        self,
        url: str,
        folder: Path | None,
        *,
        drops: int,
        seed: int,
        posts: int = POSTS,
        rooms: int = ROOMS,
        writers: int = WRITERS,
        often: float = 1,
    ) -> None:
        self._url = url
        self._folder = folder
        self._drops = drops
        self._seed = seed
        self._posts = posts
        self._room_count = rooms
        self._writers = writers
        self._often = often
        self._chance = random.Random(seed)
        self.ended = 0  # by the server
        self.links: BadLinks
        self.load: Load

    @property
    def dropped(self) -> int:
        return self.ended + self.links.cut

    async def run(self) -> Seen:
        database: Any = await asyncpg.connect(self._url)
        async with BadLinks(self._url, self._chance, often=0) as self.links:
            self.load = Load(
                self.links.url,
                self._folder,
                seed=self._seed,
                rooms=self._room_count,
                writers=self._writers,
            )

            async def drop(load: Load) -> None:
                self.links.often = self._often  # whoever opens a store needs its connections
                while self.dropped < self._drops:
                    await load.recording.more(self._chance.randint(1, self._posts))
                    count = self._chance.randint(1, ENDED_AT_ONCE)
                    self.ended += await database.fetchval(_END, count)

            try:
                async with asyncio.timeout(DEADLINE_S):
                    return await self.load.run(drop, direct=self._url)
            finally:
                await database.close()

    def told(self) -> int:
        """Print what there was; the exit code."""
        seen = self.load.seen
        silence_s = longest_silence(seen.recording.history())
        print(f"{'':<8} ended by the server {self.ended:,}; {self.links.told()}")
        print(
            f"{'':<8} without keys and left unknown {self.load.left_unknown:,}; "
            f"longest time without an acknowledged post {silence_s:.1f} s"
        )
        return seen.told(f"connections dropped ({self.dropped:,})")


async def drop(folder: Path, *, drops: int, seed: int) -> int:
    """One run on a server of its own; the exit code."""
    with await asyncio.to_thread(Cluster().__enter__) as cluster:
        run = Dropped(cluster.database(), folder, drops=drops, seed=seed)
        await run.run()
        return run.told()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.postgres_dropped", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--drops", type=int, default=DROPS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    args = parser.parse_args(arguments)
    if skipped("connections dropped"):
        return 0
    print(f"== connections dropped: {args.drops:,}; --seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="room-mcp-dropped-") as folder:
        return asyncio.run(drop(Path(folder), drops=args.drops, seed=args.seed))


if __name__ == "__main__":
    sys.exit(main())
