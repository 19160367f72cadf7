"""The handlers of the REST contract, a few lines each; `operations.py` says where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

import room_mcp
from room_mcp import wire
from room_mcp.rooms import Proof

from .callers import TRUSTED, owner_proof_of, proof_of
from .errors import HttpProblem
from .finding import Finder
from .following import Follower
from .gate import Gate
from .limits import MAX_BATCH_BODY_BYTES, body_as
from .queries import Query, known_id, seq_in
from .reading import PageQuery
from .service import RoomService

Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with; one per app, at `app.state.services`."""

    rooms: RoomService
    finder: Finder
    follower: Follower
    gate: Gate


def services(request: Request) -> Services:
    return request.app.state.services


def room_id(request: Request) -> str:
    return known_id(request.path_params["id"])


def answered(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(
        model.model_dump_json(by_alias=True), status, headers, media_type="application/json"
    )


class ClientGone(Exception):
    """The client closed the connection: nobody is left to answer."""


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Do the work, and drop it with `ClientGone` when the client goes away."""

    if request.scope.get(TRUSTED):
        return await work  # a caller of this process cancels instead of hanging up

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


# ---- rooms ------------------------------------------------------------------------------------


async def create_demo_room(request: Request) -> Response:
    new = await body_as(request, wire.NewDemoRoom)
    return answered(await services(request).rooms.create_demo(new), 201)


async def create_room(request: Request) -> Response:
    new = await body_as(request, wire.NewRoom)
    room = await services(request).rooms.create(new)
    return answered(room, 201 if room.created else 200)


DIRECTORY_QUERY = ("query", "member", "mine", "ids", "closed", "before", "limit", "read")


async def list_rooms(request: Request) -> Response:
    query = Query(request, DIRECTORY_QUERY)
    directory = await services(request).finder.directory(
        proof_of(request),
        query=query.text("query") or "",
        member=query.text("member"),
        mine=query.flag("mine", False),
        ids=query.ids("ids"),
        closed=query.flag("closed", True),
        before=query.time("before"),
        limit=query.limit(100),
        read=query.cursors("read"),
    )
    return answered(directory)


async def room(request: Request) -> Response:
    return answered(await services(request).rooms.room(room_id(request)))


async def info(request: Request) -> Response:
    return answered(await services(request).rooms.info(room_id(request)))


async def close_room(request: Request) -> Response:
    body = await body_as(request, wire.Close)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).rooms.close(room_id(request), body, proof))


async def hold_room(request: Request, *, pause: bool) -> Response:
    body = await body_as(request, wire.Hold)
    proof = owner_proof_of(request, body.owner_key)
    rooms = services(request).rooms
    return answered(await rooms.hold(room_id(request), body, proof, pause=pause))


async def reopen_room(request: Request) -> Response:
    body = await body_as(request, wire.Reopen)
    return answered(await services(request).rooms.reopen(room_id(request), body, proof_of(request)))


async def adjust_room(request: Request) -> Response:
    body = await body_as(request, wire.Adjust)
    proof = owner_proof_of(request, body.owner_key)
    return answered(await services(request).rooms.adjust(room_id(request), body, proof))


async def list_templates(request: Request) -> Response:
    return answered(services(request).rooms.known_templates())


async def delete_room(request: Request) -> Response:
    await services(request).rooms.delete(room_id(request), owner_proof_of(request))
    return Response(status_code=204)


async def erase_messages(request: Request) -> Response:
    erased = await services(request).rooms.erase(room_id(request), owner_proof_of(request))
    return answered(erased)


# ---- members ----------------------------------------------------------------------------------


async def join_room(request: Request) -> Response:
    body = await body_as(request, wire.Join)
    proof = proof_of(request, body.agent_key or body.agent_session_id)
    return answered(await services(request).rooms.join(room_id(request), body, proof))


async def leave_room(request: Request) -> Response:
    body = await body_as(request, wire.Leave)
    proof = proof_of(request, body.agent_key or body.agent_session_id)
    return answered(await services(request).rooms.leave(room_id(request), body, proof))


async def heartbeat(request: Request) -> Response:
    body = await body_as(request, wire.Heartbeat)
    proof = proof_of(request, body.agent_key or body.agent_session_id)
    return answered(await services(request).rooms.heartbeat(room_id(request), body, proof))


# ---- messages ---------------------------------------------------------------------------------


async def post_message(request: Request, *, default_sender: str | None = None) -> Response:
    body = await body_as(request, wire.Post)
    id = room_id(request)
    key = body.agent_key or body.agent_session_id
    proof = owner_proof_of(request, key) if default_sender else proof_of(request, key)
    posted, complete = await services(request).rooms.post(
        id,
        body,
        proof,
        key_header=request.headers.get("idempotency-key"),
        default_sender=default_sender,
    )
    headers = {"Location": f"/agent/rooms/{id}/messages?after={posted.seq - 1}&limit=1"}
    if posted.idempotent:
        headers["Idempotency-Replayed"] = "true"
    return await _completing(request, answered(posted, 201, headers), complete)


async def _completing(
    request: Request, response: Response, complete: Callable[[], Awaitable[None]]
) -> Response:
    """The response, which completes by leaving; for a client that is gone it never does."""
    if request.scope.get(TRUSTED):
        # A caller of this process never hangs up, and asking for it takes 0.1 ms.
        response.background = BackgroundTask(complete)
        return response
    for _ in range(2):
        await asyncio.sleep(0)  # lets the server read what has arrived
    if not await request.is_disconnected():
        response.background = BackgroundTask(complete)
    return response


async def post_batch(request: Request) -> Response:
    body = await body_as(request, wire.Batch, max_bytes=MAX_BATCH_BODY_BYTES)

    def proof_for(post: wire.Post) -> Proof:
        return proof_of(request, post.agent_key or post.agent_session_id)

    return answered(await services(request).rooms.batch(room_id(request), body, proof_for))


PAGE_QUERY = ("after", "before", "limit", "wait", "since", "sender", "type", "reader", "ack")


async def read_messages(request: Request) -> Response:
    await request.body()  # there is none; but before it, the server tells of no hang-up
    query = Query(request, PAGE_QUERY)
    page = PageQuery(
        after=query.cursor("after"),
        before=query.cursor("before"),
        limit=query.limit(50),
        wait_s=query.wait_s(),
        since=query.text("since"),
        sender=query.text("sender"),
        type=query.text("type"),
        reader=query.text("reader"),
        ack=query.cursor("ack"),
    )
    reader = services(request).rooms.reader
    work = reader.page(room_id(request), page, proof_of(request))
    done = await (while_connected(request, work) if page.wait_s else work)
    return await _completing(request, answered(done.page), done.complete)


HISTORY_QUERY = ("after", "before", "limit", "since")


async def read_history(request: Request) -> Response:
    query = Query(request, HISTORY_QUERY)
    limit = query.limit(wire.MAX_LIMIT) if query.text("limit") else None
    reader = services(request).rooms.reader
    id = room_id(request)
    since = query.text("since")
    after = await reader.since(id, since) if since is not None else query.cursor("after")
    return answered(
        await reader.history(id, after=after, before=query.cursor("before"), limit=limit)
    )


# ---- following and finding -----------------------------------------------------------------------


UPDATES_QUERY = ("rooms", "directory", "wait", "reader")


async def updates(request: Request) -> Response:
    query = Query(request, UPDATES_QUERY)
    work = services(request).follower.updates(
        query.cursors("rooms"),
        directory=query.cursor("directory"),
        wait_s=query.wait_s(),
        reader=query.text("reader"),
        proof=proof_of(request),
    )
    return answered(await while_connected(request, work))


async def stream(request: Request) -> Response:
    query = Query(request, ("after",))
    id = room_id(request)
    last_id = seq_in(request.headers.get("last-event-id", ""))
    after = max(query.cursor("after") or 0, last_id or 0)
    rooms = services(request).rooms
    room = await rooms.store.room(id)
    rooms.reader.must_reach(room, after)
    if room.lifecycle == "closed" and after >= room.last_seq:
        return Response(status_code=204)
    follower = services(request).follower
    if "application/x-ndjson" in request.headers.get("accept", ""):
        return StreamingResponse(follower.ndjson(id, after), media_type="application/x-ndjson")
    return StreamingResponse(follower.sse(id, after), media_type="text/event-stream")


async def export(request: Request) -> Response:
    query = Query(request, ("format",))
    id = room_id(request)
    rooms = services(request).rooms
    room = await rooms.store.room(id)
    follower = services(request).follower
    format = query.text("format") or "md"
    if format not in ("md", "jsonl"):
        raise HttpProblem("malformed", "The format is not known here.", "Known: md, jsonl.")
    if format == "jsonl":
        return StreamingResponse(follower.jsonl(id), media_type="application/x-ndjson")
    return StreamingResponse(follower.markdown(room), media_type="text/markdown; charset=utf-8")


async def search(request: Request) -> Response:
    query = Query(request, ("q", "ids", "limit"))
    hits = await services(request).finder.search(
        query.text("q") or "",
        room_id=room_id(request) if "id" in request.path_params else None,
        ids=query.ids("ids"),
        limit=query.limit(20, most=100),
    )
    return answered(hits)


# ---- the server itself ------------------------------------------------------------------------


async def healthz(request: Request) -> Response:
    return answered(wire.Health(version=room_mcp.__version__))


async def readyz(request: Request) -> Response:
    await services(request).rooms.store.directory_version()
    return answered(wire.Health(version=room_mcp.__version__))
