"""Every error that leaves the backend, in one table: code → status and title."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.responses import JSONResponse

from room_mcp.rooms import Refusal
from room_mcp.store.interface import (
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreSilent,
    StoreUnavailable,
    TextLeft,
)

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S: Mapping[str, int] = {
    # 503s that a retry soon may get past.
    "store_busy": 1,
    "draining": 1,
    "too_many_connections": 1,
    # A person has to free or mend the disk first: longer than our own client goes on trying, so
    # that whoever asked is told what to do.
    "store_unavailable": 60,
}


class Kind(NamedTuple):
    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "malformed": Kind(400, "The request cannot be understood"),
    "key_required": Kind(401, "A key is needed"),
    "key_invalid": Kind(401, "The key lets nobody in"),
    "host_not_allowed": Kind(403, "Not the host of this server"),
    "origin_not_allowed": Kind(403, "Not a page of this server"),
    "name_protected": Kind(403, "The name belongs to a key"),
    "name_not_yours": Kind(403, "The key stands for another name"),
    "not_a_member": Kind(403, "Not a member"),
    "not_yet_admitted": Kind(403, "Not admitted yet"),
    "muted": Kind(403, "Muted by the owner"),
    "barred": Kind(403, "Not let in by the owner"),
    "invitation_invalid": Kind(403, "The invitation lets nobody in"),
    "admins_only": Kind(403, "Only for admins"),
    "quota_exceeded": Kind(403, "The quota is used up"),
    "not_the_owner": Kind(403, "Not the owner"),
    "people_only": Kind(403, "Only for people"),
    "role_may_not": Kind(403, "Not with this role"),
    "room_not_found": Kind(404, "No such room"),
    "key_not_found": Kind(404, "No such key"),
    "no_such_path": Kind(404, "No such path"),
    "no_such_method": Kind(405, "Not by this method"),
    "too_slow": Kind(408, "Too slow"),
    "name_taken": Kind(409, "The name is taken"),
    "room_closed": Kind(409, "The room is closed"),
    "room_paused": Kind(409, "The room is paused"),
    "room_open": Kind(409, "The room has not ended"),
    "text_left": Kind(409, "Removed, but not yet from the files"),
    "room_full": Kind(409, "The room is full"),
    "role_taken": Kind(409, "The role is taken"),
    "work_taken": Kind(409, "The work is taken"),
    "budget_spent": Kind(409, "The budget is spent"),
    "hushed": Kind(409, "Nothing new, after two notices"),
    "contract_changed": Kind(409, "The rules have changed"),
    "cursor_ahead": Kind(409, "The cursor is ahead of the room"),
    "if_last_seq": Kind(412, "Somebody spoke in between"),
    "too_large": Kind(413, "Too large"),
    "uri_too_long": Kind(414, "The URL is too long"),
    "not_json": Kind(415, "Not JSON"),
    "contract_violation": Kind(422, "Not what the room agreed on"),
    "looks_like_secret": Kind(422, "It seems to hold a secret"),
    "key_reused": Kind(422, "The idempotency key stands for something else"),
    "rate_limited": Kind(429, "Too much at once"),
    "headers_too_large": Kind(431, "The headers are too large"),
    "internal": Kind(500, "Our mistake"),
    "store_unavailable": Kind(503, "The store cannot be used"),
    "store_busy": Kind(503, "The store is busy"),
    "draining": Kind(503, "The server is stopping"),
    "too_many_connections": Kind(503, "Too many connections"),
    "outcome_unknown": Kind(504, "The outcome is unknown"),
}


class HttpProblem(Exception):
    """A refusal by the HTTP layer itself; `code` stands in `KINDS`, `headers` go with it."""

    def __init__(
        self, code: str, detail: str, advice: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.advice = advice
        self.headers = headers or {}


def described(error: Exception) -> tuple[str, str, str, Mapping[str, Any]]:
    """Code, detail, advice and further facts of anything that went wrong.

    Whatever is not one of ours is logged with its traceback and told as `internal`.
    """
    code = code_of(error)
    match error:
        case Refusal():
            return code, error.detail, error.advice, error.facts
        case HttpProblem() | StoreError():
            return code, error.detail, error.advice, {}
        case _:
            logger.error("A request failed", exc_info=error)
            return code, "Something went wrong here; it has been logged.", "Try again.", {}


def code_of(error: Exception) -> str:
    """The code by which an error is told; it stands in `KINDS`."""
    match error:
        case Refusal() | HttpProblem():
            return error.code
        case StoreBusy():
            return "store_busy"
        case TextLeft():
            return "text_left"
        case OutcomeUnknown():
            return "outcome_unknown"
        case StoreError():
            return "store_unavailable"
        case _:
            return "internal"


_OUTWARD: Mapping[type[Exception], StoreError] = {
    StoreBusy: StoreBusy(
        "The store of this server is busy; nothing was stored.", advice="Try again."
    ),
    OutcomeUnknown: OutcomeUnknown(
        "The store of this server failed; whether it was stored is unknown.",
        advice="Retry with the same idempotency key.",
    ),
    StoreSilent: StoreSilent(
        "The database of this server does not answer; nothing was stored.",
        advice="Try again later. If it lasts, tell whoever runs the server.",
    ),
    StoreUnavailable: StoreUnavailable(
        "The store of this server cannot be used now; nothing was stored.",
        advice="Try again later. Whoever runs the server finds the reason in its log.",
    ),
}


def outward(error: Exception, request_id: str) -> Exception:
    """The error for callers who do not run the server: not where its files lie, nor why they fail.

    That is logged instead.
    """
    told = _OUTWARD.get(type(error))
    if told is None:
        return error
    logger.warning("Request %s: %s", request_id, error)
    return told


def new_request_id() -> str:
    """What names a request in its answer and in the audit."""
    return secrets.token_hex(8)


def problem(error: Exception, request_id: str = "") -> JSONResponse:
    """The RFC 9457 answer to an error; without a request's id it gets one of its own."""
    code, detail, advice, facts = described(error)
    kind = KINDS[code]
    body = {
        "type": f"urn:room-mcp:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        "advice": advice,
        "error": detail,
        "requestId": request_id or new_request_id(),
        **facts,
    }
    headers = dict(error.headers) if isinstance(error, HttpProblem) else {}
    if code in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[code])
    if kind.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="room-mcp"'
    return JSONResponse(body, kind.status, headers, media_type=PROBLEM_JSON)
