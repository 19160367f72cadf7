"""What a database says of itself: for `room-mcp doctor` and `report`. No names, no texts."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..migrate.tables import AUDIT, OF_ROOMS, ROOMS, WHOLE
from ..moved import epoch_before
from .addresses import address_in
from .connecting import Connections
from .database import Database
from .doubts import doubts
from .schema import holds_store
from .sessions import closed

_SERVER = "SELECT current_setting('server_version'), pg_database_size(current_database())"
_SESSION = """
SELECT ssl, (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
    current_setting('max_connections')::int
FROM pg_stat_ssl WHERE pid = pg_backend_pid()
"""


async def census(url: str) -> dict[str, Any]:
    """The server, its connections, and how many rows each table has; no tables are made.

    Raises:
        StoreUnavailable, StoreBusy: With advice.
    """
    connections = Connections(address_in(url))
    with connections.errors():
        session = await connections.patient()
        try:
            return await _counted(Database(session))
        finally:
            await closed(session)


class Server(NamedTuple):
    """Which PostgreSQL it is and whether it speaks TLS with us; and what a person should know."""

    told: str
    doubts: tuple[str, ...]


async def server(url: str) -> Server:
    """Raises as `census`."""
    connections = Connections(address_in(url))
    with connections.errors():
        session = await connections.own()
        try:
            db = Database(session)
            version = await db.value("SELECT current_setting('server_version')")
            tls = await db.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            found = [*await doubts(db), connections.clocks.doubt]
        finally:
            await closed(session)
    told = f"PostgreSQL {str(version).partition(' ')[0]}, {'encrypted' if tls else 'not encrypted'}"
    return Server(told, tuple(filter(None, found)))


async def _counted(db: Database) -> dict[str, Any]:
    version, size_bytes = (await db.rows(_SERVER))[0]
    tls, connections, most = (await db.rows(_SESSION))[0]
    found: dict[str, Any] = {
        "server": str(version).partition(" ")[0],
        "bytes": size_bytes,
        "encrypted": tls,
        "connections": connections,
        "mostConnections": most,
    }
    if not await holds_store(db):
        return found
    schema = "SELECT name, value FROM meta WHERE name IN ('schema', 'expanded', 'epoch')"
    found["meta"] = dict(map(tuple, await db.rows(schema)))
    found["meta"]["epoch"] = epoch_before(found["meta"]["epoch"])  # behind it may stand a place
    tables = [one.name for one in (ROOMS, *OF_ROOMS, *WHOLE, AUDIT)]
    found["rows"] = {one: await db.value(f"SELECT count(*) FROM {one}") for one in tables}
    return found
