"""The files that a connection needs: certificates, and the one that may hold its password.

asyncpg reads them itself, and names neither option nor file when one is not there.
"""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from ..interface import StoreUnavailable

VERIFYING = ("verify-ca", "verify-full")
_READING_AUTHORITY = ("require", *VERIFYING)
_OF_TLS = ("sslrootcert", "sslcrl", "sslcert", "sslkey")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

logger = logging.getLogger(__name__)


def look_at(url: str) -> None:
    """What asyncpg is about to read for a connection to `url`.

    Raises:
        StoreUnavailable: A file of TLS is not there, or cannot be read.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    _must_have_certificates(options)
    if not (parts.password or "password" in options or os.environ.get("PGPASSWORD")):
        # asyncpg says the same with a line of its source.
        warnings.filterwarnings("ignore", "password file .*", UserWarning)
        path = options.get("passfile") or os.environ.get("PGPASSFILE") or "~/.pgpass"
        _tell_of(path, os.path.expanduser(path))


def _must_have_certificates(options: Mapping[str, str]) -> None:
    mode = _named(options, "sslmode")
    if mode == "disable":
        return
    read = _OF_TLS if mode in _READING_AUTHORITY else _OF_TLS[2:]
    for option in read:
        if path := _named(options, option):
            _must_be_readable(option, Path(path))
    usual = "~/.postgresql/root.crt"
    is_named = bool(_named(options, "sslrootcert"))
    if mode in VERIFYING and not (is_named or os.path.exists(os.path.expanduser(usual))):
        raise StoreUnavailable(
            f"sslmode={mode} needs the certificate of the authority that stands for the server, "
            f"and no sslrootcert names it; {usual} is not there either.",
            advice="Write sslrootcert=/path/to/ca.pem into the store's address.",
        )


def _named(options: Mapping[str, str], option: str) -> str:
    """What an option says, in the address or in the variable that PostgreSQL has for it."""
    return options.get(option) or os.environ.get(f"PG{option.upper()}", "")


def _must_be_readable(option: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise StoreUnavailable(
            f"{path}, which {option} names, cannot be read: {error.strerror}.",
            advice=f"Correct {option} in the store's address, or put the file there.",
        ) from None


@cache  # once is enough
def _tell_of(path: str, real: str) -> None:
    """Say why a file of passwords is not used."""
    try:
        mode = os.stat(real).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        logger.warning("%s is no plain file, so it is not used.", path)
    elif mode & _OTHERS:
        logger.warning("%s is readable by others, so it is not used: chmod 600 %s", path, path)
