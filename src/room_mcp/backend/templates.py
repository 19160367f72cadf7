"""The templates that a backend knows: those of the package, and files in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from room_mcp.rooms import BUILT_IN, BadContract, Contract, contract_from, template
from room_mcp.rooms.documents import MAX_DOCUMENT_BYTES, is_template_name
from room_mcp.rooms.refusals import Malformed

MAX_FILES = 200


def template_in(file: Path) -> Contract:
    """The template in a file; its name is the file's.

    Raises:
        BadContract: What is wrong in it, and where.
        OSError: It cannot be read.
    """
    if file.stat().st_size > MAX_DOCUMENT_BYTES:
        raise BadContract(f"It has more than {MAX_DOCUMENT_BYTES // 1024} KiB.")
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadContract(f"It is not JSON: {error}.", advice="Mend it and try again.") from None
    if isinstance(document, dict):
        document = {**cast("dict[str, Any]", document), "name": file.stem}
    if not is_template_name(file.stem):
        raise BadContract(
            "The file's name is the template's, and this is none.",
            advice="Rename the file to lower-case letters, digits and dashes, as in my-rules.json.",
        )
    if file.stem in BUILT_IN:
        raise BadContract(
            f"{file.stem!r} is the name of a built-in template.", advice="Rename the file."
        )
    return contract_from(document)


class Templates:
    """Read anew at each call: a file that is saved can be used at once.

    Args:
        folder: Where `*.json` files are; it need not exist.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).expanduser() if folder else None

    def named(self, name: str) -> Contract:
        """Raises Malformed for an unknown name, or a file that is no template."""
        if name in BUILT_IN:
            return template(name)
        file = next((one for one in self._files() if one.stem == name), None)
        if file is None:
            known = ", ".join((*BUILT_IN, *(one.stem for one in self._files())))
            raise Malformed(
                f"There is no template {name[:100]!r}.", advice=f"Known templates: {known}."
            )
        try:
            return template_in(file)
        except OSError as error:
            raise Malformed(f"The template {name} cannot be read: {error.strerror}.") from None

    def own(self) -> Iterator[tuple[str, Contract | str]]:
        """Those of the folder by name; in place of one that is none, what is wrong with it."""
        for file in self._files():
            try:
                yield file.stem, template_in(file)
            except BadContract as error:
                yield file.stem, f"{error.detail} {error.advice}".strip()
            except OSError as error:
                yield file.stem, f"It cannot be read: {error.strerror}."

    def _files(self) -> list[Path]:
        if self._folder is None:
            return []
        try:
            return sorted(self._folder.glob("*.json"))[:MAX_FILES]
        except OSError:
            return []
