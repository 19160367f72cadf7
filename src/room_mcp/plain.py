"""Making what others wrote harmless to show: to a person on a terminal, to a model as text."""

from __future__ import annotations

import json
import re
from functools import lru_cache

_LINE_BREAKS = re.compile("\r\n|[\u000b\u000c\u0085\u2028\u2029]")

# Scripts whose spelling needs joiners: Arabic, Syriac, Thaana, N'Ko, the Indic ones, Mongolian.
_JOINING = (
    "\u0620-\u07ff\u0860-\u0dff\u1780-\u17ff\u1807-\u180a\u1820-\u18af\ufb50-\ufdff\ufe70-\ufefc"
)
_EMOJI = "\u00a9\u00ae\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINER_STAYS = (
    f"(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])|(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])"
)
_ACTING = (
    "\u0000-\u0008\u000d-\u001f\u007f-\u009f"  # controls; ANSI sequences begin with one
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the reading direction around
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # show nothing
    "\U0001d173-\U0001d17a"
    "\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"  # no characters, or of nobody's fonts
    "\ud800-\udfff"  # lone surrogates, which no terminal takes
)
# The Unicode blocks with marks that stand on the letter before; their letters come out below.
_BLOCKS_WITH_MARKS = (
    *((0x0300, 0x1E00), (0x20D0, 0x2100), (0x2CEF, 0x2E00), (0x302A, 0x30A0)),
    *((0xA66F, 0xAC00), (0xFB1E, 0xFB1F), (0xFE20, 0xFE30)),
)
MAX_MARKS = 4  # on one letter: Burmese has as many; piles of them run into the lines around


def plain(text: str) -> str:
    r"""The text with everything that acts or hides made visible, such as `\x1b` and `\u202e`.

    Left are printable characters, tabs, and \n for every kind of line break. Joiners stay where
    spelling or emoji need them, and so do the marks of a letter but for piles of them.
    """
    if text.isascii() and text.isprintable():
        return text
    return _hidden(text.isascii()).sub(_shown, _LINE_BREAKS.sub("\n", text))


def plain_json(text: str) -> str:
    """JSON with everything that acts or hides escaped; it stands for the same value."""
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    escaped = _LINE_BREAKS.sub(lambda match: json.dumps(match[0])[1:-1], text)
    return _hidden(False).sub(
        lambda match: match[0] if match["stays"] else json.dumps(match[0])[1:-1], escaped
    )


def one_line(text: str) -> str:
    """The text as `plain` shows it, in one line with single spaces; for names and summaries."""
    return " ".join(plain(text).split())


@lru_cache(maxsize=2)
def _hidden(in_ascii: bool) -> re.Pattern[str]:
    """What `plain` shows; the marks are looked up with the first text that can hold some."""
    if in_ascii:
        return re.compile(f"(?P<stays>(?!))|[{_ACTING}]+")
    import unicodedata  # late: a host waits for the start

    marks = "".join(
        char
        for first, end in _BLOCKS_WITH_MARKS
        for char in map(chr, range(first, end))
        if unicodedata.category(char) in ("Mn", "Me")
    )
    return re.compile(
        f"(?P<stays>{_JOINER_STAYS})"
        # One selector changes the sign before it; a row of them carries a hidden text.
        f"|(?:(?<=[{_SELECTORS}])|^)[{_SELECTORS}]+"
        f"|(?<=[{marks}]{{{MAX_MARKS}}})[{marks}]+"
        f"|[{_ACTING}]+"
    )


def _shown(match: re.Match[str]) -> str:
    if match["stays"]:
        return match[0]
    return "".join(map(_escaped, match[0]))


@lru_cache(maxsize=1_024)
def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
