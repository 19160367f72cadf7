"""The handlers of what the owner of a room does with it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from room_mcp import wire

from .api import answered, room_id, services
from .callers import owner_proof_of, proof_of
from .errors import HttpProblem
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


async def rename_room(request: Request) -> Response:
    body = await body_as(request, wire.Rename)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).keeper.rename(room_id(request), body, proof))


async def archive_room(request: Request) -> Response:
    body = await body_as(request, wire.Archive)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).keeper.archive(room_id(request), body, proof))


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


async def expired(request: Request) -> Response:
    _must_keep_all_rooms(request)
    return answered(await services(request).retention.due())


async def remove_expired(request: Request) -> Response:
    _must_keep_all_rooms(request)
    return answered(await services(request).retention.remove())


def _must_keep_all_rooms(request: Request) -> None:
    proof = owner_proof_of(request)
    if not (proof.trusted or proof.admin):
        raise HttpProblem(
            "admins_only",
            "Rooms of others are removed by admins only.",
            "Ask with the key of an admin, or run `room-mcp purge --expired --yes` where the store "
            "is.",
        )


async def delete_room(request: Request) -> Response:
    await services(request).keeper.delete(room_id(request), owner_proof_of(request))
    return Response(status_code=204)


async def erase_messages(request: Request) -> Response:
    proof = owner_proof_of(request)
    return answered(await services(request).keeper.erase(room_id(request), proof))
