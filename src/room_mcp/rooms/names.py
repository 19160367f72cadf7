"""What a name may look like, and when two names count as the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files

from .refusals import Malformed

MAX_NAME_CHARS = 100
MAX_ROOM_NAME_CHARS = 100

# Ours, a mark of ours, or everybody.
RESERVED_NAMES = frozenset({"room", "system", "human", "you", "all", "everyone"})
OWNER = "owner"  # the name of whoever speaks by the right of the owner, and of nobody else
_OURS = "room "  # how a line of the room itself begins
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")  # that count as letters

# A Burmese letter takes four (ကြွေး); piles of them cover the lines around a name.
MAX_MARKS = 4  # on one letter
# What any letter may carry once: Yoruba's ẹ́ is no single character.
_ACCENTS = "\u0300-\u036f"
# Left out where names are compared: accents on a letter with which they make no single character,
# and the vowels of Hebrew and Arabic, which may be written or not.
_PASSED_OVER = re.compile(
    f"[{_ACCENTS}\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u0652\u0670]"
)
_ACCENT = re.compile(f"[{_ACCENTS}]")
_ASCII_LETTER = re.compile("[A-Za-z]")

_NAME = re.compile(r"[^\W_](?:[\w.\-@/]| (?! ))*")  # \w: letters, digits, underscore
_WORD = r"\w.\-@/"


def member_name(value: str) -> str:
    """The name as given, once it is known to be one.

    Letters and digits of any script, the marks that its letters carry, single inner spaces and
    `._-@/`; 1 to 100 characters, the first a letter or digit.

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
    letters = value if value.isascii() else _without_marks(value)
    if not _NAME.fullmatch(letters) or value.endswith(" ") or _INVISIBLE & set(value):
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
    """The form in which names are compared: two names with one skeleton are the same name.

    Names in ASCII differ by more than case. Others are the same as what they look like: `аlice`
    with a Cyrillic а is `alice`, and `é` is not `e`.
    """
    if name.isascii():
        return name.lower()
    whole = unicodedata.normalize("NFKC", name)
    seen = _as_seen(whole)
    # Greek Ν looks like N, but ν like v: a name that looks wholly or in part Latin is taken as
    # it looks, any other without its capitals first.
    if not seen.isascii() and not _ASCII_LETTER.search(whole):
        seen = _as_seen(whole.casefold())
    return " ".join(_as_seen(folded(seen)).split())


def folded(text: str) -> str:
    """The text without differences of case and of width, for finding a part of it."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def mentioned(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that `text` mentions as `@name`, in the order of `names`.

    A mention stands alone: `@al` does not mention `alice`, and `me@bob.com` not `bob`.
    Names with spaces cannot be mentioned.
    """
    if "@" not in text:
        return ()
    names = list(names)
    known = {skeleton(name) for name in names}
    found: set[str] = set()
    for match in _mention(text.isascii()).finditer(text):
        # The longest reading counts: `@team/bot` is not `team` where somebody is `team/bot`.
        word = next((one for one in _readings(skeleton(match[1])) if one in known), None)
        if word is not None:
            found.add(word)
    return tuple(name for name in names if skeleton(name) in found)


def _readings(word: str) -> tuple[str, ...]:
    """The mentioned word, with and without punctuation that may belong to the sentence."""
    return word, word.rstrip("."), word.rstrip("./-@"), word.split("/")[0]


# ---- beyond ASCII -------------------------------------------------------------------------------


def _as_seen(text: str) -> str:
    """The text with ASCII in place of what looks like it."""
    seen = unicodedata.normalize("NFD", text).translate(_look_alikes())
    return _PASSED_OVER.sub("", unicodedata.normalize("NFC", seen))


@lru_cache(maxsize=1)
def _look_alikes() -> dict[int, str]:
    """ASCII by the code of what looks like it; read when the first name needs it."""
    lines = files("room_mcp.rooms").joinpath("confusables.txt").read_text("utf-8").splitlines()
    rows = (line.split(" ") for line in lines if not line.startswith("#"))
    return {ord(char): text for text, chars in rows for char in chars}


def _without_marks(name: str) -> str:
    """The letters alone of a name; empty when a mark is where its script has none."""
    letters: list[str] = []
    marks: list[str] = []
    for char in unicodedata.normalize("NFC", name):
        if not unicodedata.category(char).startswith("M"):
            letters.append(char)
            marks = []
        elif letters and _may_carry(letters[-1], marks, char):
            marks.append(char)
        else:
            return ""
    return "".join(letters)


def _may_carry(letter: str, marks: Sequence[str], mark: str) -> bool:
    if not letter.isalpha() or mark in marks or len(marks) == MAX_MARKS:
        return False
    if _ACCENT.match(mark):
        return not any(_ACCENT.match(one) for one in marks)
    return _script(mark) == _script(letter)


def _script(char: str) -> str:
    """The script of a letter or mark, with which its name begins: DEVANAGARI, THAI, …"""
    return unicodedata.name(char, "").split(" ")[0]


@lru_cache(maxsize=2)
def _mention(in_ascii: bool) -> re.Pattern[str]:
    word = f"[{_WORD}]" if in_ascii else f"[{_WORD}{_marks()}]"
    return re.compile(rf"(?<!{word})@({word}{{1,{MAX_NAME_CHARS}}})")


def _marks() -> str:
    """The marks that letters may carry; no scripts in use beyond the first plane have any."""
    plane = map(chr, range(0x0300, 0x10000))
    return "".join(char for char in plane if unicodedata.category(char) in ("Mn", "Mc"))
