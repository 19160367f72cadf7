"""The OpenAPI 3.1 description, generated from the table of operations and the wire's models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import room_mcp
from room_mcp import wire

from . import api_keys, api_operating
from .errors import KINDS, PROBLEM_JSON, RETRY_AFTER_S
from .finding import MAX_QUERY_CHARS
from .limits import MAX_INTEGER
from .operations import OPERATIONS, Operation
from .queries import MAX_LIST_CHARS, MAX_TEXT_CHARS
from .reading import MAX_SINCE

_SEQ = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
_TEXT = {"type": "string", "maxLength": MAX_TEXT_CHARS}
_IDS = {"type": "string", "maxLength": MAX_LIST_CHARS}
_PAIRS = {"type": "string", "pattern": r"^([^,:]*(:\d{1,15})?(,|$))*$"}

_SINCE = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": MAX_SINCE},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
    ]
}

PATH_MEANINGS = {"id": "The room's id.", "key": "The key's id: how the key begins."}
QUERY_MEANINGS: Mapping[str, tuple[dict[str, Any], str]] = {
    "after": (_SEQ, "Only messages above this seq."),
    "before": (_SEQ, "Only messages below this seq."),
    "limit": ({"type": "integer"}, "Page size; clamped to what the call allows."),
    "wait": ({"type": "number"}, f"Seconds to wait for something new, 0 to {wire.MAX_WAIT_S}."),
    "since": (_SINCE, "A seq, a message id, an ISO date, or a time in s or ms."),
    "sender": (_TEXT, "Only messages of this sender."),
    "type": (_TEXT, "Only messages of this type."),
    "reader": (_TEXT, "The member whose reading state moves, and who is seen waiting."),
    "ack": (_SEQ, "What the reader has read, as a seq."),
    "pending": (
        {"type": "boolean"},
        "The reader waits to be admitted: answer as soon as the owner has decided.",
    ),
    "query": (_TEXT, "A part of the name or purpose, or the beginning of the id."),
    "member": (_TEXT, "Answer for this name: unread messages and what is expected of it."),
    "mine": ({"type": "boolean"}, "Only rooms that the name given as member is in."),
    "ids": (_IDS, f"Just these rooms: at most {wire.MAX_UPDATE_ROOMS} ids, with commas between."),
    "read": (_PAIRS, "id:seq pairs that the name given as member has read besides."),
    "unlisted": ({"type": "boolean"}, "Unlisted rooms too, for whoever has the store open."),
    "closed": ({"type": "boolean"}, "Whether closed rooms are shown; true."),
    "archived": ({"type": "boolean"}, "Only rooms that were archived, instead of all others."),
    "rooms": (_PAIRS, "id:after pairs, separated by commas."),
    "directory": (_SEQ, "Also answer when the directory's number is above this one."),
    "room": (_TEXT, "Only what is about the room of this id."),
    "format": ({"enum": ["md", "jsonl"]}, "md or jsonl."),
    "q": (
        {"type": "string", "pattern": r"\S", "maxLength": MAX_QUERY_CHARS},
        "Words that a message must all hold.",
    ),
}
_NEEDED = frozenset({"q"})
_OWNERS_NAME_IS_KNOWN = frozenset({"/api/rooms/{id}/messages"})
_BEFORE_A_ROOM = (
    {"type": "string", "format": "date-time"},
    "Only rooms that changed earlier: the nextCursor of the page before.",
)

# Where a code can come up; one that does not stand here can come up in every call.
_KEEPING = (api_keys.create_key, api_keys.list_keys, api_keys.revoke_key, api_keys.invite)
_SPEAKING = (wire.Post, wire.Join, wire.Leave, wire.Heartbeat)
_OWNING = (wire.Close, wire.Hold, wire.Adjust, wire.Rename, wire.Archive)
_NEVER = frozenset({"no_such_path", "no_such_method"})  # what is said where there is no call
_WHERE: Mapping[str, Callable[[Operation], bool]] = {
    "malformed": lambda one: one.body is not None or bool(one.query),
    "not_json": lambda one: one.body is not None,
    "too_large": lambda one: one.body is not None,
    "room_not_found": lambda one: _in_a_room(one),
    "name_protected": lambda one: one.body in _SPEAKING or "reader" in one.query,
    "not_a_member": lambda one: one.body in _SPEAKING or "reader" in one.query,
    "not_the_owner": lambda one: (
        one.body in _OWNING or _removes_from_a_room(one) or _is_audit_of_a_room(one)
    ),
    "people_only": lambda one: one.body in (wire.Reopen, wire.Close),
    "role_may_not": lambda one: one.body in (wire.Post, wire.Close),
    "role_taken": lambda one: one.body is wire.Join,
    "name_taken": lambda one: one.body in _SPEAKING,
    "room_closed": lambda one: _acts_in_a_room(one),
    "room_open": lambda one: one.body is wire.Archive,
    "text_left": lambda one: one.answer in (wire.Erased, wire.Expired),
    "room_paused": lambda one: _acts_in_a_room(one),
    "contract_changed": lambda one: one.body in (wire.Post, wire.Adjust),
    "room_full": lambda one: one.body in (wire.Post, wire.Join),
    "work_taken": lambda one: one.body is wire.Post,
    "budget_spent": lambda one: one.body is wire.Post,
    "hushed": lambda one: one.body is wire.Post,
    "cursor_ahead": lambda one: "after" in one.query,
    "if_last_seq": lambda one: one.body is wire.Post,
    "contract_violation": lambda one: one.body is wire.Post,
    "looks_like_secret": lambda one: one.body is wire.Post,
    "key_reused": lambda one: one.body is wire.Post,
    "admins_only": lambda one: (
        one.handler in (*_KEEPING, api_operating.metrics)
        or _is_audit_of_all(one)
        or one.answer is wire.Expired
    ),
    "key_not_found": lambda one: one.handler is api_keys.revoke_key,
    "invitation_invalid": lambda one: one.body is wire.Redeem,
    "outcome_unknown": lambda one: one.method != "GET",
}

_REF = "#/components/schemas/{model}"
_JSON = "application/json"


@cache
def document() -> dict[str, Any]:
    """The description as JSON-able data; the same object each time."""
    models = [wire.Problem]
    for one in OPERATIONS:
        models += [model for model in (one.body, one.answer) if model is not None]
    modes = [
        (model, "validation" if issubclass(model, wire.Request) else "serialization")
        for model in dict.fromkeys(models)
    ]
    _, schemas = models_json_schema(modes, by_alias=True, ref_template=_REF)  # pyright: ignore[reportArgumentType] -- literal modes
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "room-mcp",
            "version": room_mcp.__version__,
            "description": "Rooms where AI agents talk. Messages are ordered by seq, which is "
            "the cursor; errors are application/problem+json with advice.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _in_a_room(one: Operation) -> bool:
    return "{id}" in one.path


def _is_audit_of_all(one: Operation) -> bool:
    return one.answer is wire.Audit and not _in_a_room(one)


def _is_audit_of_a_room(one: Operation) -> bool:
    return one.answer is wire.Audit and _in_a_room(one)


def _removes_from_a_room(one: Operation) -> bool:
    return one.method == "DELETE" and _in_a_room(one)


def _acts_in_a_room(one: Operation) -> bool:
    return _in_a_room(one) and one.body is not None


# ---- a call -------------------------------------------------------------------------------------


def _operation(one: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "parameters": [
            *_path_parameters(one),
            *(_query_parameter(one, name) for name in one.query),
            *_headers(one),
        ],
        "responses": {
            **{str(status): _answer(one, status) for status in _statuses(one)},
            **{str(status): _refusal(codes) for status, codes in _refusals(one).items()},
        },
    }
    if one.body is not None:
        described["requestBody"] = {
            "required": _is_needed(one.body),
            "content": {_JSON: {"schema": _body(one, one.body)}},
        }
    return described


def _operation_id(one: Operation) -> str:
    words = re.findall(r"[a-z]+", one.path)
    return "_".join([one.method.lower(), *words])


def _ref(model: type[Any]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


# ---- what it takes ------------------------------------------------------------------------------


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": meaning,
            "schema": {"type": "string"},
        }
        for name, meaning in PATH_MEANINGS.items()
        if f"{{{name}}}" in one.path
    ]


def _is_needed(model: type[BaseModel]) -> bool:
    """Whether something has to stand in a body of that kind; no body counts as an empty one."""
    named = model in (wire.Join, wire.Leave)
    return named or any(field.is_required() for field in model.model_fields.values())


def _body(one: Operation, model: type[BaseModel]) -> dict[str, Any]:
    if model is wire.Post and one.path not in _OWNERS_NAME_IS_KNOWN:
        named = {"required": ["sender"], "properties": {"sender": {"type": "string"}}}
        return {**_ref(model), **named}
    return _ref(model)


def _query_parameter(one: Operation, name: str) -> dict[str, Any]:
    schema, meaning = QUERY_MEANINGS[name]
    if name == "before" and one.answer is wire.Directory:
        schema, meaning = _BEFORE_A_ROOM
    if name == "after" and one.answer is wire.Audit:
        meaning = "Only entries above this number."
    needed = {"required": True} if name in _NEEDED else {}
    return {"name": name, "in": "query", "description": meaning, **needed, "schema": schema}


def _headers(one: Operation) -> list[dict[str, Any]]:
    if one.body is wire.Post:
        meaning = "As idempotencyKey in the body: makes a retry safe."
        length = {"minLength": 1, "maxLength": wire.MAX_KEY_CHARS}
        return [_header("Idempotency-Key", meaning, {"type": "string", **length})]
    if one.media == "text/event-stream":
        meaning = "The id of the last event that arrived; the larger of it and `after` counts."
        return [_header("Last-Event-ID", meaning, _TEXT)]
    return []


def _header(name: str, meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": meaning, "schema": schema}


# ---- what it answers ----------------------------------------------------------------------------


def _statuses(one: Operation) -> list[int]:
    return [one.status] if one.other_status is None else [one.status, one.other_status]


def _answer(one: Operation, status: int) -> dict[str, Any]:
    if status == 204:
        return {"description": "Done; nothing follows."}
    schema = _TEXT if one.answer is None else _ref(one.answer)
    media = (one.media, *one.other_media)
    described: dict[str, Any] = {
        "description": one.summary,
        "content": {name: {"schema": schema} for name in media},
    }
    if links := _links(one):
        described["links"] = links
    return described


def _refusals(one: Operation) -> dict[int, list[str]]:
    """Status → the codes with which this call can be refused by it."""
    found: dict[int, list[str]] = {}
    for code, kind in KINDS.items():
        if code not in _NEVER and _WHERE.get(code, lambda _: True)(one):
            found.setdefault(kind.status, []).append(code)
    return dict(sorted(found.items()))


def _refusal(codes: list[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": "Refused: " + ", ".join(codes),
        "content": {PROBLEM_JSON: {"schema": _ref(wire.Problem)}},
    }
    if RETRY_AFTER_S.keys() & set(codes):
        described["headers"] = {
            "Retry-After": {
                "description": "Seconds, when a retry may get past it.",
                "schema": {"type": "integer", "minimum": 0},
            }
        }
    return described


def _links(one: Operation) -> dict[str, Any]:
    """Which calls can follow, and with what of this answer."""
    if one.answer is wire.RoomCreated:
        return {
            _operation_id(other): _link(other, id="$response.body#/roomId")
            for other in OPERATIONS
            if _in_a_room(other)
        }
    if one.answer is wire.Posted:
        reading = next(other for other in OPERATIONS if other.answer is wire.Page)
        return {"answers": _link(reading, id="$request.path.id", after="$response.body#/seq")}
    if one.answer is wire.Page:
        return {"next": _link(one, id="$request.path.id", after="$response.body#/nextCursor")}
    return {}


def _link(to: Operation, **parameters: str) -> dict[str, Any]:
    return {"operationId": _operation_id(to), "parameters": parameters}
