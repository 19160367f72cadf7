"""What people and agents read: the rooms, a transcript, and how to call this server."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from room_mcp import wire

from .api import room_id, services
from .callers import proof_of
from .errors import problem
from .openapi import document
from .operations import Operation

_HTML = "text/html"
_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@cache
def _templates() -> Any:
    # Imported late: a bridge that only forwards tools never shows a page.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("room_mcp.backend", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["when"] = _when
    return environment


def _when(timestamp: str) -> str:
    """A time as people read it, to the second: `2026-11-22 19:48:21 UTC`."""
    return f"{timestamp[:10]} {timestamp[11:19]} UTC"


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _rendered(template: str, status: int = 200, **values: object) -> Response:
    html = _templates().get_template(template).render(**values)
    headers = {"Content-Security-Policy": _CSP}
    return Response(html, status, headers, media_type=_HTML)


async def index(request: Request) -> Response:
    """The listed rooms, the latest changed first."""
    directory = await services(request).finder.directory(proof_of(request))
    return _rendered("index.html", rooms=directory.rooms, base=_base(request))


async def transcript(request: Request) -> Response:
    """One room, whole, for people."""
    id = room_id(request)
    try:
        info = await services(request).rooms.info(id)
    except Exception as error:
        told = problem(error)
        body = json.loads(bytes(told.body))
        return _rendered("problem.html", told.status_code, problem=body)
    history = await services(request).rooms.reader.history(id, after=None, before=None, limit=None)
    return _rendered("transcript.html", room=info, history=history, shown=_shown)


def _shown(message: wire.Message) -> str:
    """A content as a person reads it."""
    if message.content is None:
        return "(erased)"
    if isinstance(message.content, str):
        return message.content
    if message.sender_type == "system":
        return ", ".join(f"{name}: {value}" for name, value in message.content.items() if value)
    return json.dumps(message.content, ensure_ascii=False, indent=2)


async def openapi_json(request: Request) -> Response:
    return JSONResponse(document())


async def docs(request: Request) -> Response:
    """The OpenAPI description for people; nothing is loaded from anywhere else."""
    return _rendered("docs.html", api=document(), json=json.dumps)


async def llms_txt(request: Request) -> Response:
    """All that an agent with curl needs."""
    text = (
        _templates()
        .get_template("llms.txt")
        .render(base=_base(request), max_wait_s=wire.MAX_WAIT_S)
    )
    return PlainTextResponse(text)


PAGES: tuple[Operation, ...] = (
    Operation("GET", "/", index, "The rooms, for people", media=_HTML),
    Operation("GET", "/rooms/{id}", transcript, "A room's transcript, for people", media=_HTML),
    Operation("GET", "/openapi.json", openapi_json, "This description", public=True),
    Operation("GET", "/docs", docs, "This description, for people", media=_HTML, public=True),
    Operation(
        "GET",
        "/llms.txt",
        llms_txt,
        "How to use this server, for agents",
        media="text/plain",
        public=True,
    ),
)
