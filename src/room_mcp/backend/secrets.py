"""Whether a message seems to hold a secret; said to its sender before anybody else can read it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, cast

from room_mcp.rooms import Draft, skeleton
from room_mcp.rooms.refusals import LooksLikeSecret
from room_mcp.settings import SECRETS

MAX_WARNED = 1_024  # messages; whoever repeats one does so soon
MAX_ASSIGNED = (
    100  # values looked at in one text; 64 KiB full of them would take a tenth of a second
)
MAX_PATH_CHARS = 60  # of the place inside a body

MIN_VALUE_CHARS = 12
MIN_BITS_PER_CHAR = 3.0  # of a password or token; words of a language have less, and fewer changes
MIN_CHANGES = 0.45  # between small, capital, digit and sign, for each character; names have less


class Secret(NamedTuple):
    """What seems to be one. `place` says where it stands, never what it is."""

    kind: str
    place: str


# By what each begins and how long it is, as those who give them out document it.
PATTERNS = {
    "a key of a room": r"\brk[sc]?_[A-Za-z0-9_-]{40,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "an API key of a model": r"\bsk-(?:ant|proj|svcacct|admin)-[A-Za-z0-9_-]{32,}"
    r"|\bsk-or-v1-[0-9a-f]{64}\b|\bsk-[A-Za-z0-9]{32,}\b",
    "a Slack token": r"\bxox[abeoprs]-[0-9A-Za-z]+-[0-9A-Za-z-]{16,}",
    "a Google API key": r"\bAIza[A-Za-z0-9_-]{35}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])*"
    r"(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=]{40}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
}
_ASSIGNED = (
    r"(?i)(?:password|passwd|passphrase|pwd|secret|token|(?:api|access|secret|private)[_-]?key)"
    r"[\"']?\s*(?:=>|:=|=|:)\s*(?:bearer\s+)?[\"']?"
    rf"([^\s\"',;]{{{MIN_VALUE_CHARS},200}})"
)
_EXAMPLE = re.compile(rb"EXAMPLE|(?:x|X|0|\.|\*){8}")
_CODE = re.compile(r"[(){}\[\]<>$*\\]|://|\.\.|^/|^[0-9a-fA-F-]+$")
_PART = re.compile(r"[A-Za-z_]{1,20}|\d{1,4}")
_CLASSES = re.compile("([a-z]+)|([A-Z]+)|([0-9]+)|([^a-zA-Z0-9]+)")


class SecretWatch:
    """Refuses what seems to hold a secret; by `warn` only until its sender says it again."""

    def __init__(self, mode: str = SECRETS.default) -> None:
        self._mode = mode
        self._warned: OrderedDict[bytes, None] = OrderedDict()

    def look(self, room_id: str, draft: Draft) -> None:
        """Raises LooksLikeSecret; in mode `warn` once for each message of a sender in a room."""
        if self._mode == "off" or (secret := secret_in(draft.content)) is None:
            return
        if self._mode == "warn" and not self._is_first(room_id, draft):
            return
        again = (
            ", or send exactly the same again, if it is meant to be shared (a shell command on "
            f"this machine needs {SECRETS.name}=off for that)"
        )
        raise LooksLikeSecret(
            f"The message seems to hold a secret: {secret.kind}, {secret.place}. "
            "Nothing was stored.",
            advice="Take it out and name the place where it is kept"
            f"{again if self._mode == 'warn' else ''}. What is sent stays in the room.",
            kind=secret.kind,
            place=secret.place,
        )

    def _is_first(self, room_id: str, draft: Draft) -> bool:
        said = json.dumps([room_id, skeleton(draft.sender), draft.content], sort_keys=True)
        mark = hashlib.sha256(said.encode()).digest()
        if mark in self._warned:
            self._warned.move_to_end(mark)
            return False
        self._warned[mark] = None
        if len(self._warned) > MAX_WARNED:
            self._warned.popitem(last=False)
        return True


def secret_in(content: str | dict[str, Any]) -> Secret | None:
    """The first secret that the content seems to hold."""
    if isinstance(content, str):
        return _secret_in_text(content, "")
    for path, name, text in _texts(content, ""):
        if found := _secret_in_text(text, path):
            return found
        if name and (found := _secret_in_text(f"{name}={text}", path)):
            return found
    return None


def _texts(value: Any, path: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """All texts in a body: where each stands, the name it stands under, and the text."""
    if isinstance(value, str):
        yield path, name, value
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield path, "", key
            yield from _texts(inner, f"{path}/{key}", key)
    elif isinstance(value, list):
        for at, inner in enumerate(cast("list[Any]", value)):
            yield from _texts(inner, f"{path}/{at}", name)


def _secret_in_text(text: str, path: str) -> Secret | None:
    raw = text.encode("utf-8", "replace")
    if _any_pattern().search(raw) is None:
        return None
    for kind, pattern in _patterns().items():
        for match in pattern.finditer(raw):
            if not _EXAMPLE.search(match.group()):
                return Secret(kind, _place(raw, match.start(), path))
    for match in islice(_assigned().finditer(raw), MAX_ASSIGNED):
        if _is_random(match.group(1).decode("utf-8", "replace")):
            return Secret("a password or token", _place(raw, match.start(), path))
    return None


def _place(raw: bytes, at: int, path: str) -> str:
    """Where it stands. A part of the path is told when it is a name: a key can be the secret."""
    if not path:
        line = raw.count(b"\n", 0, at) + 1
        return f"in line {line}"
    parts = (part if _PART.fullmatch(part) else "…" for part in path[1:].split("/"))
    return f"at {'/'.join(parts)[:MAX_PATH_CHARS]} of the body"


def _is_random(value: str) -> bool:
    """Whether a value looks made by chance, and not like code, a hash, an id or words."""
    value = value.rstrip(".:)")
    if len(value) < MIN_VALUE_CHARS or _CODE.search(value) or _EXAMPLE.search(value.encode()):
        return False
    if not re.search("[0-9]", value) or not re.search("[A-Za-z]", value):
        return False
    counts = Counter(value).values()
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    changes = len(_CLASSES.findall(value)) - 1
    return bits >= MIN_BITS_PER_CHAR and changes / len(value) >= MIN_CHANGES


# ---- patterns; the engine is imported with the first message ------------------------------------


def _compiled(pattern: str) -> Any:
    import re2  # pyright: ignore[reportMissingTypeStubs] -- it has none

    engine: Any = re2
    return engine.compile(pattern.encode())


@lru_cache(maxsize=1)
def _any_pattern() -> Any:
    """All of them at once: most messages are held against this one only."""
    return _compiled("|".join(f"(?:{one})" for one in (*PATTERNS.values(), _ASSIGNED)))


@lru_cache(maxsize=1)
def _patterns() -> dict[str, Any]:
    return {kind: _compiled(pattern) for kind, pattern in PATTERNS.items()}


@lru_cache(maxsize=1)
def _assigned() -> Any:
    return _compiled(_ASSIGNED)
