"""The ASGI app: routes, pages, errors and the store's lifetime."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from room_mcp import wire
from room_mcp.settings import Settings
from room_mcp.store.interface import Store

from . import auditing, observing
from .api import ClientGone, Handler, Services, services
from .callers import REQUEST_ID
from .errors import KINDS, HttpProblem, code_of, problem
from .finding import Finder
from .following import Follower
from .gate import OPEN_DOOR, Door, Gate
from .guard import THIS_MACHINE, Guard, Hosts
from .keeping import Keeper
from .limiting import NO_LIMITS, Limiter, Limits
from .observing import Observing
from .operations import OPERATIONS, Operation
from .pages import PAGES
from .retention import Retention
from .service import RoomService, utc_now

CLIENT_GONE = 499  # sent to nobody; what access logs of other servers show for it


def create_app(
    store: Store,
    settings: Settings,
    *,
    hosts: Hosts = THIS_MACHINE,
    routes: Sequence[BaseRoute] = (),
    alongside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext[None],
    clock: Callable[[], datetime] = utc_now,
    door: Door = OPEN_DOOR,
    limits: Limits = NO_LIMITS,
) -> Starlette:
    """The whole REST backend over a store, which it opens and closes.

    Args:
        hosts: What the server is called by.
        routes: What is served beside the calls, behind the same guard.
        alongside: What runs while the store is open.
        clock: Tells the time by which rooms end.
        door: Whom the server lets in.
        limits: What each caller may do.
    """
    rooms = RoomService.over(store, settings, clock, door)
    limiter = Limiter(rooms.store, limits, clock)
    retention = Retention(rooms)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        await store.open()
        try:
            async with alongside(), retention.running():
                yield
        finally:
            rooms.waits.drain()
            await limiter.aclose()
            await store.aclose()

    # First: a tool call comes by one of them, and would else be held against fifty others.
    all_routes = [*routes, *(_route(one) for one in (*OPERATIONS, *PAGES))]
    observed = partial(Observing, measures=rooms.measures, routes=all_routes)
    app = Starlette(
        routes=all_routes,
        middleware=[Middleware(observed), Middleware(Guard, hosts=hosts)],
        exception_handlers={HTTPException: _http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.hosts = hosts
    app.state.is_leaving = False
    app.state.past_guard = observed(app.router)
    app.state.services = Services(
        rooms=rooms,
        keeper=Keeper(rooms),
        finder=Finder(rooms.store, rooms.clock),
        follower=Follower(rooms.store, rooms.reader, rooms.waits),
        gate=Gate(rooms.store, clock, door, limiter),
        limiter=limiter,
        retention=retention,
    )
    return app


def leave(app: Starlette) -> None:
    """Serve on, but be no longer ready: whoever balances the load shall choose another server."""
    app.state.is_leaving = True


def drain(app: Starlette) -> None:
    """End all waits and streams, so that the server can stop."""
    services: Services = app.state.services
    services.rooms.waits.drain()


def _route(operation: Operation) -> Route:
    route = Route(
        operation.path,
        _answering(operation),
        methods=[operation.method],
        name=f"{operation.method} {operation.path}",
    )
    if operation.query and route.methods is not None:
        # HEAD shows nothing, so it must not move what was shown, nor wait, nor stream.
        route.methods.discard("HEAD")
    return route


def _answering(operation: Operation) -> Handler:
    """The outermost place: whatever goes wrong becomes a problem, never a stack trace."""

    cost = operation.charged_as

    async def answer(request: Request) -> Response:
        gate, limiter = services(request).gate, services(request).limiter
        try:
            await gate.admit(request, public=operation.public, demo=operation.is_of_demos)
            await limiter.connected(request)
            await limiter.charge(request, cost)
            response = await operation.handler(request)
            if cost == "posts":
                response.headers.update(limiter.standing(request, cost))
            return response
        except (ClientGone, ClientDisconnect):
            return Response(status_code=CLIENT_GONE)
        except Exception as error:
            auditing.note_refusal(error, gate.store, gate.clock())
            if operation.answer is wire.Posted:
                code = code_of(error)
                services(request).rooms.measures.not_stored(code, KINDS[code].status)
            request_id = request.scope[REQUEST_ID]
            return problem(gate.told(error, request, request_id), request_id)

    async def audited(request: Request) -> Response:
        method, path = operation.method, operation.path
        with auditing.asked_by(request, f"{method} {path}"):
            return await observing.answered(request, method, path, answer)

    return audited


def _methods_at(request: Request) -> list[str]:
    """The methods by which something is at this path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [one for one in routes if one.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for one in here for method in one.methods or ()})


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the router itself says: no such path, or not by this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        allowed = {"Allow": ", ".join(_methods_at(request))}
        refusal = HttpProblem(
            "no_such_method",
            f"{request.method} is not known here.",
            "GET /openapi.json lists every call.",
            headers=allowed,
        )
    else:
        refusal = HttpProblem(
            "no_such_path", "There is nothing at this path.", "GET /openapi.json lists every call."
        )
    observing.note_refusal(refusal)
    return problem(refusal, request.scope[REQUEST_ID])
