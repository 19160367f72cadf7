"""Speaks to a host through the host's own program."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from .hosts import SERVER, Host
from .launch import Launch
from .machine import Machine


def adding(host: Host, launch: Launch, machine: Machine) -> list[str] | None:
    """The command that registers us; None where the host has none that will do.

    A secret never goes into a command line, where every user of the machine could read it.
    """
    program = machine.which(host.program) if host.program else None
    if program is None or host.add is None or launch.secrets:
        return None
    takes_env = any(word in host.add for word in ("{-e}", "{--env}", "{json}"))
    if launch.env and not takes_env:
        return None
    return [program, *filled_in(host.add, launch)]


def removing(host: Host, machine: Machine) -> list[str] | None:
    """The command that takes us out; None where the host has none."""
    program = machine.which(host.program) if host.program else None
    if program is None or host.remove is None:
        return None
    return [program, *host.remove.split()]


def filled_in(template: str, launch: Launch) -> list[str]:
    """The template's words with the launch in the place of the words in braces.

    `{command}`, `{args}`, `{argv}` (both), `{-e}` and `{--env}` (the flag and NAME=value, once
    for each setting) and `{json}` (one object with the name in it).
    """
    pairs = [f"{name}={value}" for name, value in launch.env.items()]
    entry = {"name": SERVER, "type": "stdio", "command": launch.command, "args": launch.args}
    words = {
        "{command}": [launch.command],
        "{args}": list(launch.args),
        "{argv}": launch.argv,
        "{-e}": [word for pair in pairs for word in ("-e", pair)],
        "{--env}": [word for pair in pairs for word in ("--env", pair)],
        "{json}": [json.dumps(entry | ({"env": dict(launch.env)} if launch.env else {}))],
    }
    return [filled for word in template.split() for filled in words.get(word, [word])]


def shown(argv: Sequence[str], host: Host) -> str:
    """The command as a person would type it."""
    return shlex.join([host.program or argv[0], *argv[1:]])
