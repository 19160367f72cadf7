"""A connection to a backend: what is sent, what is sent again, and failures in words."""

from __future__ import annotations

import logging
import random
import re
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import anyio
import httpx2
from pydantic import BaseModel, ValidationError

from room_mcp import certificates, tracing, wire
from room_mcp.failures import (
    BackendError,
    BackendRefused,
    BackendUnreachable,
    NotOurs,
    NotTrusted,
    OutcomeUnknown,
)
from room_mcp.serving import is_loopback
from room_mcp.settings import SettingsError, must_hold_no_secret

CONNECT_S = 5.0
MAX_URLS = 1_000
ANSWER_S = 10.0  # beyond the wait that was asked for
RETRY_FOR_S = 30.0
_FIRST_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 5.0
_TOO_LONG = {
    "code": "malformed",
    "detail": "What is asked for is too long.",
    "advice": "Use a few words of it, or a room's id.",
}
_NOT_KNOWN = ("no_such_path", "no_such_method")  # codes of a server that lacks a call of ours
_LOOK = "It may have been done: look into the room before you repeat it."

AnswerT = TypeVar("AnswerT", bound=BaseModel)

# They would print every URL and header, and a room's id or key is what lets one in.
for name in ("httpx2", "httpcore2"):
    logging.getLogger(name).setLevel(logging.WARNING)


class Connection:
    """One backend over HTTP, by whatever transport reaches it.

    Args:
        url: Where the backend is, without a slash at the end.
        key: A server key, sent as bearer token.
        certificate: The only one that the server may show, as PEM text; else authorities decide.
        transport: Another way to reach it, such as an app of this process.
        retry_for_s: How long to go on trying.
        answer_s: How long an answer may take, beyond the wait that was asked for.

    Raises:
        ValueError: The certificate is no PEM text.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str,
        certificate: str,
        transport: httpx2.AsyncBaseTransport | None,
        retry_for_s: float,
        answer_s: float,
    ) -> None:
        self.url = without_login(url)  # as it is shown
        self._answer_s = answer_s
        self._retry_for_s = retry_for_s
        self._keeps_keys = False
        self._key = key
        self._certificate = _pem(certificate)
        self._base = url
        self._urls: dict[str, httpx2.URL] = {}
        self._transport = transport
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def has_key(self) -> bool:
        """Whether a server key is sent along."""
        return bool(self._key)

    @cached_property
    def _http(self) -> httpx2.AsyncClient:
        """Made when it is needed: it reads the machine's certificates, which takes 50 ms."""
        return httpx2.AsyncClient(
            transport=self._transport,
            headers=self._headers,
            verify=certificates.trusting_only(self._certificate) if self._certificate else True,
            timeout=httpx2.Timeout(self._answer_s, connect=CONNECT_S, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            # A proxy of the environment cannot reach what listens on this machine alone.
            trust_env=self._transport is None and not _is_loopback(self._base),
        )

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()
        elif "_http" in self.__dict__:
            await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        model: type[AnswerT],
        *,
        body: wire.Request | None = None,
        params: Mapping[str, Any] | None = None,
        wait_s: float = 0,
        key: str = "",
        repeatable: bool = False,
    ) -> AnswerT:
        """One call, tried again while that is safe and makes sense.

        Safe is: it never arrived, it changes nothing, it was refused for now, or it is
        `repeatable` by an idempotency key which this backend is known to keep.
        """
        query = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        try:
            url = self._url(path).copy_merge_params(query) if query else self._url(path)
        except httpx2.InvalidURL:
            raise BackendRefused(414, _TOO_LONG) from None
        content = None
        headers = {"Room-Key": key} if key else {}
        if body is not None:
            content = body.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
            headers["Content-Type"] = "application/json"
        request = self._request(method, url, headers, content, wait_s)
        return self._read(await self.exchange(request, wait_s, repeatable), model)

    async def do(self, method: str, path: str, *, key: str = "") -> None:
        """A call whose answer says nothing but that it is done; not repeated once it arrived."""
        headers = {"Room-Key": key} if key else {}
        await self.exchange(self._request(method, self._url(path), headers, None, 0))

    def _request(
        self,
        method: str,
        url: httpx2.URL,
        headers: dict[str, str],
        content: str | None,
        wait_s: float,
    ) -> httpx2.Request:
        headers = tracing.continuing(headers)
        if self._transport is not None:
            return httpx2.Request(
                method, url, headers={**self._headers, **headers}, content=content
            )
        timeout = httpx2.Timeout(wait_s + self._answer_s, connect=CONNECT_S, pool=None)
        return self._http.build_request(
            method, url, headers=headers, content=content, timeout=timeout
        )

    def request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Request:
        """A request of JSON as it stands, for `exchange`."""
        return self._http.build_request(method, self._url(path), json=body)

    def _url(self, path: str) -> httpx2.URL:
        """The whole address of a path; kept, because making one takes 0.2 ms and few are used."""
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= MAX_URLS:
                self._urls.clear()
            url = self._urls[path] = httpx2.URL(f"{self._base}{path}")
        return url

    async def exchange(
        self, request: httpx2.Request, wait_s: float = 0, repeatable: bool = False
    ) -> httpx2.Response:
        """The answer that is no refusal, after as many tries as are safe and make sense."""
        self._must_be_usable()
        deadline = time.monotonic() + self._retry_for_s
        back_off_s = _FIRST_BACK_OFF_S
        while True:
            safe = request.method == "GET" or (repeatable and self._keeps_keys)
            try:
                answer = await self._send(request, wait_s)
                if answer.status_code < 300:
                    return answer
                failure = self._refused(answer, request.method)
                again = _may_be_repeated(answer, failure, safe)
                pause_s = _seconds(answer.headers.get("retry-after"))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = self._unreachable(error)
                again, pause_s = not isinstance(failure, NotTrusted), 0.0
            except (httpx2.TransportError, TimeoutError) as error:
                failure, again, pause_s = self._lost(error, request.method), safe, 0.0
            back_off_s = min(back_off_s * 2, _LONGEST_BACK_OFF_S)
            pause_s = max(pause_s, back_off_s * random.uniform(0.5, 1.0))
            if not again or time.monotonic() + pause_s > deadline:
                raise failure
            await anyio.sleep(pause_s)

    def _must_be_usable(self) -> None:
        """Raises BackendUnreachable when nothing may be sent to this address at all."""
        if self._transport is None:
            _must_be_usable(self._base, self._key)

    async def _send(self, request: httpx2.Request, wait_s: float) -> httpx2.Response:
        # The transport into an app of this process knows no timeouts, so this one holds for all.
        with anyio.fail_after(CONNECT_S + wait_s + self._answer_s):
            if self._transport is None:
                return await self._http.send(request)
            # Proxies, cookies and redirects do not exist here, and looking for them costs 0.3 ms.
            answer = await self._transport.handle_async_request(request)
            await answer.aread()
            return answer

    def _read(self, answer: httpx2.Response, model: type[AnswerT]) -> AnswerT:
        try:
            found = model.model_validate_json(answer.content)
        except ValidationError:
            raise self.not_of_a_backend(answer) from None
        self._keeps_keys = self._keeps_keys or _shows_epoch(found)
        return found

    def _refused(self, answer: httpx2.Response, method: str) -> BackendError:
        """The problem document as an exception; whatever else came, in one sentence."""
        status = answer.status_code
        facts = _json_object(answer)
        if facts is not None and "code" in facts:
            if status == 504 or (status == 500 and method != "GET"):
                detail = str(facts.get("detail", ""))
                return OutcomeUnknown(
                    detail, _LOOK if status == 500 else str(facts.get("advice", ""))
                )
            if facts["code"] in _NOT_KNOWN:
                facts = {
                    **facts,
                    "detail": f"The server at {self.url} does not know this call.",
                    "advice": "It may be of an earlier version: upgrade room-mcp where it runs.",
                }
            return BackendRefused(status, facts)
        kind = answer.headers.get("content-type", "nothing").partition(";")[0]
        detail = f"{self.url} answered {status} with {kind}, not as a room backend does."
        if status >= 500 and method != "GET":
            return OutcomeUnknown(detail, _LOOK)
        advice = "Check the address, and whether a proxy or another service answers there."
        if 300 <= status < 400:
            advice = "It sends callers to another address: use that one, such as https://."
        return NotOurs(detail, advice, status=status, facts=facts)

    def not_of_a_backend(self, answer: httpx2.Response) -> NotOurs:
        return NotOurs(
            f"{self.url} answered something that is not of a room backend.",
            "Check the address: it is the server's base URL, without a path.",
            status=answer.status_code,
        )

    def _unreachable(self, error: Exception) -> BackendUnreachable:
        if _is_about_certificates(error):
            return NotTrusted(*self._not_trusted(error))
        return BackendUnreachable(
            f"Nothing answers at {self.url} ({type(error).__name__}). Nothing was sent.",
            "Start the server with `room-mcp serve`, or correct ROOM_MCP_URL.",
        )

    def _not_trusted(self, error: Exception) -> tuple[str, str]:
        if self._certificate:
            return (
                f"{self.url} shows another certificate than the one that this machine was given. "
                "Nothing was sent.",
                "Ask whoever runs it whether it has a new one. If so: `room-mcp disconnect`, then "
                "`room-mcp connect` with a new invitation. If not, somebody stands in between.",
            )
        return (
            f"No authority vouches for the certificate of {self.url}. Nothing was sent.",
            "Connect by an invitation, which knows it (`room-mcp invite` there), or name its "
            "file in ROOM_MCP_CERTIFICATE.",
        )

    def _lost(self, error: Exception, method: str) -> BackendError:
        detail = f"The answer of {self.url} was lost ({type(error).__name__})."
        if method == "GET":
            return BackendUnreachable(detail, "Try again.")
        return OutcomeUnknown(detail, _LOOK)

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, Any], *, key: str = ""
    ) -> AsyncGenerator[httpx2.Response]:
        """A GET whose answer is read piece by piece; it is not tried again."""
        self._must_be_usable()
        try:
            headers = tracing.continuing({"Room-Key": key} if key else {})
            async with self._http.stream(
                "GET", self._url(path), params=params, headers=headers
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise self._refused(answer, "GET")
                yield answer
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error) from None
        except httpx2.TransportError as error:
            raise self._lost(error, "GET") from None


def _may_be_repeated(answer: httpx2.Response, failure: BackendError, safe: bool) -> bool:
    """Whether the same request may go out again: nothing was done, or once more does no harm."""
    status = answer.status_code
    if "retry-after" in answer.headers and (
        status == 429 or (status == 503 and isinstance(failure, BackendRefused))
    ):
        return True
    passing = (502, 503, 504) if not isinstance(failure, BackendRefused) else ()
    return safe and status in passing


def _json_object(answer: httpx2.Response) -> dict[str, Any] | None:
    try:
        found: Any = answer.json()
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _shows_epoch(found: BaseModel) -> bool:
    """Whether an answer shows that the backend is one of ours, which keep idempotency keys."""
    if isinstance(found, wire.Directory):
        return bool(found.rooms)
    return getattr(found, "epoch", None) is not None


def without_login(url: str) -> str:
    """The address without a user name and password that may stand in it."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)


def _must_be_usable(url: str, key: str) -> None:
    if not _is_address(url):
        raise BackendUnreachable(
            f"{without_login(url)!r} is not the address of a server.",
            "Write it like http://127.0.0.1:8750, with http:// or https://.",
        )
    try:
        must_hold_no_secret(url)
    except SettingsError as error:
        raise BackendUnreachable(str(error)) from None
    if key and urlsplit(url).scheme == "http" and not _is_loopback(url):
        raise BackendUnreachable(
            f"{url} is not encrypted, and the key would travel readable. Nothing was sent.",
            "Use https://, or a tunnel such as ssh -L to an address of this machine.",
        )


def _pem(certificate: str) -> str:
    """What was given as a certificate; raises ValueError when it is none."""
    if not certificate:
        return ""
    try:
        pem = certificates.without_key(str(certificate))  # whoever has a path may give a Path
        certificates.trusting_only(pem)
    except (ValueError, ssl.SSLError):
        raise ValueError(
            "certificate is no PEM text: give what stands in the file, from "
            "-----BEGIN CERTIFICATE----- on, and not its path."
        ) from None
    return pem


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_loopback(url: str) -> bool:
    return _is_address(url) and is_loopback(urlsplit(url).hostname or "")


def _seconds(retry_after: str | None) -> float:
    """The pause that a Retry-After header asks for; dates and nonsense mean none."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
