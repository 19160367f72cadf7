"""`room-mcp install`: registers the server with the hosts on this machine, or takes it out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from room_mcp.installing.hosts import Host
    from room_mcp.installing.installer import Outcome, Plan
    from room_mcp.installing.machine import Machine

DESCRIPTION = """\
Register room-mcp with the programs in which your agents run. Without HOST: with every one that
is found on this machine. A host's own command is used where it has one; otherwise its file is
edited, a backup is left beside it, and everything else in it stays."""

HOSTS_HERE = "<hosts>"


class _WithHosts(argparse.RawDescriptionHelpFormatter):
    """Reads the table of hosts only when somebody asks for help: every command builds a parser."""

    def add_text(self, text: str | None) -> None:
        super().add_text(_hosts_and_codes() if text == HOSTS_HERE else text)


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]  # argparse has no public name for it
) -> None:
    """Add `install` to the command line."""
    parser = subparsers.add_parser(
        "install",
        help="register room-mcp with Claude, Codex, Cursor and other hosts",
        description=DESCRIPTION,
        epilog=HOSTS_HERE,
        formatter_class=_WithHosts,
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="a name from the list below")
    parser.add_argument("--agent", metavar="NAME", help="the name that agents speak under")
    parser.add_argument(
        "--scope",
        choices=("user", "project"),
        default="user",
        help="user: everywhere (default); project: a file in the current folder",
    )
    parser.add_argument("--uninstall", action="store_true", help="take room-mcp out again")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only say what would be done")
    what.add_argument(
        "--print", action="store_true", dest="show", help="only print what to paste, and where"
    )
    parser.add_argument("--json", action="store_true", help="answer as a JSON list, for scripts")
    parser.set_defaults(run=run)


def _hosts_and_codes() -> str:
    from room_mcp.installing.hosts import HOSTS

    lines = [
        f"  {host.name:<15} {host.title}"
        + (f" (also: {', '.join(host.aliases)})" if host.aliases else "")
        for host in HOSTS
    ]
    codes = "exit code: 0 all done, 1 some host could not, 2 wrong use"
    return "\n".join(["hosts:", *lines, "", codes])


def run(args: argparse.Namespace) -> int:
    """Do what the command line says, on this machine; the exit code."""
    from room_mcp.installing.machine import this_machine

    return run_on(this_machine(), args)


def run_on(machine: Machine, args: argparse.Namespace) -> int:
    """Do what the command line says, on a given machine; the exit code."""
    from room_mcp.installing.installer import Plan
    from room_mcp.installing.launch import launch_for

    trouble = _wrong_use(machine, args)
    if trouble:
        print(f"room-mcp: {trouble}", file=sys.stderr)
        return 2
    plan = Plan(
        launch_for(machine, agent=args.agent),
        machine,
        project=args.scope == "project",
        dry_run=args.dry_run,
    )
    hosts = _hosts(machine, args.hosts)
    if not hosts:
        print(f"room-mcp: {_none_found()}", file=sys.stderr)
        return 1
    outcomes = [_act(host, plan, args) for host in hosts]
    if args.json:
        _print_json(outcomes)
        for note in _login_notes(plan, args):
            print(f"room-mcp: {note}", file=sys.stderr)
    else:
        _print_text(outcomes, plan, args)
    bad = {"failed", "none"} if args.hosts else {"failed"}
    return 1 if any(outcome.action in bad for outcome in outcomes) else 0


def _wrong_use(machine: Machine, args: argparse.Namespace) -> str | None:
    """A sentence about a command line or environment that cannot work; None when it can."""
    from room_mcp.installing.hosts import BY_NAME, HOSTS
    from room_mcp.rooms import Refusal, member_name
    from room_mcp.settings import Settings, SettingsError

    unknown = [name for name in args.hosts if name.lower() not in BY_NAME]
    if unknown:
        known = ", ".join(host.name for host in HOSTS)
        return f"Unknown host: {', '.join(unknown)}. Known hosts: {known}."
    if args.show and args.uninstall:
        return "--print shows what to paste; it does not go with --uninstall."
    if args.scope == "project" and machine.cwd == machine.home:
        return "--scope project writes into the current folder. Change into a project first."
    try:
        Settings.from_env(machine.env)
        if args.agent is not None:
            member_name(args.agent)
    except (SettingsError, Refusal) as error:
        return str(error)
    return None


def _hosts(machine: Machine, names: Sequence[str]) -> list[Host]:
    from room_mcp.installing.hosts import BY_NAME, HOSTS, is_here

    if names:
        return list(dict.fromkeys(BY_NAME[name.lower()] for name in names))
    return [host for host in HOSTS if is_here(host, machine)]


def _none_found() -> str:
    from room_mcp.installing.hosts import HOSTS

    names = ", ".join(host.name for host in HOSTS)
    return f"No host was found on this machine. Name one to write its file anyway: {names}."


def _act(host: Host, plan: Plan, args: argparse.Namespace) -> Outcome:
    from room_mcp.installing import installer

    if args.show:
        return installer.show(host, plan)
    return installer.uninstall(host, plan) if args.uninstall else installer.install(host, plan)


def _print_json(outcomes: Sequence[Outcome]) -> None:
    import json

    rows = [
        {
            "host": outcome.host.name,
            "action": outcome.action,
            "path": str(outcome.path) if outcome.path else None,
            "command": outcome.command,
            "detail": outcome.detail,
            "snippet": outcome.snippet,
        }
        for outcome in outcomes
    ]
    print(json.dumps(rows, indent=2, ensure_ascii=False))


def _print_text(outcomes: Sequence[Outcome], plan: Plan, args: argparse.Namespace) -> None:
    for outcome in outcomes:
        _print_outcome(outcome, plan, uninstall=args.uninstall)
    notes = _what_stays(plan) if args.uninstall else _notes(outcomes, plan, args)
    print("\n".join(notes))


def _print_outcome(outcome: Outcome, plan: Plan, *, uninstall: bool) -> None:
    """One host: what was done, how to paste it, how to allow the tools, what to restart."""
    host = outcome.host
    if outcome.action == "shown":
        print(f"{host.title}: {outcome.detail}\n\n{_indented(outcome.snippet)}\n")
        if outcome.command:
            print(f"  or run: {outcome.command}\n")
    else:
        print(f"{host.title}: {outcome.action}. {outcome.detail}")
        if outcome.snippet:
            print(f"\n{_indented(outcome.snippet)}\n")
    if outcome.action == "none":
        return
    if uninstall:
        if outcome.action == "removed":
            print("  Sessions that are open keep it until they end.")
        return
    allow = host.allow.replace("{file}", str(outcome.path))
    print(f"  To allow its tools once: {allow}")
    print(f"  {host.reload}")
    if plan.project and host.project_note:
        print(f"  {host.project_note}")


def _indented(snippet: str | None) -> str:
    return "\n".join(f"    {line}".rstrip() for line in (snippet or "").rstrip().splitlines())


def _notes(outcomes: Sequence[Outcome], plan: Plan, args: argparse.Namespace) -> list[str]:
    """What a person should know about the run as a whole."""
    from room_mcp.installing.launch import is_passing

    notes = ["", *_secret_notes(outcomes, plan), *_login_notes(plan, args)]
    if is_passing(plan.launch):
        notes.append(
            f"Warning: {plan.launch.command} stands in a cache that may be emptied. "
            "`uv tool install room-mcp`, then this command again, gives it a lasting place."
        )
    if plan.project:
        notes.append(
            f"The file names {plan.launch.command}, a path of this machine. Where others use the "
            "file too, put a command there that works for all, such as `uvx room-mcp`."
        )
    if args.agent and len(outcomes) > 1:
        notes.append(
            f"All of these hosts speak as '{args.agent}', and only one process at a time can. "
            "Without --agent each gets a name of its own."
        )
    if not (plan.dry_run or args.show):
        scope = " --scope project" if plan.project else ""
        notes.append(f"`room-mcp install --uninstall{scope}` takes it out again; the rooms stay.")
    return notes


def _secret_notes(outcomes: Sequence[Outcome], plan: Plan) -> list[str]:
    if not plan.launch.secrets:
        return []
    names = " and ".join(sorted(plan.launch.secrets))
    if plan.project:
        return [
            f"{names} was left out, because this file is shared. Install with --scope user "
            "to give it to your own hosts."
        ]
    written = [str(done.path) for done in outcomes if done.action in ("added", "updated")]
    return [f"{names} stands readable in: {', '.join(written)}."] if written else []


def _login_notes(plan: Plan, args: argparse.Namespace) -> list[str]:
    """What an agent could not open the store with."""
    from room_mcp.installing.launch import HOW_TO_KEEP_PASSWORD, left_behind

    names = [] if args.uninstall else left_behind(plan.machine.env)
    if not names:
        return []
    told = f"{' and '.join(names)} will be missing: hosts start room-mcp without what is set here."
    return [f"Warning: {told} {HOW_TO_KEEP_PASSWORD}"]


def _what_stays(plan: Plan) -> list[str]:
    """Which data is left after uninstalling, and how to be rid of it."""
    import shlex

    from room_mcp.settings import HOME, STORE, URL

    env = plan.launch.shown().env
    folder = env.get(HOME.name, str(plan.machine.home / ".room-mcp"))
    notes = [
        "",
        f"Your rooms stay: {folder} holds them with everything that was said. "
        f"To delete them for good: rm -r {shlex.quote(folder)}",
    ]
    if STORE.name in env:
        notes.append(f"Rooms in {env[STORE.name]} stay too.")
    if URL.name in env:
        notes.append(f"Rooms on {env[URL.name]} stay there.")
    notes.append(
        "Backups (*.room-mcp-backup*) stay beside the files, with any key that stood in them."
    )
    return notes
