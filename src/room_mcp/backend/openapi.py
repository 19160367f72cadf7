"""The OpenAPI 3.1 description, generated from the table of operations and the wire's models."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

import room_mcp
from room_mcp import wire

from .errors import KINDS, PROBLEM_JSON
from .operations import OPERATIONS, Operation

QUERY_MEANINGS: dict[str, tuple[str, str]] = {
    "after": ("integer", "Only messages above this seq."),
    "before": ("string", "Only what is older: a seq, or in lists the nextCursor."),
    "limit": ("integer", "Page size; clamped to what the call allows."),
    "wait": ("number", f"Seconds to wait for something new, 0 to {wire.MAX_WAIT_S}."),
    "since": ("string", "A seq, a message id, an ISO date, or a time in s or ms."),
    "sender": ("string", "Only messages of this sender."),
    "type": ("string", "Only messages of this type."),
    "reader": ("string", "The member whose reading state moves, and who is seen waiting."),
    "ack": ("integer", "What the reader has read, as a seq."),
    "query": ("string", "A part of the name or purpose, or the beginning of the id."),
    "member": ("string", "Answer for this name: unread messages and what is expected of it."),
    "mine": ("boolean", "Only rooms that the name given as member is in."),
    "ids": ("string", "Just these rooms: ids, separated by commas."),
    "read": ("string", "id:seq pairs that the name given as member has read besides."),
    "closed": ("boolean", "Whether closed rooms are shown; true."),
    "rooms": ("string", "id:after pairs, separated by commas."),
    "directory": ("integer", "Also answer when the directory's number is above this one."),
    "format": ("string", "md or jsonl."),
    "q": ("string", "Words that a message must all hold."),
}

_REF = "#/components/schemas/{model}"


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


def _operation(one: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "parameters": [*_path_parameters(one), *(_query_parameter(name) for name in one.query)],
        "responses": {
            **{str(status): _answer(one, status) for status in _statuses(one)},
            "default": {
                "description": "Refused: " + ", ".join(KINDS),
                "content": {PROBLEM_JSON: {"schema": _ref(wire.Problem)}},
            },
        },
    }
    if one.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(one.body)}},
        }
    return described


def _statuses(one: Operation) -> list[int]:
    return [one.status] if one.other_status is None else [one.status, one.other_status]


def _answer(one: Operation, status: int) -> dict[str, Any]:
    if status == 204:
        return {"description": "Done; nothing follows."}
    schema = {"type": "string"} if one.answer is None else _ref(one.answer)
    media = (one.media, *one.other_media)
    return {"description": one.summary, "content": {name: {"schema": schema} for name in media}}


def _ref(model: type[Any]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _operation_id(one: Operation) -> str:
    words = re.findall(r"[a-z]+", one.path)
    return "_".join([one.method.lower(), *words])


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    if "{id}" not in one.path:
        return []
    return [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The room's id.",
            "schema": {"type": "string"},
        }
    ]


def _query_parameter(name: str) -> dict[str, Any]:
    type, meaning = QUERY_MEANINGS[name]
    return {"name": name, "in": "query", "description": meaning, "schema": {"type": type}}
