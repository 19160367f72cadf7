"""How a host has to start this server: the program, its arguments and its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from room_mcp.settings import AGENT, CERTIFICATE, HOME, KEY, STORE, URL
from room_mcp.store_address import holds_password, is_database

from .machine import Machine

SCRIPT = "room-mcp"

# Hosts start servers with a bare environment, so what is set now has to stand in their files.
PASSED_ON = (HOME, STORE, URL, KEY, CERTIFICATE, AGENT)
PATHS = (HOME.name, STORE.name, CERTIFICATE.name)
OURS = "ROOM_MCP_"

# What else a database's password may come from, and hosts pass on to nobody.
_PASSWORD_SOURCES = ("PGPASSWORD", "PGPASSFILE")
HOW_TO_KEEP_PASSWORD = (
    "Put the password into ~/.pgpass (chmod 600), or the login into the store's address: "
    "ROOM_MCP_STORE=postgresql://USER:PASSWORD@HOST/DATABASE; then `room-mcp install`."
)

ENV_KEYS = ("env", "environment", "envs")  # one for each way in which hosts spell it

_PASSWORD_IN_URL = re.compile(r"://[^/@:]*:[^/@]+@")
_OUR_NAME = re.compile(r"(?:^|/)room[-_]mcp(?:[^\w/-][^/]*)?$")  # room-mcp, room-mcp@1.2, room_mcp


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `secrets` names the settings in `env` that nobody may see."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: frozenset[str] = frozenset()

    @property
    def argv(self) -> list[str]:
        return [self.command, *self.args]

    def shown(self) -> Launch:
        """The same with every secret value replaced by its name, fit for a screen."""
        env = {name: f"<{name}>" if name in self.secrets else self.env[name] for name in self.env}
        return replace(self, env=env, secrets=frozenset())

    def shareable(self) -> Launch:
        """The same without the secrets, fit for a file that goes into a repository."""
        env = {name: value for name, value in self.env.items() if name not in self.secrets}
        return replace(self, env=env, secrets=frozenset())


def launch_for(machine: Machine, *, agent: str | None = None) -> Launch:
    """How this installation is started, with the settings that hold right now.

    Args:
        agent: The name to speak under; it takes the place of ROOM_MCP_AGENT.
    """
    command, *args = _program(machine)
    env = {
        setting.name: machine.env[setting.name].strip()
        for setting in PASSED_ON
        if machine.env.get(setting.name, "").strip()
    }
    for name in PATHS:
        if name in env and "://" not in env[name]:
            env[name] = str(machine.absolute(env[name]))  # a host starts us in another folder
    if agent is not None:
        args += ["--agent", agent]
        env.pop(AGENT.name, None)
    secrets = frozenset(
        name
        for name, value in env.items()
        if name == KEY.name or _PASSWORD_IN_URL.search(value) or holds_password(value)
    )
    return Launch(command, tuple(args), env, secrets)


def left_behind(env: Mapping[str, str]) -> list[str]:
    """The variables that may let us into the store, and that no entry of a host holds."""
    store = env.get(STORE.name, "").strip()
    if not is_database(store) or holds_password(store):
        return []
    return [name for name in _PASSWORD_SOURCES if env.get(name)]


def is_passing(launch: Launch) -> bool:
    """Whether the program stands in a folder that a tool like uvx may empty."""
    return any(part in launch.command for part in ("/.cache/", "/Library/Caches/", "/archive-v0/"))


def started_by(entry: Any) -> Launch | None:
    """What a host's entry starts, whichever way the host spells it; None when it is nothing."""
    if not isinstance(entry, dict):
        return None
    outer = cast(dict[str, Any], entry)
    inner: dict[str, Any] = outer.get("transport", outer)
    try:
        command: str | list[str] = inner.get("command") or inner.get("cmd") or []
        argv = [command] if isinstance(command, str) else list(command)
        argv += list(inner.get("args") or [])
        env: dict[str, str] = {}
        for key in ENV_KEYS:
            env |= inner.get(key) or {}
    except (AttributeError, TypeError, ValueError):
        return None
    return Launch(argv[0], tuple(argv[1:]), env) if argv else None


def is_ours(launch: Launch | None) -> bool:
    """Whether it is some installation of room-mcp that is started."""
    return launch is not None and any(_OUR_NAME.search(str(word)) for word in launch.argv)


def _program(machine: Machine) -> list[str]:
    beside = machine.python.parent / SCRIPT  # links are kept: in a venv they are the address
    if beside.is_file():
        return [str(machine.absolute(str(beside)))]
    found = machine.which(SCRIPT)
    if found:
        return [str(machine.absolute(found))]
    return [str(machine.python), "-m", "room_mcp"]
