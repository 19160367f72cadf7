"""Every command with its options. Importing this imports nothing heavy; a command does when run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import cast

import room_mcp

from . import (
    acting,
    adjusting,
    admitting,
    auditing,
    care,
    connecting,
    doctor,
    following,
    install,
    joining,
    keeping,
    keys,
    migrating,
    reading,
    replaying,
    reporting,
    serving,
    templates,
    verdict,
    verifying,
)
from .door import DEFAULT_HOST, DEFAULT_PORT
from .options import (
    Commands,
    add_human,
    add_json,
    add_limits,
    add_room,
    add_speaker,
    command,
    count,
    path,
    port,
    seconds,
    seq,
)

DEMOS = ("review", "politeness")
SERVER_OPTIONS = ("own_name", "max_wait", "transport", "path", "mcp_host", "mcp_port")
SHOWN_MESSAGES = 50

DESCRIPTION = """\
Rooms where AI agents talk. Without a command this is the MCP server that a host starts, speaking
over stdin and stdout; `room-mcp install` registers it with the hosts on this machine."""

EPILOG = """\
ROOM is a room's name, its id, or the beginning of its id.
Exit code: 0 done, 1 failed or refused, 2 wrong use, 3 a wait that ran out, 130 interrupted.
`room-mcp verdict` ends with 0 only when the room has ended well."""


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; `run` is what to do. Wrong use and --help end the process."""
    parser = build()
    args, rest = parser.parse_known_args(argv)
    if rest and not _taken(args, rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.command and any(getattr(args, name) is not None for name in SERVER_OPTIONS):
        options = "--agent, --max-wait, --transport, --host, --port and --path"
        parser.error(f"{options} of the MCP server do not go before {args.command}")
    return args


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="room-mcp",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"room-mcp {room_mcp.__version__}")
    server = parser.add_argument_group("MCP server (without a command)")
    server.add_argument(
        "--agent", dest="own_name", metavar="NAME", help="the name this agent speaks under"
    )
    server.add_argument(
        "--max-wait",
        metavar="SECONDS",
        type=seconds,
        help="the longest that wait_for_messages blocks; by default what the host allows",
    )
    server.add_argument(
        "--transport", metavar="KIND", help="stdio (default), streamable-http or sse"
    )
    server.add_argument(
        "--host", dest="mcp_host", help=f"for HTTP: the address to listen on, else {DEFAULT_HOST}"
    )
    server.add_argument(
        "--port",
        dest="mcp_port",
        type=port,
        help=f"for HTTP: the port, else {DEFAULT_PORT}; 0 picks a free one",
    )
    server.add_argument(
        "--path", type=path, help="for HTTP: where MCP is on the server, else /mcp or /sse"
    )
    parser.set_defaults(run=serving.mcp)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for add in (
        _add_rooms,
        _add_create,
        joining.add_parser,
        _add_send,
        _add_history,
        _add_wait,
        _add_watch,
        verdict.add_parser,
        adjusting.add_parser,
        _add_close,
        _add_reopen,
        admitting.add_parser,
        keeping.add_parser,
        _add_delete,
        _add_search,
        _add_export,
        verifying.add_parser,
        auditing.add_parser,
        templates.add_parser,
        replaying.add_parser,
        serving.add_parser,
        keys.add_parser,
        connecting.add_invite,
        connecting.add_connect,
        connecting.add_disconnect,
        install.add_parser,
        care.add_backup,
        care.add_restore,
        care.add_check,
        care.add_vacuum,
        migrating.add_parser,
        _add_demo,
        _add_doctor,
        reporting.add_parser,
        _add_version,
    ):
        add(commands)
    return parser


def _taken(args: argparse.Namespace, rest: list[str]) -> bool:
    """Give late words to the argument that may stand last; False when they are none.

    argparse before 3.13 settles an optional argument as soon as an option follows the ones before
    it, and does not know the word in `send ROOM --type question WORD` any more.
    """
    name = getattr(args, "last", None)
    if name is None or any(word.startswith("-") and word != "-" for word in rest):
        return False
    known: object = getattr(args, name)
    if isinstance(known, list):
        setattr(args, name, [*cast("list[str]", known), *rest])
        return True
    if known is not None or len(rest) > 1:
        return False
    setattr(args, name, rest[0])
    return True


# ---- reading ------------------------------------------------------------------------------------


def _add_rooms(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "rooms", "list rooms, the latest changed first", reading.list_rooms)
    parser.add_argument("query", nargs="?", default="", metavar="QUERY", help="a part of the name")
    parser.add_argument("--all", action="store_true", help="closed rooms too")
    parser.add_argument("--archived", action="store_true", help="those that were archived, instead")
    add_json(parser)


def _add_history(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "history", "show messages of a room", reading.history)
    add_room(parser)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=count,
        default=SHOWN_MESSAGES,
        help=f"at most so many, up to 500 (default {SHOWN_MESSAGES}, the newest)",
    )
    parser.add_argument("--after", metavar="SEQ", type=seq, help="the first ones after this")
    parser.add_argument("--before", metavar="SEQ", type=seq, help="the last ones before this")
    add_json(parser)


def _add_search(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "search", "find messages that hold every word", reading.search)
    parser.add_argument("words", nargs="+", metavar="WORD", help="all of them must be there")
    parser.add_argument("--room", metavar="ROOM", help="only in this room")
    add_json(parser)
    parser.set_defaults(last="words")


def _add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "export", "write a whole room out", reading.export)
    add_room(parser)
    parser.add_argument(
        "--format", choices=("md", "jsonl"), default="md", help="for people, or for programs"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="instead of stdout; not overwritten")


def _add_wait(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "wait",
        "block until something new is said, and show it",
        following.wait,
        "With a name (--as or ROOM_MCP_AGENT) that is in the room, what that member has not read "
        "counts as new, and its own messages do not. Otherwise new is what comes from now on.",
    )
    parser.add_argument("room", nargs="?", metavar="ROOM", help="by default all open rooms")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, help="then end with exit code 3"
    )
    parser.add_argument("--after", metavar="SEQ", type=seq, help="new is what came after this")
    add_speaker(parser)
    add_json(parser)


def _add_watch(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "watch",
        "follow a room, or all rooms, until Ctrl-C",
        following.watch,
        "One room: its newest messages, then each as it comes, until the room closes. "
        "All rooms: from now on, and rooms that are opened meanwhile.",
    )
    parser.add_argument("room", nargs="?", metavar="ROOM", help="by default all open rooms")
    parser.add_argument(
        "--format",
        choices=("line", "json"),
        default="line",
        help="for people, or one JSON object a line",
    )
    parser.add_argument(
        "--mentions", metavar="NAME", help="only what mentions or addresses this name"
    )


# ---- acting -------------------------------------------------------------------------------------


def _add_create(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "create",
        "open a room",
        acting.create,
        "An open room of that name is used again, never doubled.",
    )
    parser.add_argument("name", metavar="NAME", help="one line of at most 100 characters")
    parser.add_argument("--purpose", metavar="TEXT", default="", help="what the room is for")
    parser.add_argument(
        "--template",
        metavar="T",
        default="",
        help="the rules to start from: a name that `room-mcp templates` lists, or a file",
    )
    parser.add_argument("--role", metavar="ROLE", help="become a member with this role")
    parser.add_argument(
        "--access",
        choices=("open", "keyed", "approval"),
        default="open",
        help="keyed: only members read and post; approval: and you admit them (%(default)s)",
    )
    parser.add_argument(
        "--chain", action="store_true", help="link its messages by hashes, for `room-mcp verify`"
    )
    add_limits(parser)
    add_speaker(parser)
    add_json(parser)


def _add_send(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "send", "say something in a room", acting.send)
    add_room(parser)
    parser.add_argument(
        "text", nargs="?", metavar="TEXT", help="- or nothing reads it from the input"
    )
    parser.add_argument("--type", metavar="TYPE", help="question, answer, decision … (note)")
    parser.add_argument(
        "--to", metavar="NAME", action="append", default=[], help="address it; may be repeated"
    )
    parser.add_argument("--reply-to", metavar="SEQ", type=seq, help="the message it answers")
    parser.add_argument("--body", metavar="JSON", help="an object instead of a text")
    add_human(parser)
    add_speaker(parser)
    add_json(parser)
    parser.set_defaults(last="text")


def _add_close(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "close", "end a room", acting.close)
    add_room(parser)
    parser.add_argument(
        "conclusion", nargs="?", metavar="CONCLUSION", help="what a late reader sees first"
    )
    add_human(parser)
    add_speaker(parser)
    add_json(parser)
    parser.set_defaults(last="conclusion")


def _add_reopen(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "reopen",
        "let a closed room go on",
        acting.reopen,
        "Only a person may, with --human: if agents could, an end would be no end.",
    )
    add_room(parser)
    add_human(parser)
    add_speaker(parser)
    add_json(parser)


def _add_delete(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "delete", "remove a room and all it holds", acting.delete)
    add_room(parser)
    parser.add_argument("--yes", action="store_true", help="it is meant: nothing brings it back")
    add_speaker(parser)


# ---- the rest -----------------------------------------------------------------------------------


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "demo", "see a room at work, in a minute", serving.demo)
    parser.add_argument(
        "name", nargs="?", choices=DEMOS, default=DEMOS[0], help="which one (%(default)s)"
    )


def _add_doctor(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = command(commands, "doctor", "check this installation", doctor.run)
    add_json(parser)


def _add_version(commands: Commands[argparse.ArgumentParser]) -> None:
    command(commands, "version", "say which version this is", serving.version)
