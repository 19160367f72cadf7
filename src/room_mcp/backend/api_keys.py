"""The handlers of the calls about server keys and invitations."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from room_mcp import wire

from .api import answered, services
from .callers import caller_of
from .doorkeeping import Doorkeeper
from .limits import body_as


def _doorkeeper(request: Request) -> Doorkeeper:
    gate = services(request).gate
    return Doorkeeper(gate.store, gate.clock)


async def create_key(request: Request) -> Response:
    new = await body_as(request, wire.NewKey)
    return answered(await _doorkeeper(request).make_key(caller_of(request), new), 201)


async def list_keys(request: Request) -> Response:
    return answered(await _doorkeeper(request).keys(caller_of(request)))


async def revoke_key(request: Request) -> Response:
    id: str = request.path_params["key"]
    return answered(await _doorkeeper(request).revoke(caller_of(request), id))


async def invite(request: Request) -> Response:
    new = await body_as(request, wire.NewInvitation)
    return answered(await _doorkeeper(request).invite(caller_of(request), new), 201)


async def redeem(request: Request) -> Response:
    body = await body_as(request, wire.Redeem)
    return answered(await _doorkeeper(request).redeem(body.code), 201)


async def me(request: Request) -> Response:
    return answered(_doorkeeper(request).me(caller_of(request)))
