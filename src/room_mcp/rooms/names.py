"""What a name may look like, and when two names count as the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .refusals import Malformed

MAX_NAME_CHARS = 100
MAX_ROOM_NAME_CHARS = 100

# Ours, a mark of ours, or everybody.
RESERVED_NAMES = frozenset({"room", "system", "human", "you", "all", "everyone"})
_OURS = "room "  # how a line of the room itself begins
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")  # letters that show nothing

_NAME = re.compile(r"[^\W_](?:[\w.\-@/]| (?! ))*")  # \w: letters, digits, underscore
_WORD = r"[\w.\-@/]"
_MENTION = re.compile(rf"(?<!{_WORD})@({_WORD}{{1,{MAX_NAME_CHARS}}})")


def member_name(value: str) -> str:
    """The name as given, once it is known to be one.

    Letters and digits of any script, single inner spaces and `._-@/`; 1 to 100 characters,
    the first a letter or digit.

    Raises:
        Malformed: It is empty, too long, or holds something else.
    """
    if not value:
        raise Malformed("The name is empty.", advice="Send a name, such as 'claude'.")
    if len(value) > MAX_NAME_CHARS:
        raise Malformed(
            f"The name has {len(value)} characters; at most {MAX_NAME_CHARS} are allowed.",
            advice="Use a short name, such as 'claude'.",
        )
    if not _NAME.fullmatch(value) or value.endswith(" ") or _INVISIBLE & set(value):
        raise Malformed(
            "The name holds characters that a name may not have.",
            advice="Use letters, digits, single inner spaces and . _ - @ /, "
            "beginning with a letter or digit.",
        )
    if skeleton(value) in RESERVED_NAMES or skeleton(value).startswith(_OURS):
        raise Malformed(f"The name {value!r} is reserved.", advice="Choose another name.")
    return value


def room_name(value: str) -> str:
    """The room's name, trimmed: one line of 1 to 100 printable characters."""
    name = value.strip()
    if not name or len(name) > MAX_ROOM_NAME_CHARS or not name.isprintable():
        raise Malformed(
            f"A room's name is one line of 1 to {MAX_ROOM_NAME_CHARS} printable characters.",
            advice="Choose a short name, such as 'api-review'.",
        )
    return name


def skeleton(name: str) -> str:
    """The form in which names are compared: two names with one skeleton are the same name."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def mentioned(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that `text` mentions as `@name`, in the order of `names`.

    A mention stands alone: `@al` does not mention `alice`, and `me@bob.com` not `bob`.
    Names with spaces cannot be mentioned.
    """
    if "@" not in text:
        return ()
    known = {skeleton(name) for name in names}
    found: set[str] = set()
    for match in _MENTION.finditer(text):
        # The longest reading counts: `@team/bot` is not `team` where somebody is `team/bot`.
        word = next((one for one in _readings(skeleton(match[1])) if one in known), None)
        if word is not None:
            found.add(word)
    return tuple(name for name in names if skeleton(name) in found)


def _readings(word: str) -> tuple[str, ...]:
    """The mentioned word, with and without punctuation that may belong to the sentence."""
    return word, word.rstrip("."), word.rstrip("./-@"), word.split("/")[0]
