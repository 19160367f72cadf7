"""What may come in: sizes, depth, and values that cannot be stored or read back alike."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from .errors import HttpProblem

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH_BODY_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_INTEGER = 2**53  # beyond it JSON readers lose digits
# Strings, commas and opening brackets: a value takes a hundred times the memory of the comma before
# it. A message of 64 KiB has 64 Ki at most, a contract of 128 KiB twice as many.
MAX_PARTS = 200_000
_PART = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[,\[{]', re.DOTALL)

ModelT = TypeVar("ModelT", bound=BaseModel)


async def body_as(
    request: Request, model: type[ModelT], *, max_bytes: int = MAX_BODY_BYTES
) -> ModelT:
    """The request's body as a wire model.

    Raises:
        HttpProblem: Not JSON, too large, too deep, or not of this shape; the sentence names the
            place.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):  # a few bytes of it can stand for gigabytes
        raise HttpProblem(
            "not_json",
            f"The body is encoded as {coding[:50]!r}.",
            "Send the JSON as it is, without Content-Encoding.",
        )
    raw = await raw_body(request, max_bytes)
    # Only for a body: pages of other sites can send one without a preflight as text/plain.
    if raw and kind != "application/json":
        raise HttpProblem(
            "not_json",
            f"The body's content type is {kind or 'missing'!r}.",
            "Send JSON with the header Content-Type: application/json.",
        )
    value = _read(raw or b"{}")
    must_be_plain(value)
    # Who sends a body slowly may have lost his rights meanwhile.
    await request.app.state.services.gate.admit_again(request)
    try:
        return model.model_validate(value, by_name=False)
    except ValidationError as error:
        raise HttpProblem("malformed", *_told(error, model)) from None


async def raw_body(request: Request, max_bytes: int) -> bytes:
    """The body as it came; raises HttpProblem for one of more bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise HttpProblem(
                "too_large",
                f"The body has more than {max_bytes} bytes.",
                "Send less; put long text into a file and name its path.",
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _read(raw: bytes) -> Any:
    """The value that a JSON text in UTF-8 spells.

    Raises:
        HttpProblem: It spells none, too many, or an object that has a field twice.
    """
    # Counted as a whole first: few texts come near the limit, and looking at each part takes time.
    if sum(map(raw.count, (b'"', b",", b"[", b"{"))) > MAX_PARTS:
        _must_have_few_parts(raw)
    try:
        return _JSON.decode(raw.decode())
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise HttpProblem(
            "malformed", f"The body is not JSON: {error}.", "Send one JSON object in UTF-8."
        ) from None


def _must_have_few_parts(raw: bytes) -> None:
    if sum(1 for _ in islice(_PART.finditer(raw), MAX_PARTS + 1)) > MAX_PARTS:
        raise HttpProblem(
            "too_large",
            f"The JSON has more than {MAX_PARTS} strings, commas and brackets.",
            "Send less at once, or the many values as one text.",
        )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; with a field twice it would be one thing to us and another to the next reader."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise HttpProblem(
            "malformed", "An object of the JSON has a field twice.", "Send each field once."
        )
    return members


def _integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)):
        raise _too_many_digits()
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_JSON = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_constant=_no_number)


def _too_deep() -> HttpProblem:
    return HttpProblem(
        "malformed", f"The JSON is deeper than {MAX_DEPTH} levels.", "Send a flatter one."
    )


def _too_many_digits() -> HttpProblem:
    return HttpProblem("malformed", "An integer is beyond 2^53.", "Send large numbers as strings.")


def must_be_plain(value: Any) -> None:
    """Refuse what would not come back as it was sent.

    Raises:
        HttpProblem: Deeper than `MAX_DEPTH`, a number that JSON readers would not keep, NUL or
            lone surrogates.
    """
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        one, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        match one:
            case str():
                _must_be_text(one)
            case bool() | None:
                pass
            case float() if not math.isfinite(one):  # 1e999 reads as infinity, which is not JSON
                raise HttpProblem(
                    "malformed", "A number is too large.", "Send large numbers as strings."
                )
            case int() if abs(one) > MAX_INTEGER:
                raise _too_many_digits()
            case dict():
                members = cast("dict[str, Any]", one)
                stack.extend((key, depth + 1) for key in members)
                stack.extend((inner, depth + 1) for inner in members.values())
            case list():
                stack.extend((inner, depth + 1) for inner in cast("list[Any]", one))
            case _:
                pass


def _must_be_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        is_text = False
    else:
        is_text = "\x00" not in value
    if not is_text:
        raise HttpProblem(
            "malformed",
            "A text of the JSON holds NUL or half of a surrogate pair.",
            "Send valid Unicode text without NUL.",
        )


def _told(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """The first mistake in words, without the rejected value, and what to send instead."""
    first = error.errors(include_url=False, include_input=False, include_context=True)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[str]"))
    known = ", ".join(field.alias or name for name, field in model.model_fields.items())
    if first["type"] == "extra_forbidden":
        return f"The field {place!r} is not known here.", f"Known fields: {known}."
    if first["type"] == "missing":
        return f"The field {place!r} is missing.", f"Known fields: {known}."
    where = f"The field {place!r}" if place else "The body"
    return f"{where} is wrong: {first['msg']}.", f"Known fields: {known}."
