"""For which agent a request speaks, and what stands ready for that agent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol

import anyio
from starlette.requests import ClientDisconnect, HTTPConnection

from .desk import Desk
from .tools import Tools

AGENT = "room_mcp.agent"  # a key of the ASGI scope: the name that a request brought with it
KEY_ID = "room_mcp.key_id"  # likewise: the server key that a request has shown, once verified
CUT = "room_mcp.cut"  # likewise: whether the answer found nobody there any more
# What is raised when a caller hangs up: by the SDK's streams, or while the request is read.
HUNG_UP = (anyio.BrokenResourceError, anyio.ClosedResourceError, ClientDisconnect)
OWN_ACCOUNT: Final = "own account"
asked_by: ContextVar[object] = ContextVar("asked_by", default=None)
"""The transport's request that is being answered, or `OWN_ACCOUNT` for what the bridge does by
itself. Whoever makes the calls to the backend can tell by it whose rights they have."""
MAX_AGENTS = 10_000  # desks that are kept; an agent without one is shown some messages again


class Agent(NamedTuple):
    desk: Desk
    tools: Tools
    has_name: bool = True  # whoever has none may only read


class Agents(Protocol):
    """The agents of one server."""

    def of(self, request: object) -> Agent:
        """The agent for which a request speaks; `request` is the transport's own, or None."""
        ...


def is_cut(request: object) -> bool:
    """Whether the caller hung up before the answer was written."""
    return isinstance(request, HTTPConnection) and bool(request.scope.get(CUT))


def shows_key(request: object) -> bool:
    """Whether the request has shown a server key, which may end."""
    return isinstance(request, HTTPConnection) and KEY_ID in request.scope


class OneAgent:
    """The agent of a process of its own: every request is its."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def of(self, request: object) -> Agent:
        return self._agent


class AgentsByName:
    """Agents that say with each HTTP request who they are; nothing is bound to a session.

    However a name is spelled, it is one agent, as in the rooms; the spelling that came first is
    the one under which it opens and joins rooms.

    Args:
        make: Makes the agent of a name; of the empty name for whoever did not say one.
    """

    def __init__(self, make: Callable[[str], Agent]) -> None:
        self._make = make
        self._agents: OrderedDict[tuple[str, str], Agent] = OrderedDict()  # by key and name

    def of(self, request: object) -> Agent:
        from room_mcp.rooms import skeleton  # late, as a host waits for a process of its own

        scope: Mapping[str, Any] = request.scope if isinstance(request, HTTPConnection) else {}
        name: str = scope.get(AGENT, "")
        if not name:
            return self._make(name)  # whoever has no name has nothing to be remembered
        # Not by name alone: who shows a key is not who merely says the name.
        key = (str(scope.get(KEY_ID, "")), skeleton(name))
        agent = self._agents.get(key)
        if agent is None:
            agent = self._agents[key] = self._make(name)
        self._agents.move_to_end(key)
        if len(self._agents) > MAX_AGENTS:
            self._agents.popitem(last=False)
        return agent
