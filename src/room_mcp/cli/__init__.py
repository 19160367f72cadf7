"""The command line. Without a command it is the MCP server that a host starts.

Here stands only what every command shares: where output goes, and how failures end. Everything
that takes time to import is imported by the command that needs it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

FAILED = 1
WRONG_USE = 2
TIMED_OUT = 3
INTERRUPTED = 130  # as shells say it: 128 and the signal's number
PIPE_BROKEN = 141


class WrongUse(Exception):
    """A command line that cannot work; the text says what to do instead."""


class Failed(Exception):
    """The command was understood and did not succeed; the text says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code: 0 done, 1 failed or refused, 2 wrong use, 3 timed out.

    Args:
        argv: The words behind `room-mcp`; by default those of this process.
    """
    from .parser import parsed

    _take_any_text(sys.stdout)
    try:
        args = parsed(sys.argv[1:] if argv is None else argv)
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _stopped_listening()
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        code, told = failure
        print(f"room-mcp: {told}", file=sys.stderr)
    return code


def _failure(error: Exception) -> tuple[int, str] | None:
    """Exit code and sentence of what was foreseen; None for a mistake of ours."""
    from room_mcp.addressing import AddressError
    from room_mcp.plain import one_line
    from room_mcp.settings import SettingsError

    if isinstance(error, (WrongUse, SettingsError, AddressError)):
        return WRONG_USE, one_line(str(error))
    if isinstance(error, Failed):
        return FAILED, one_line(str(error))
    from room_mcp.failures import BackendError
    from room_mcp.rooms import Refusal
    from room_mcp.store.interface import StoreError

    if isinstance(error, (BackendError, StoreError)):
        return FAILED, one_line(str(error))
    if isinstance(error, Refusal):
        return WRONG_USE, one_line(f"{error.detail} {error.advice}")
    return None


def _take_any_text(stream: object) -> None:
    """A terminal that cannot show a character gets its code instead of a traceback."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _stopped_listening() -> int:
    """Whoever read our output is gone, as in `room-mcp history x | head`; end without a word."""
    # Else Python flushes once more at exit, and complains.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_BROKEN
