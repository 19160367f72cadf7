"""The description at /openapi.json is valid, whole, and says what the server does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from rest_desk import Desk
from starlette.routing import Route

import room_mcp
from room_mcp.backend import errors
from room_mcp.backend.openapi import document
from room_mcp.backend.operations import OPERATIONS
from room_mcp.backend.pages import PAGES
from room_mcp.rooms import Refusal, refusals
from room_mcp.store import interface

# The parts of the OpenAPI 3.1 meta schema (spec.openapis.org/oas/3.1) that this document uses.
PARAMETER = {
    "type": "object",
    "required": ["name", "in", "schema"],
    "properties": {
        "name": {"type": "string"},
        "in": {"enum": ["path", "query", "header"]},
        "required": {"type": "boolean"},
        "description": {"type": "string", "minLength": 1},
        "schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
    },
    "if": {"properties": {"in": {"const": "path"}}},
    "then": {"required": ["required"], "properties": {"required": {"const": True}}},
    "additionalProperties": False,
}
CONTENT = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^[a-z]+/[a-z.+-]+$"},
    "additionalProperties": {
        "type": "object",
        "required": ["schema"],
        "properties": {"schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}},
        "additionalProperties": False,
    },
}
HEADERS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["schema"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
        },
        "additionalProperties": False,
    },
}
LINKS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"},
    "additionalProperties": {
        "type": "object",
        "required": ["operationId", "parameters"],
        "properties": {
            "operationId": {"type": "string"},
            "parameters": {
                "type": "object",
                "additionalProperties": {"pattern": r"^\$(response\.body#/|request\.path\.)"},
            },
        },
        "additionalProperties": False,
    },
}
OPERATION = {
    "type": "object",
    "required": ["operationId", "summary", "parameters", "responses"],
    "properties": {
        "operationId": {"type": "string", "pattern": "^[a-z_]+$"},
        "summary": {"type": "string", "minLength": 1},
        "parameters": {"type": "array", "items": PARAMETER},
        "requestBody": {
            "type": "object",
            "required": ["content"],
            "properties": {"required": {"type": "boolean"}, "content": CONTENT},
            "additionalProperties": False,
        },
        "responses": {
            "type": "object",
            "propertyNames": {"pattern": "^[1-5][0-9]{2}$"},
            "additionalProperties": {
                "type": "object",
                "required": ["description"],
                "properties": {
                    "description": {"type": "string"},
                    "content": CONTENT,
                    "headers": HEADERS,
                    "links": LINKS,
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
OPENAPI = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["openapi", "info", "paths", "components"],
    "properties": {
        "openapi": {"const": "3.1.0"},
        "info": {"type": "object", "required": ["title", "version"]},
        "paths": {
            "type": "object",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": {
                "type": "object",
                "propertyNames": {"enum": ["get", "post", "delete"]},
                "additionalProperties": OPERATION,
            },
        },
        "components": {
            "type": "object",
            "properties": {
                "schemas": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"},
                    "additionalProperties": {
                        "$ref": "https://json-schema.org/draft/2020-12/schema"
                    },
                }
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}


def test_the_description_has_the_shape_of_openapi_3_1():
    Draft202012Validator.check_schema(OPENAPI)
    Draft202012Validator(OPENAPI).validate(document())


def test_every_reference_leads_somewhere_and_every_operation_has_its_own_id():
    schemas = document()["components"]["schemas"]
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(document())))
    ids = [one["operationId"] for path in document()["paths"].values() for one in path.values()]

    assert named <= schemas.keys()
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_every_link_leads_to_a_call_that_takes_what_it_passes_on():
    calls = [one for path in document()["paths"].values() for one in path.values()]
    takes = {one["operationId"]: {each["name"] for each in one["parameters"]} for one in calls}
    answers = [answer for one in calls for answer in one["responses"].values()]
    links = [link for answer in answers for link in answer.get("links", {}).values()]

    assert links
    for link in links:
        assert link["parameters"].keys() <= takes[link["operationId"]]


def test_every_refusal_that_there_is_can_come_up_in_some_call():
    calls = [one for path in document()["paths"].values() for one in path.values()]
    told = [answer["description"] for one in calls for answer in one["responses"].values()]
    named = {code for text in told for code in re.findall(r"\b[a-z_]+\b", text)}

    assert errors.KINDS.keys() - named == {"no_such_path", "no_such_method"}


def test_every_path_parameter_is_in_its_path_and_the_other_way_round():
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]

            assert declared == re.findall(r"{(\w+)}", path)


@pytest.mark.anyio
async def test_every_route_is_an_operation_and_every_operation_a_route(desk: Desk):
    routes = {
        (method, route.path)
        for route in desk.app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (method.upper(), path) for path, calls in document()["paths"].items() for method in calls
    }

    assert routes == {(one.method, one.path) for one in (*OPERATIONS, *PAGES)}
    assert described == {(one.method, one.path) for one in OPERATIONS}


@pytest.mark.anyio
async def test_the_description_is_what_the_server_serves(desk: Desk):
    served = await desk.http.get("/openapi.json")

    assert served.json() == document()


def all_refusals() -> list[type[Refusal]]:
    return [
        one
        for one in vars(refusals).values()
        if inspect.isclass(one) and issubclass(one, Refusal) and one is not Refusal
    ]


@pytest.mark.parametrize("refusal", all_refusals(), ids=lambda one: one.__name__)
def test_every_refusal_has_a_status_and_says_what_to_do(refusal: type[Refusal]):
    told = errors.problem(refusal("No.", advice=refusal.advice or "Do this."))

    assert 400 <= told.status_code < 500
    assert refusal.code in errors.KINDS
    assert refusal.advice or refusal.code == "malformed"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (interface.StoreBusy("Busy."), 503, "1"),
        (interface.StoreUnavailable("Full."), 503, "60"),
        (interface.OutcomeUnknown("Who knows."), 504, None),
    ],
)
def test_what_the_store_says_becomes_a_problem(
    error: Exception, status: int, retry_after: str | None
):
    told = errors.problem(error)

    assert (told.status_code, told.headers.get("Retry-After")) == (status, retry_after)


def test_every_code_in_the_code_is_a_kind_and_every_kind_is_used():
    source = Path(room_mcp.__file__).parent
    backend = "".join(path.read_text() for path in source.glob("backend/*.py"))
    raised = set(re.findall(r'HttpProblem\(\s*"(\w+)"', backend))
    of_errors = set(re.findall(r'return "(\w+)"', inspect.getsource(errors.code_of)))
    of_rules = {one.code for one in all_refusals()}

    assert raised <= errors.KINDS.keys()
    assert raised | of_errors | of_rules == errors.KINDS.keys()
