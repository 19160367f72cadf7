"""What stands in a text: words, sentence ends, numbers with their slots, links, code lines.

Every pattern takes time linear in the text: no nested quantifiers, every run that could be
entered twice is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import islice, pairwise
from zlib import crc32

MAX_CHARS = 8_000  # what stands behind is not read
MAX_WORDS = 2_000  # 8,000 characters of English are 1,400 words, of Chinese 8,000
MAX_NUMBERS = 256
MAX_LINKS = 256
MAX_PLAIN_DIGITS = 9  # of a number that is kept as it is
HASHED = 1 << 31  # values from here on are hashes
MAX_CODE_LINES = 512
MAX_LINK_CHARS = 300
MAX_TAGS = 16  # of more question marks one is a question
NFC_PIECE_CHARS = 512  # marks are sorted in quadratic time; a piece bounds it to 2 ms in all

SENTENCE_ENDS = frozenset(".!?…。！？؟।\n")

# Marks that Python does not count as letters, though words of these scripts are full of them.
_MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0dff\u0e31-\u0eff\u1000-\u109f\u1780-\u17d3"
_EMOJI = "\U0001f300-\U0001faff\u2600-\u27bf"
_TOKEN = re.compile(
    rf"[^\W\d_](?:[\w'{_MARKS}-]*[\w'{_MARKS}])?|[.!?…。！？؟।\n]|[{_EMOJI}]",
)
# Scripts that write without spaces: Thai to Khmer, kana, hangul, Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)

_NUMBER = re.compile(r"[#$€£]?\d+(?:[.,:]\d+)*%?|[A-Z]{1,6}-?\d+")
_ID_HEAD = re.compile(r"(?<![^\W_])[a-z]{1,6}$")  # what stands before the 4 of e4
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d+")
_ID_CHARS = 7  # how far before a number its id begins
_SLOT_CHARS = 24  # how far before a number its word is looked for

_LINK_RUN = re.compile(r"[A-Za-z0-9_.~@%+=&?#/:\\-]{4,300}")
_FILE_NAME = re.compile(r"[\w-]{1,64}(?:\.[\w-]{1,64}){0,8}\.[a-z][a-z0-9]{0,7}")
_HEX = re.compile(r"(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,40}")
_TAG = re.compile(r"[,;–—-] ?([\w'-]{1,12}(?: [\w'-]{1,12}){0,3}) ?\?")
_LOUD_ENDS = re.compile("[!！]+")
_CALM_ENDS = re.compile("[.?…。？؟।]+")
_MAX_MARK_CHARS = 40
_MARK = re.compile(
    r"[#<\[*_|/-]+ ?[A-Z]{2,}(?:[ _-][A-Z]{2,}){0,4} ?[#>\]*_|/-]*|TERMINATE|STOP|END"
)

_EDGES = ".,:;?!#=&-~%+"

_CODE_SIGNS = re.compile(r"[{}\[\]()=<>;$|&\\/+_]")
_CODE_STARTS = (
    "def ",
    "class ",
    "import ",
    "return ",
    "const ",
    "function ",
    "async def ",
    "elif ",
    "except ",
    "#include",
    "fn ",
    "func ",
    "struct ",
    "var ",
)
_CODE_CHARS = range(8, 401)  # of a line
_MIN_SIGNS, _MIN_KINDS, _MIN_SHARE = 3, 2, 0.06


def clean(text: str) -> str:
    """The text trimmed, in NFC, at most MAX_CHARS characters."""
    text = text[: 2 * MAX_CHARS].lstrip()[:MAX_CHARS].rstrip()
    if text.isascii():
        return text
    text = text.encode("utf-8", "ignore").decode()  # halves of a surrogate pair cannot be hashed
    pieces = range(0, len(text), NFC_PIECE_CHARS)
    text = "".join(unicodedata.normalize("NFC", text[at : at + NFC_PIECE_CHARS]) for at in pieces)
    return text.replace("’", "'")[:MAX_CHARS]


def tokens_of(lower: str) -> list[str]:
    """The words of a lower-cased text in order, at most MAX_WORDS, with SENTENCE_ENDS between.

    A word of an unspaced script comes as its character bigrams; an emoji is a word.
    """
    found = _TOKEN.findall(lower)
    if lower.isascii():
        return found[:MAX_WORDS]
    tokens: list[str] = []
    for token in found:
        if token.isascii() or len(token) == 1 or not _UNSPACED.search(token):
            tokens.append(token)
        else:
            token = token[:MAX_WORDS]
            tokens += map("".join, pairwise(token))
        if len(tokens) >= MAX_WORDS:
            return tokens[:MAX_WORDS]
    return tokens


def words_of(lower: str) -> list[str]:
    return [token for token in tokens_of(lower) if token not in SENTENCE_ENDS]


def is_unspaced(word: str) -> bool:
    return not word.isascii() and _UNSPACED.match(word) is not None


def asks(text: str, tags: Collection[str]) -> bool:
    """Whether there is a question in it that is more than a tag, such as ", isn't it?"."""
    marks = text.count("?") + text.count("？") + text.count("؟")
    if not marks or marks > MAX_TAGS:
        return marks > 0
    return marks > sum(
        all(word in tags for word in tag.split()) for tag in _TAG.findall(text.lower())
    )


def loudness(text: str) -> float:
    """The share of sentences that end with an exclamation mark, 0 to 1."""
    loud = len(_LOUD_ENDS.findall(text))
    return round(loud / (loud + len(_CALM_ENDS.findall(text))), 3) if loud else 0.0


def is_mark(text: str) -> bool:
    """Whether it is a lone sign to a program, such as "###STOP###", "<END>" or "TERMINATE"."""
    return len(text) <= _MAX_MARK_CHARS and _MARK.fullmatch(text) is not None


def numbers_in(text: str) -> tuple[tuple[int, int], ...]:
    """(value of the number, hash of its slot) of the first MAX_NUMBERS, each value once.

    The value of what is no plain number, such as ids and times, is a hash of HASHED or above. The
    slot is the word before it and its shape: "message 14" stands where "message 9" stood. A
    list's own "1." or "2)" at the start of a line is no number.
    """
    found: dict[int, int] = {}
    filled: dict[str, int] = {}
    for match in islice(_NUMBER.finditer(text), MAX_NUMBERS):
        number, start = match[0], match.start()
        if len(number) <= 2 and _is_list_mark(text, start, match.end()):
            continue
        if start and "a" <= text[start - 1] <= "z":
            head = _ID_HEAD.search(text, max(0, start - _ID_CHARS), start)
            if head:
                number, start = head[0] + number, head.start()
        before = _LETTERS.findall(text[max(0, start - _SLOT_CHARS) : start])
        slot = f"{before[-1].lower() if before else ''} {_DIGITS.sub('#', number)}"
        # "turn 3/40" fills the slot twice, and only the first of them counts up.
        filled[slot] = filled.get(slot, 0) + 1
        found.setdefault(_value(number), crc32(f"{slot} {filled[slot]}".encode()))
    return tuple(found.items())


def _value(number: str) -> int:
    digits = number.strip("#$€£%").replace(",", "").replace(".", "")
    if digits.isdecimal() and len(digits) <= MAX_PLAIN_DIGITS:
        return int(digits)
    return crc32(number.encode()) | HASHED


def _is_list_mark(text: str, start: int, end: int) -> bool:
    return (start == 0 or text[start - 1] == "\n") and text[end : end + 1] in (".", ")")


def links_in(text: str) -> tuple[int, ...]:
    """Hashes of URLs, paths, file names and hexadecimal ids, each once, at most MAX_LINKS."""
    found: dict[int, None] = {}
    for run in _LINK_RUN.findall(text):
        link = run.strip(_EDGES)
        if _is_link(link):
            found[crc32(link.encode())] = None
            if len(found) == MAX_LINKS:
                break
    return tuple(found)


def _is_link(run: str) -> bool:
    if "/" in run or "\\" in run:
        return _is_path(run)
    if "." in run:
        return len(run) > len("e.g") and _FILE_NAME.fullmatch(run) is not None
    return len(run) >= 7 and _HEX.fullmatch(run) is not None


def _is_path(run: str) -> bool:
    """Whether it is more than two words with a slash between, such as and/or, or 3/4."""
    if "://" in run or "." in run or run.startswith(("/", "\\", "~")):
        return len(run) > 3 and any(map(str.isalnum, run))
    return run.count("/") + run.count("\\") > 1 or "_" in run


def code_lines_in(text: str) -> tuple[int, ...]:
    """Hashes of the lines that look like code, each once, at most MAX_CODE_LINES."""
    found: dict[int, None] = {}
    for line in _lines(text):
        if line.startswith(_CODE_STARTS) or _has_code_signs(line):
            found[crc32(line.encode())] = None
            if len(found) == MAX_CODE_LINES:
                break
    return tuple(found)


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        line = line.strip()
        if len(line) in _CODE_CHARS:
            yield line


def _has_code_signs(line: str) -> bool:
    signs: Sequence[str] = _CODE_SIGNS.findall(line)
    return (
        len(signs) >= _MIN_SIGNS
        and len(set(signs)) >= _MIN_KINDS
        and len(signs) >= _MIN_SHARE * len(line)
    )
