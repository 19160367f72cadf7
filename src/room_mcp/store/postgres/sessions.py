"""The settings of a session, and how one ends."""

from __future__ import annotations

from contextlib import suppress

from .database import Session

# Who holds a row longer than this while the others wait has died in the middle: a transaction
# here never waits for anything but the database.
IDLE_IN_TRANSACTION_MS = 5_000
LOCK_WAIT_MS = 8_000  # longer than that, so that waiting behind a dead node ends well

SESSION = {
    "application_name": "room-mcp",
    "jit": "off",  # statements here are short; to compile one takes longer than to run it
    # Which room is asked for makes no difference to the plan: to plan anew each time costs a third
    # of what the server does for a post.
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": str(LOCK_WAIT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
    # Before a commit, time-outs come from this side, by giving up the connection: cancelled by
    # the server, a commit that waits for a standby would be told as done.
    "statement_timeout": "0",
    "timezone": "UTC",
}


async def closed(session: Session | None) -> None:
    """Close a connection, however it is."""
    if session is None or session.is_closed():
        return
    with suppress(Exception):
        await session.close(timeout=1)
        return
    session.terminate()
