"""The handlers of what the owner of a room does with it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from room_mcp import wire

from .api import answered, room_id, services
from .callers import owner_proof_of, proof_of
from .keeping import Decision
from .limits import body_as


async def close_room(request: Request) -> Response:
    body = await body_as(request, wire.Close)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).keeper.close(room_id(request), body, proof))


async def hold_room(request: Request, *, pause: bool) -> Response:
    body = await body_as(request, wire.Hold)
    proof = owner_proof_of(request, body.owner_key)
    keeper = services(request).keeper
    return answered(await keeper.hold(room_id(request), body, proof, pause=pause))


async def reopen_room(request: Request) -> Response:
    body = await body_as(request, wire.Reopen)
    proof = proof_of(request)
    return answered(await services(request).keeper.reopen(room_id(request), body, proof))


async def adjust_room(request: Request) -> Response:
    body = await body_as(request, wire.Adjust)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).keeper.adjust(room_id(request), body, proof))


async def decide(request: Request, *, about: Decision) -> Response:
    body = await body_as(request, wire.Decide)
    return await _decided(request, about, body)


async def mute(request: Request) -> Response:
    body = await body_as(request, wire.Mute)
    return await _decided(request, "mute" if body.muted else "unmute", body)


async def _decided(request: Request, about: Decision, body: wire.Decide) -> Response:
    proof = owner_proof_of(request, body.owner_key)
    keeper = services(request).keeper
    return answered(await keeper.decide(room_id(request), about, body.name, proof))


async def delete_room(request: Request) -> Response:
    await services(request).keeper.delete(room_id(request), owner_proof_of(request))
    return Response(status_code=204)


async def erase_messages(request: Request) -> Response:
    proof = owner_proof_of(request)
    return answered(await services(request).keeper.erase(room_id(request), proof))
