"""The handlers for whoever runs the server: whether it lives, whether it is ready, its figures."""

from __future__ import annotations

import anyio
from starlette.requests import Request
from starlette.responses import Response

import room_mcp
from room_mcp import wire
from room_mcp.settings import METRICS
from room_mcp.store.interface import StoreBusy

from .api import answered, services
from .callers import caller_of
from .errors import HttpProblem
from .gate import key_required

READY_S = 5  # for the store to answer a probe, whose own patience is often 10 s


async def healthz(request: Request) -> Response:
    return answered(wire.Health(version=room_mcp.__version__))


async def readyz(request: Request) -> Response:
    rooms = services(request).rooms
    if request.app.state.is_leaving or rooms.waits.draining:
        raise HttpProblem("draining", "The server is stopping.", "Ask another one.")
    try:
        with anyio.fail_after(READY_S):
            await rooms.store.directory_version()
    except TimeoutError:
        raise StoreBusy(f"The store has not answered within {READY_S} s.") from None
    return answered(wire.Health(version=room_mcp.__version__))


async def metrics(request: Request) -> Response:
    """For whoever the settings let see it where keys are needed, else for all who come in."""
    rooms, gate = services(request).rooms, services(request).gate
    readers = rooms.settings.metrics if gate.door.requires_key else "all"
    caller = caller_of(request)
    if readers != "all" and not caller.trusted:
        if caller.key is None:
            raise key_required()
        if readers == "admins" and not caller.key.admin:
            raise HttpProblem(
                "admins_only",
                "The server's figures are for admins.",
                "Ask with the key of an admin; whoever runs the server opens them to other keys "
                f"with {METRICS.name}=keys.",
            )
    # Late: the client of Prometheus takes 80 ms to import, and most processes are never asked.
    from .metrics import MEDIA_TYPE, exposition

    return Response(exposition(rooms.measures, rooms.waits.open), media_type=MEDIA_TYPE)
