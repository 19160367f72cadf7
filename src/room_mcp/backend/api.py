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

from room_mcp import wire
from room_mcp.rooms import Proof, Room

from . import auditing
from .callers import TRUSTED, owner_proof_of, proof_of
from .errors import HttpProblem
from .finding import Finder
from .following import Follower, MayGoOn
from .gate import Gate
from .keeping import Keeper
from .limiting import Limiter
from .limits import MAX_BATCH_BODY_BYTES, body_as
from .queries import Query, known_id, seq_in
from .reading import PageQuery
from .retention import Retention
from .service import RoomService

Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with; one per app, at `app.state.services`."""

    rooms: RoomService
    keeper: Keeper
    finder: Finder
    follower: Follower
    gate: Gate
    limiter: Limiter
    retention: Retention


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
    quota = services(request).limiter.quota(request)
    rooms = services(request).rooms
    return answered(await rooms.create_demo(new, proof_of(request), quota), 201)


async def create_room(request: Request) -> Response:
    new = await body_as(request, wire.NewRoom)
    quota = services(request).limiter.quota(request)
    room = await services(request).rooms.create(new, proof_of(request), quota)
    return answered(room, 201 if room.created else 200)


DIRECTORY_QUERY = (
    *("query", "member", "mine", "ids", "closed", "before", "limit", "read", "unlisted"),
    "archived",
)


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
        unlisted=query.flag("unlisted", False),
        archived=query.flag("archived", False),
    )
    return answered(directory)


async def room(request: Request) -> Response:
    return answered(await services(request).rooms.room(room_id(request), owner_proof_of(request)))


async def info(request: Request) -> Response:
    return answered(await services(request).rooms.info(room_id(request), owner_proof_of(request)))


AUDIT_QUERY = ("room", "after", "limit")
ROOM_AUDIT_QUERY = ("after", "limit")


async def audit(request: Request) -> Response:
    """What was done on the whole server, or in the room that the query or the path names."""
    of_room = "id" in request.path_params
    query = Query(request, ROOM_AUDIT_QUERY if of_room else AUDIT_QUERY)
    proof = owner_proof_of(request)
    named = query.text("room")
    after, limit = query.cursor("after") or 0, query.limit(100)
    store = services(request).rooms.store
    if of_room:
        page = await auditing.of_room(store, room_id(request), proof, after, limit)
    else:
        auditing.must_be_admin(proof)
        page = await store.audit(room_id=named and known_id(named), after=after, limit=limit)
    if "application/x-ndjson" in request.headers.get("accept", ""):
        return Response(auditing.lines(page), media_type="application/x-ndjson")
    return answered(auditing.answer(page, after))


async def list_templates(request: Request) -> Response:
    return answered(services(request).rooms.known_templates())


# ---- members ----------------------------------------------------------------------------------


async def join_room(request: Request) -> Response:
    body = await body_as(request, wire.Join)
    proof = proof_of(request, body.agent_key or body.agent_session_id)
    joined = await services(request).rooms.join(room_id(request), body, proof)
    return answered(joined, 202 if joined.pending else 200)


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
    # One was charged for on the way in.
    await services(request).limiter.charge(request, "posts", len(body.messages) - 1, before=1)

    def proof_for(post: wire.Post) -> Proof:
        return proof_of(request, post.agent_key or post.agent_session_id)

    return answered(await services(request).rooms.batch(room_id(request), body, proof_for))


PAGE_QUERY = (
    *("after", "before", "limit", "wait", "since", "sender", "type", "reader", "ack", "pending"),
)


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
        pending=query.flag("pending", False),
    )
    reader = services(request).rooms.reader
    async with await services(request).limiter.waiting(request, page.wait_s):
        work = reader.page(room_id(request), page, owner_proof_of(request))
        done = await (while_connected(request, work) if page.wait_s else work)
    await services(request).gate.admit_again(request)
    return await _completing(request, answered(done.page), done.complete)


HISTORY_QUERY = ("after", "before", "limit", "since")


async def read_history(request: Request) -> Response:
    query = Query(request, HISTORY_QUERY)
    limit = query.limit(wire.MAX_LIMIT) if query.text("limit") is not None else None
    id = room_id(request)
    rooms = services(request).rooms
    await rooms.readable(id, owner_proof_of(request))
    reader = rooms.reader
    since = query.text("since")
    after = query.cursor("after")
    if since is not None:
        after = await reader.since(id, since)
    return answered(
        await reader.history(id, after=after, before=query.cursor("before"), limit=limit)
    )


# ---- following and finding -----------------------------------------------------------------------


UPDATES_QUERY = ("rooms", "directory", "wait", "reader")


async def updates(request: Request) -> Response:
    query = Query(request, UPDATES_QUERY)
    async with await services(request).limiter.waiting(request, query.wait_s()):
        work = services(request).follower.updates(
            query.cursors("rooms"),
            directory=query.cursor("directory"),
            wait_s=query.wait_s(),
            reader=query.text("reader"),
            proof=proof_of(request),
        )
        updates = await while_connected(request, work)
    await services(request).gate.admit_again(request)
    return answered(updates)


async def stream(request: Request) -> Response:
    query = Query(request, ("after",))
    id = room_id(request)
    last_id = seq_in(request.headers.get("last-event-id", ""))
    after = max(query.cursor("after") or 0, last_id or 0)
    rooms = services(request).rooms
    proof = owner_proof_of(request)
    room = await rooms.readable(id, proof)
    rooms.reader.must_reach(room, after)
    if room.lifecycle == "closed" and after >= room.last_seq:
        return Response(status_code=204)

    limiter = services(request).limiter
    may_go_on = _may_go_on(request, proof)
    follower = services(request).follower
    if "application/x-ndjson" in request.headers.get("accept", ""):
        lines = follower.ndjson(id, after, may_go_on)
        return await limiter.streaming(request, lines, "application/x-ndjson")
    events = follower.sse(id, after, may_go_on)
    return await limiter.streaming(request, events, "text/event-stream")


def _may_go_on(request: Request, proof: Proof) -> MayGoOn:
    """Asked before each part of an answer that leaves slowly."""

    async def may_go_on(room: Room) -> None:
        await services(request).gate.admit_again(request)
        room.must_be_read_by(proof)

    return may_go_on


async def export(request: Request) -> Response:
    query = Query(request, ("format",))
    id = room_id(request)
    proof = owner_proof_of(request)
    room = await services(request).rooms.readable(id, proof)
    follower = services(request).follower
    given = query.text("format")
    format = "md" if given is None else given
    if format not in ("md", "jsonl"):
        raise HttpProblem("malformed", "The format is not known here.", "Known: md, jsonl.")
    if format == "jsonl":
        return StreamingResponse(
            follower.jsonl(id, _may_go_on(request, proof)), media_type="application/x-ndjson"
        )
    return StreamingResponse(
        follower.markdown(room, _may_go_on(request, proof)),
        media_type="text/markdown; charset=utf-8",
    )


async def search(request: Request) -> Response:
    query = Query(request, ("q", "ids", "limit"))
    hits = await services(request).finder.search(
        owner_proof_of(request),
        query.text("q") or "",
        room_id=room_id(request) if "id" in request.path_params else None,
        ids=query.ids("ids"),
        limit=query.limit(20, most=100),
    )
    return answered(hits)
