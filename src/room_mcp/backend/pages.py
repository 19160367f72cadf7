"""What people and agents read: the rooms, a transcript, and how to call this server."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any, get_args
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from room_mcp import wire
from room_mcp.plain import plain
from room_mcp.rooms import Proof
from room_mcp.rooms.closing import MAX_CONCLUSION_CHARS
from room_mcp.rooms.refusals import NameProtected, RoomNotFound

from .api import Handler, room_id, services
from .auditing import note_refusal
from .callers import (
    CALLER,
    REQUEST_ID,
    SERVER_KEY_PREFIX,
    Caller,
    bearer_of,
    caller_of,
    owner_proof_of,
)
from .errors import HttpProblem, problem
from .guard import Hosts
from .keeping import Decision
from .limits import raw_body
from .openapi import document
from .operations import Operation

_HTML = "text/html"
_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
_COOKIE = "room-mcp-key"
MAX_FORM_BYTES = 4_096
# A Han character takes nine bytes in a form, as %E4%BD%A0; and something for the names of fields.
MAX_CLOSE_FORM_BYTES = 9 * MAX_CONCLUSION_CHARS + 1_024


def _harmless(value: Any) -> Any:
    """What others wrote, with what acts or hides made visible."""
    return plain(value) if type(value) is str else value


@cache
def _templates() -> Any:
    # Imported late: a bridge that only forwards tools never shows a page.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("room_mcp.backend", "page"),
        autoescape=True,
        finalize=_harmless,
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


# ---- who looks -----------------------------------------------------------------------------------


async def _proof(request: Request) -> Proof:
    """What the person at a browser has shown: the key of the cookie, like one in a header."""
    key = request.cookies.get(_COOKIE, "")
    if not key.startswith(SERVER_KEY_PREFIX):
        return owner_proof_of(request, key or None)
    if bearer_of(request) is None:
        gate = services(request).gate
        known = await gate.key(key)
        if known is None:
            await gate.knock(request)
        request.scope[CALLER] = (
            Caller(stranger=gate.door.requires_key) if known is None else Caller(key=known)
        )
    return owner_proof_of(request)


def _for_people(handler: Handler) -> Handler:
    """What goes wrong is told as a page."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            if isinstance(error, RoomNotFound) and caller_of(request).stranger:
                return _login(request)
            note_refusal(error, services(request).rooms.store, services(request).rooms.clock())
            request_id = request.scope[REQUEST_ID]
            told = problem(services(request).gate.told(error, request, request_id), request_id)
            body = json.loads(bytes(told.body))
            return _rendered("problem.html", told.status_code, problem=body)

    return answer


async def _form(request: Request, max_bytes: int = MAX_FORM_BYTES) -> dict[str, str]:
    """The fields of a form, each once."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HttpProblem("malformed", "This is no form.", "Use the page.")
    raw = await raw_body(request, max_bytes)
    try:
        fields = parse_qs(raw.decode(), max_num_fields=10, errors="strict")
    except ValueError:
        raise HttpProblem("malformed", "The form cannot be read.", "Use the page.") from None
    return {name: values[0].strip() for name, values in fields.items()}


def _login(request: Request, told: str = "", status: int = 401) -> Response:
    to = request.url.path if request.method == "GET" else "/"
    return _rendered("login.html", status, told=told, to=to)


async def show_login(request: Request) -> Response:
    """A form for a key."""
    return _rendered("login.html", told="", to="/")


async def login(request: Request) -> Response:
    """Keep a key in a cookie, which no script can read and no other site's page makes use of."""
    form = await _form(request)
    key, to = form.get("key", ""), form.get("to", "/")
    if not key or not key.isascii() or not key.replace("_", "").replace("-", "").isalnum():
        return _login(request, "That is no key.", 400)
    if key.startswith(SERVER_KEY_PREFIX) and await services(request).gate.key(key) is None:
        await services(request).gate.knock(request)
        return _login(request, "The key lets nobody in: it is wrong, revoked, or too old.")
    answer = RedirectResponse(to if _is_path(to) else "/", 303)
    hosts: Hosts = request.app.state.hosts
    is_encrypted = "https" in (request.url.scheme, hosts.public_origin.partition(":")[0])
    answer.set_cookie(_COOKIE, key, httponly=True, samesite="strict", secure=is_encrypted)
    return answer


async def logout(request: Request) -> Response:
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(_COOKIE, httponly=True, samesite="strict")
    return answer


def _is_path(to: str) -> bool:
    """Whether it leads to a page of this server."""
    return to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()


# ---- what is shown -------------------------------------------------------------------------------


async def index(request: Request) -> Response:
    """The rooms that the person may see, the latest changed first."""
    proof = await _proof(request)
    if proof.stranger:
        return _login(request)
    directory = await services(request).finder.directory(proof)
    has_key = _COOKIE in request.cookies
    return _rendered("index.html", rooms=directory.rooms, base=_base(request), has_key=has_key)


async def transcript(request: Request) -> Response:
    """One room, whole, for people; its owner keeps it in order here."""
    proof = await _proof(request)
    id = room_id(request)
    rooms = services(request).rooms
    info = await rooms.info(id, proof)
    history = await rooms.reader.history(id, after=None, before=None, limit=None)
    # Who has the store open needs no buttons: a page on the machine itself proves nothing.
    return _rendered(
        "transcript.html",
        room=info,
        history=history,
        shown=_shown,
        max_conclusion_chars=MAX_CONCLUSION_CHARS,
    )


async def keep_in_order(request: Request, *, about: Decision) -> Response:
    """What the owner decides about somebody, by a button on the room's page."""
    proof = await _proof(request)
    id = room_id(request)
    name = (await _form(request)).get("name", "")
    await services(request).keeper.decide(id, about, name, proof)
    return RedirectResponse(f"/rooms/{id}", 303)


async def close(request: Request) -> Response:
    """End the room, in the name of whoever presses the button on its page, or as its owner."""
    proof = await _proof(request)
    id = room_id(request)
    conclusion = (await _form(request, MAX_CLOSE_FORM_BYTES)).get("conclusion", "")
    if len(conclusion) > MAX_CONCLUSION_CHARS:
        raise HttpProblem("malformed", "The conclusion is too long.", "Say it in fewer words.")
    key = caller_of(request).key
    ending = wire.Close(
        sender=None if key is None else key.name, sender_type="human", conclusion=conclusion
    )
    keeper = services(request).keeper
    try:
        await keeper.close(id, ending, proof)
    except NameProtected:
        # Somebody has joined under that name with a member key, which no page can show.
        await keeper.close(id, ending.model_copy(update={"sender": None}), proof)
    return RedirectResponse(f"/rooms/{id}", 303)


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
        .render(
            base=_base(request),
            max_wait_s=wire.MAX_WAIT_S,
            needs_key=services(request).gate.door.requires_key,
            has_demo=services(request).gate.door.has_demo,
        )
    )
    return PlainTextResponse(text)


PAGES: tuple[Operation, ...] = (
    Operation("GET", "/", _for_people(index), "The rooms, for people", media=_HTML, public=True),
    Operation(
        "GET",
        "/rooms/{id}",
        _for_people(transcript),
        "A room's transcript, for people",
        media=_HTML,
        public=True,
    ),
    *(
        Operation(
            "POST",
            f"/rooms/{{id}}/{act}",
            _for_people(partial(keep_in_order, about=act)),
            "What the owner decides about somebody",
            status=303,
            media=_HTML,
            public=True,
        )
        for act in get_args(Decision)
    ),
    Operation(
        "POST",
        "/rooms/{id}/close",
        _for_people(close),
        "End a room",
        status=303,
        media=_HTML,
        public=True,
    ),
    Operation("GET", "/login", show_login, "A form for a key", media=_HTML, public=True),
    Operation(
        "POST", "/login", _for_people(login), "Keep a key", status=303, media=_HTML, public=True
    ),
    Operation("POST", "/logout", logout, "Forget the key", status=303, media=_HTML, public=True),
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
