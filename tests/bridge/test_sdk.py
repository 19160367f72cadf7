"""What the bridge takes of the SDK's private parts, and that the SDK's public ones still work."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import Agent, House
from mcp.client.client import Client
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.types import ListResourcesResult, PaginatedRequestParams
from pydantic import BaseModel

import room_mcp.bridge
from room_mcp.bridge import sdk
from room_mcp.bridge.server import RoomServer

BRIDGE = Path(room_mcp.bridge.__file__).parent
THE_ONE = "sdk.py"
STAMP = "io.modelcontextprotocol/serverInfo"


# ---- the private parts -------------------------------------------------------------------------


def test_the_sdk_still_has_the_private_server_below():
    below = getattr(MCPServer("probe"), "_lowlevel_server", None)

    assert isinstance(below, Server), (
        "mcp has moved MCPServer._lowlevel_server, which bridge/sdk.py needs to run a server on "
        "given streams and to answer methods. Look for its new name, or for a public way."
    )


OF_THE_SERVER_BELOW = [
    "run",
    "create_initialization_options",
    "add_request_handler",
    "get_tool_input_schema",
]


@pytest.mark.parametrize("name", OF_THE_SERVER_BELOW)
def test_the_server_below_still_does_what_the_bridge_needs(name: str):
    below = sdk.lowlevel(MCPServer("probe"))

    assert callable(getattr(below, name, None)), (
        f"mcp has moved Server.{name} of mcp.server.lowlevel, which bridge/sdk.py uses."
    )


def test_the_types_of_streams_are_still_where_they_were():
    module = importlib.import_module("mcp.shared._stream_protocols")

    missing = [name for name in ("ReadStream", "WriteStream") if not hasattr(module, name)]
    assert missing == [], "mcp has moved these types, which bridge/sdk.py imports to be typed."


@pytest.mark.anyio
async def test_a_method_that_the_bridge_answers_is_not_answered_by_the_sdk(era: str):
    server = MCPServer("probe")

    async def listed(_: Any, params: PaginatedRequestParams | None) -> ListResourcesResult:
        return ListResourcesResult(resources=[], next_cursor="ours")

    sdk.handle(server, "resources/list", PaginatedRequestParams, listed)
    async with Client(server, mode=era) as client:
        page = await client.list_resources()

    assert page.next_cursor == "ours", (
        "mcp no longer asks Server's handlers for resources/list first; sdk.handle relies on it."
    )


@pytest.mark.anyio
async def test_clients_of_the_handshake_era_are_promised_changes_of_the_list():
    server = MCPServer("probe")

    sdk.announce_resources(server)
    async with Client(server, mode="legacy") as client:
        capability = client.server_capabilities.resources

    assert capability is not None
    assert capability.list_changed, (
        "mcp no longer asks Server.create_initialization_options for what it promises in the "
        "handshake; sdk.announce_resources replaces it. Look for a public way to say it."
    )


@pytest.mark.anyio
async def test_a_request_still_leads_to_its_connection(era: str):
    server, contexts = MCPServer("probe"), []

    async def listed(context: ServerRequestContext[Any, Any], _: Any) -> ListResourcesResult:
        contexts.append(context)
        return ListResourcesResult(resources=[])

    sdk.handle(server, "resources/list", PaginatedRequestParams, listed)
    async with Client(server, mode=era) as client:
        await client.list_resources()

    connection = getattr(contexts[0].session, "_connection", None)
    assert isinstance(connection, Connection), (
        "mcp has moved ServerSession._connection, by which bridge/sdk.py reaches a client of the "
        "handshake era after its request. Look for its new name, or for a public way to push."
    )


NEEDED = [
    "exit_stack",
    "has_standalone_channel",
    "send_resource_updated",
    "send_resource_list_changed",
]


@pytest.mark.parametrize("name", NEEDED)
def test_a_connection_still_does_what_the_bridge_needs(name: str):
    connection = Connection.for_loop(_no_channel())

    assert hasattr(connection, name), (
        f"mcp has moved Connection.{name}, which bridge/updates.py or subscriptions.py uses."
    )


def _no_channel() -> Any:
    return object()


# ---- nobody else touches them ------------------------------------------------------------------


def private_names_of_the_sdk() -> set[str]:
    server = MCPServer[Any]("probe")
    of_classes = {
        name for kind in (MCPServer, Server, ServerSession, Context) for name in dir(kind)
    }
    of_objects = {*vars(server), *vars(sdk.lowlevel(server)), "_connection"}
    return {name for name in of_classes | of_objects if _is_private(name)}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def touches(source: str, private: set[str]) -> Iterator[str]:
    """The private names that a module reads of anything but itself, and its private imports."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self")):
                pass
            case ast.Attribute(attr=name) if name in private:
                yield name
            case ast.Constant(value=str(name)) if name in private:
                yield name
            case ast.ImportFrom(module=str(path)) if path.split(".")[0] in ("mcp", "mcp_types"):
                names = [*path.split("."), *(one.name for one in node.names)]
                yield from filter(_is_private, names)


def test_no_other_module_of_the_bridge_touches_a_private_part_of_the_sdk():
    private = private_names_of_the_sdk()

    found = {
        path.name: sorted(set(touches(path.read_text("utf-8"), private)))
        for path in BRIDGE.glob("*.py")
    }

    assert found.pop(THE_ONE) == ["_connection", "_lowlevel_server", "_stream_protocols"]
    assert {name: names for name, names in found.items() if names} == {}


def test_the_server_of_the_bridge_names_nothing_of_its_own_as_the_sdk_does():
    private = private_names_of_the_sdk() | {name for name in dir(MCPServer) if _is_private(name)}
    tree = ast.parse((BRIDGE / "server.py").read_text("utf-8"))
    ours = next(node for node in tree.body if getattr(node, "name", "") == RoomServer.__name__)

    assigned = {
        node.attr
        for node in ast.walk(ours)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    methods = {getattr(node, "name", "") for node in ast.walk(ours)}
    assert (assigned | methods) & private == set()


# ---- what others register is served as the SDK serves it ---------------------------------------

pytest_anyio = pytest.mark.anyio


class Sum(BaseModel):
    total: int


def register_foreign(server: MCPServer[Any]) -> None:
    """Tools, resources and prompts as another package would put them on a server."""

    @server.tool(title="Add")
    def add(first: int, second: int = 0) -> Sum:
        """Add two numbers."""
        return Sum(total=first + second)

    @server.tool()
    async def refuse(context: Context) -> str:
        raise ToolError("Not today.")

    @server.resource("test://greeting", title="Greeting")
    def greeting() -> str:
        return "Hello"

    @server.resource("test://greeting/{name}")
    def greeting_of(name: str) -> str:
        return f"Hello {name}"

    @server.prompt(title="Greet")
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Greet {name}."


@pytest.fixture
async def ann(house: House) -> Agent:
    """At a server on which another package has registered things."""
    ann = await house.agent("ann")
    register_foreign(ann.server)
    return ann


async def plainly(result: Any) -> dict[str, Any]:
    """A result, or the error, without the stamp of the server."""
    try:
        found = (await result).model_dump(mode="json", by_alias=True, exclude_none=True)
    except MCPError as error:
        return error.error.model_dump(mode="json")
    found.get("_meta", {}).pop(STAMP, None)
    return found


ASKED = {
    "call": lambda client: client.call_tool("add", {"first": 1, "second": 2}),
    "call with wrong arguments": lambda client: client.call_tool("add", {"first": "one"}),
    "call with an unknown argument": lambda client: client.call_tool("add", {"first": 1, "x": 2}),
    "call that is refused": lambda client: client.call_tool("refuse", {}),
    "read": lambda client: client.read_resource("test://greeting"),
    "read by template": lambda client: client.read_resource("test://greeting/bob"),
    "read what is not there": lambda client: client.read_resource("test://nothing"),
    "prompt": lambda client: client.get_prompt("greet", {"name": "bob"}),
}


@pytest_anyio
@pytest.mark.parametrize("asked", ASKED)
async def test_what_others_register_answers_as_at_the_sdks_own_server(ann: Agent, asked: str):
    plain = MCPServer("probe")
    register_foreign(plain)

    ours = await plainly(ASKED[asked](ann.client))
    async with Client(plain, mode=ann.client.mode) as client:
        theirs = await plainly(ASKED[asked](client))

    assert {**ours, "_meta": ours.get("_meta")} == {**theirs, "_meta": theirs.get("_meta")}


@pytest_anyio
async def test_what_others_register_is_listed_as_at_the_sdks_own_server(ann: Agent):
    plain = MCPServer("probe")
    register_foreign(plain)

    ours = await everything_listed(ann.client)
    async with Client(plain, mode=ann.client.mode) as client:
        theirs = await everything_listed(client)

    assert [one for one in theirs if one not in ours] == []


async def everything_listed(client: Client) -> list[dict[str, Any]]:
    listed = [
        *(await client.list_tools(cache_mode="bypass")).tools,
        *(await client.list_resources(cache_mode="bypass")).resources,
        *(await client.list_resource_templates(cache_mode="bypass")).resource_templates,
        *(await client.list_prompts(cache_mode="bypass")).prompts,
    ]
    return [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in listed]


@pytest_anyio
async def test_a_tool_that_others_replace_is_replaced_in_the_list(ann: Agent):
    await ann.client.list_tools()

    def subtract(first: int, second: int) -> int:
        return first - second

    ann.server.remove_tool("add")
    ann.server.add_tool(subtract)

    listed = (await ann.client.list_tools(cache_mode="bypass")).tools
    answer = await ann("subtract", first=3, second=1)
    assert {"add", "subtract"} & {tool.name for tool in listed} == {"subtract"}
    assert [answer.text, answer.is_error] == ["2", False]


@pytest_anyio
async def test_a_wrong_prompt_names_those_of_others_too(ann: Agent):
    with pytest.raises(MCPError) as caught:
        await ann.client.get_prompt("nonsense", {})

    assert caught.value.error.message.endswith("hand_off, catch_up, greet.")


@pytest_anyio
async def test_foreign_resources_are_listed_once_on_the_first_page(
    house: House, ann: Agent, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("room_mcp.bridge.resources.LISTED_ROOMS", 1)
    for name in ("api-review", "docs"):
        await house.room(name)

    first = await ann.client.list_resources()
    second = await ann.client.list_resources(cursor=first.next_cursor)

    assert [one.name for one in first.resources] == ["greeting", "docs"]
    assert [one.name for one in second.resources] == ["api-review"]
