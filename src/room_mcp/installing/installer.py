"""Installs into one host and takes out of one host, and says what happened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import commands, files
from .hosts import SERVER, Entry, Host, entry_of, files_of
from .launch import Launch
from .machine import Machine
from .merging import (
    CannotMerge,
    entries_in,
    is_plain,
    is_same,
    must_be_ours,
    with_entry,
    without_entry,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one host."""

    host: Host
    action: str
    """added, updated, removed (each with "would be " before it in a dry run), unchanged, absent
    (nothing to remove), none (no project file), shown, or failed."""
    detail: str
    path: Path | None = None
    command: str | None = None
    snippet: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run of `install` is meant, the same for every host."""

    launch: Launch
    machine: Machine
    project: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Config:
    """A host's file as it was read; `text` is None when there is none."""

    path: Path
    text: str | None
    servers: dict[str, Any]


def install(host: Host, plan: Plan) -> Outcome:
    """Register the server with one host, through its own command or else in its file."""
    if not files_of(host, plan.machine, project=plan.project):
        return _no_project_file(host)
    launch = plan.launch.shareable() if plan.project else plan.launch
    entry = entry_of(host, launch, project=plan.project)
    try:
        config = _config(host, plan)
        return _added(host, plan, launch, entry, config)
    except CannotMerge as error:
        path = _choose(host, plan)
        return Outcome(
            host,
            "failed",
            f"{path} was left as it is: {error}. Put this into it by hand.",
            path=path,
            snippet=_snippet(host, entry_of(host, launch.shown(), project=plan.project)),
        )


def uninstall(host: Host, plan: Plan) -> Outcome:
    """Take the server out of one host."""
    if not files_of(host, plan.machine, project=plan.project):
        return _no_project_file(host)
    try:
        config = _config(host, plan)
        if SERVER not in config.servers:
            return Outcome(host, "absent", f"{config.path} holds no '{SERVER}'.", path=config.path)
        return _removed(host, plan, config)
    except CannotMerge as error:
        path = _choose(host, plan)
        return Outcome(
            host,
            "failed",
            f"{path} was left as it is: {error}. Take '{SERVER}' out of it by hand.",
            path=path,
        )


def show(host: Host, plan: Plan) -> Outcome:
    """What a person would paste or type; nothing is changed."""
    if not files_of(host, plan.machine, project=plan.project):
        return _no_project_file(host)
    launch = plan.launch.shareable() if plan.project else plan.launch
    argv = None if plan.project else commands.adding(host, launch, plan.machine)
    path = _choose(host, plan)
    return Outcome(
        host,
        "shown",
        f"Into {path}:",
        path=path,
        command=commands.shown(argv, host) if argv else None,
        snippet=_snippet(host, entry_of(host, launch.shown(), project=plan.project)),
    )


def _no_project_file(host: Host) -> Outcome:
    return Outcome(host, "none", "It has no file for one project; use --scope user.")


def _snippet(host: Host, entry: Entry) -> str:
    return with_entry("", host.language, host.container, entry)


def _choose(host: Host, plan: Plan) -> Path:
    """The file that holds our entry, else the first that exists, else the one to be made."""
    candidates = files_of(host, plan.machine, project=plan.project)
    present = [path for path in candidates if os.path.exists(path)]
    for path in present:
        try:
            if SERVER in _read(host, path).servers:
                return path
        except CannotMerge:
            continue
    return (present or candidates)[0]


def _config(host: Host, plan: Plan) -> _Config:
    return _read(host, _choose(host, plan))


def _read(host: Host, path: Path) -> _Config:
    text = files.read(path)
    _, content = files.without_mark(text or "")
    return _Config(path, text, entries_in(content, host.language, host.container))


def _added(host: Host, plan: Plan, launch: Launch, entry: Entry, config: _Config) -> Outcome:
    existing = config.servers.get(SERVER)
    if is_same(existing, entry):
        return Outcome(host, "unchanged", f"{config.path} holds it already.", path=config.path)
    if existing is not None:
        must_be_ours(existing)
    action = "added" if existing is None else "updated"
    argv = None
    if not plan.project and (existing is None or is_plain(existing, entry)):
        argv = commands.adding(host, launch, plan.machine)
    if plan.dry_run:
        return _would(host, action, config, commands.shown(argv, host) if argv else None)
    trouble = _run_add(host, plan, entry, argv, existing) if argv else None
    if argv and trouble is None:
        return Outcome(
            host,
            action,
            f"Its own command did it: {commands.shown(argv, host)}",
            path=_choose(host, plan),
            command=commands.shown(argv, host),
        )
    if trouble:
        config = _config(host, plan)  # the command may have changed something before it failed
    mark, content = files.without_mark(config.text or "")
    text = with_entry(content, host.language, host.container, entry)
    backup = files.replace(config.path, config.text, mark + text, private=not plan.project)
    return Outcome(host, action, _written(config, backup, trouble), path=config.path)


def _run_add(host: Host, plan: Plan, entry: Entry, argv: list[str], existing: object) -> str | None:
    """Run the host's own command; what went wrong, or None when our entry stands."""
    if existing is not None and not host.add_replaces:
        removal = commands.removing(host, plan.machine)
        if removal is not None:
            plan.machine.run(removal)
    ran = plan.machine.run(argv)
    if ran.code != 0:
        return f"Its own command failed ({ran.complaint})"
    try:
        stands = is_same(_config(host, plan).servers.get(SERVER), entry)
    except CannotMerge as error:
        return f"Its own command left a file that cannot be read ({error})"
    return None if stands else "Its own command reported success but wrote nothing there"


def _removed(host: Host, plan: Plan, config: _Config) -> Outcome:
    must_be_ours(config.servers[SERVER])
    argv = None if plan.project else commands.removing(host, plan.machine)
    command = commands.shown(argv, host) if argv else None
    if plan.dry_run:
        return _would(host, "removed", config, command)
    trouble = _run_remove(host, plan, argv) if argv else None
    if argv and trouble is None:
        return Outcome(
            host, "removed", f"Its own command did it: {command}", path=config.path, command=command
        )
    details: list[str] = []
    while SERVER in (config := _config(host, plan)).servers:  # some hosts read two files
        mark, content = files.without_mark(config.text or "")
        text = without_entry(content, host.language, host.container)
        backup = files.replace(config.path, config.text, mark + text, private=not plan.project)
        details.append(_written(config, backup, trouble))
    return Outcome(host, "removed", " ".join(details), path=config.path)


def _run_remove(host: Host, plan: Plan, argv: list[str]) -> str | None:
    """Run the host's own command; what went wrong, or None when our entry is gone."""
    ran = plan.machine.run(argv)
    if SERVER not in _config(host, plan).servers:
        return None
    return f"Its own command failed ({ran.complaint})"


def _would(host: Host, action: str, config: _Config, command: str | None) -> Outcome:
    how = f"By: {command}" if command else f"In {config.path}"
    if command is None and config.text is None:
        how += ", which would be made"
    how += "" if command else "."
    return Outcome(host, f"would be {action}", how, path=config.path, command=command)


def _written(config: _Config, backup: Path | None, trouble: str | None) -> str:
    done = f"{config.path} was " + (f"changed; as it was before: {backup}." if backup else "made.")
    return f"{trouble}, so its file was edited. {done}" if trouble else done
