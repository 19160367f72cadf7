"""What a bug report must not tell: where the files of a person are, and that person's name."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

MIN_NAME_CHARS = 3  # a shorter name is found in words that mean something else
END = "(?![A-Za-z0-9])"  # else the beginning of a longer name would be replaced alone

# Whatever else is a place: of Python's packages, of another file.
_PATH = re.compile(r"(?<![\w<>/.])/(?:[^\s/'\"():;,]+/)*[^\s/'\"():;,.]+[^\s/'\"():;,]*")


class Private:
    """The places and names of one machine, and what stands for them."""

    def __init__(self, store: Path | None, homes: Iterable[Path]) -> None:
        names: list[tuple[str, str]] = []
        places: list[tuple[str, str]] = []
        if store is not None:
            names.append((store.name, "<store>"))
            places += ((place, "<store>") for place in _spellings(store))
            places += ((place, "<folder>") for place in _spellings(store.parent))
        for home in homes:
            places += ((place, "<home>") for place in _spellings(home))
        names += ((name, "<user>") for name in _user_names() if len(name) >= MIN_NAME_CHARS)
        # The longest first: a folder is the beginning of what lies in it.
        self._places = [
            (_of_place(place), stands)
            for place, stands in sorted(places, key=lambda one: -len(one[0]))
        ]
        self._names = [(_of_name(name), stands) for name, stands in names if name]

    def hidden(self, part: Any) -> Any:
        """The same with all of them replaced, in every text; keys of objects are our own words."""
        if isinstance(part, dict):
            return {key: self.hidden(value) for key, value in part.items()}  # pyright: ignore
        if isinstance(part, list):
            return [self.hidden(one) for one in part]  # pyright: ignore
        return self._hidden(part) if isinstance(part, str) else part

    def _hidden(self, text: str) -> str:
        for place, stands in self._places:
            text = place.sub(stands, text)
        text = _PATH.sub("<path>", text)
        for name, stands in self._names:
            text = name.sub(stands, text)
        return text


def _of_place(place: str) -> re.Pattern[str]:
    return re.compile(re.escape(place) + END)


def _of_name(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}{END}")


def _spellings(place: Path) -> set[str]:
    """As it was given, from the root, and without links."""
    spelt = {str(place), str(place.absolute()), str(place.resolve())}
    return {one for one in spelt if len(one) > 1}  # neither "." nor "/"


def _user_names() -> set[str]:
    names = {Path.home().name}
    with suppress(OSError, KeyError, ImportError):  # nobody knows a name for this user
        names.add(getpass.getuser())
    return names
