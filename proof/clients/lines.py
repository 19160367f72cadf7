"""What the Python programs here share: one JSON line for every question, one for every answer.

It runs inside each client's own environment, so it imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from typing import Any, TextIO

LONGEST_CALL_S = 60.0  # for libraries that would give up on a call sooner than a wait takes

Call = Callable[[str, dict[str, Any]], Awaitable[tuple[str, bool | None]]]

_words: TextIO = sys.stdout
sys.stdout = sys.stderr  # what a library prints is no answer


def connection() -> dict[str, Any]:
    """Where the server is, from the command line.

    Either `transport` stdio with `command`, `args` and `env`, or http or sse with `url`.
    """
    return json.loads(sys.argv[1])


async def converse(tools: Iterable[str], call: Call) -> None:
    """Say which tools there are, then make the calls that stdin asks for until it ends.

    Args:
        call: What a model would be shown for a tool and its arguments, and whether the library
            says that it was refused; None where the library does not tell a refusal apart.
    """
    _say(tools=sorted(tools), mcp=version("mcp"))
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted = json.loads(line)
        shown, refused = await call(wanted["tool"], wanted["arguments"])
        _say(shown=shown, refused=refused)


def text_of(blocks: str | Iterable[Any]) -> str:
    """The text of a content that is a string, or blocks as dicts or objects."""
    if isinstance(blocks, str):
        return blocks
    return "\n".join(
        block["text"] if isinstance(block, dict) else getattr(block, "text", str(block))
        for block in blocks
    )


def _say(**answer: Any) -> None:
    print(json.dumps(answer), file=_words, flush=True)
