"""What the conformance suite asks a server for by name: tools, prompts and resources.

They are put on our own server object, so that whatever they prove, they prove of its protocol.
The names, the schemas and most of the texts are the suite's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import anyio
from mcp.server import ServerRequestContext
from mcp.server.mcpserver import (
    Audio,
    Context,
    Elicit,
    ElicitationResult,
    Image,
    MCPServer,
    Resolve,
)
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.mcpserver.resources import BinaryResource, TextResource
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    InputRequest,
    InputRequiredResult,
    InputResponses,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from room_mcp.bridge import sdk

Answer = str | InputRequiredResult  # of a tool that may ask before it answers

# One red pixel, and two samples of silence.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
SILENCE = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQIAAACAgA==")
STEP_S = 0.05  # between two signs of life; the suite wants to see them arrive one by one
RECONNECT_S = 0.3  # longer than a client waits before it comes back


def register(server: MCPServer[Any]) -> None:
    """Put all fixtures on the server."""
    for tool in TOOLS:
        server.add_tool(tool, description=described(tool), structured_output=False)
    for prompt in PROMPTS:
        server.add_prompt(Prompt.from_function(prompt, description=described(prompt)))
    for resource in RESOURCES:
        server.add_resource(resource)
    server.resource("test://template/{id}/data", mime_type="application/json")(template_data)
    sdk.handle(server, "logging/setLevel", SetLevelRequestParams, set_level)
    # The SDK takes a tool's input schema from its function, and offers no other way.
    named = server._tool_manager.get_tool(json_schema_2020_12_tool.__name__)
    assert named is not None
    named.parameters = SCHEMA_2020_12


def described(fixture: Callable[..., Any]) -> str:
    return fixture.__doc__ or "A fixture of the conformance suite."


async def set_level(ctx: ServerRequestContext[Any], params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()  # the fixtures log at "info" whatever was asked for


# ---- each kind of content --------------------------------------------------------------------


def test_simple_text() -> str:
    return "This is a simple text response for testing."


def test_image_content() -> Image:
    return Image(data=PIXEL, format="png")


def test_audio_content() -> Audio:
    return Audio(data=SILENCE, format="wav")


def test_embedded_resource() -> EmbeddedResource:
    return embedded("test://embedded-resource", "This is an embedded resource content.")


def test_multiple_content_types() -> list[str | Image | EmbeddedResource]:
    told = json.dumps({"test": "data", "value": 123})
    return [
        "Multiple content types test:",
        Image(data=PIXEL, format="png"),
        embedded("test://mixed-content-resource", told, "application/json"),
    ]


def test_error_handling() -> str:
    raise ToolError("This tool intentionally returns an error for testing")


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=contents)


# ---- signs of life during a call -------------------------------------------------------------


async def test_tool_with_logging(ctx: Context) -> str:
    for said in ("started", "processing data", "completed"):
        await ctx.info(f"Tool execution {said}")
        await anyio.sleep(STEP_S)
    return "Three lines were logged."


async def test_tool_with_progress(ctx: Context) -> str:
    for percent in (0, 50, 100):
        await ctx.report_progress(percent, 100, f"{percent} of 100")
        await anyio.sleep(STEP_S)
    return "Three steps were reported."


async def test_reconnection(ctx: Context) -> str:
    """Closes the stream of its own call; the answer waits for whoever comes back."""
    await ctx.close_sse_stream()
    await anyio.sleep(RECONNECT_S)
    return "The answer was kept."


# ---- questions to the client in the middle of a call, before 2026-07-28 ----------------------

# Each names the call it belongs to: a request without one goes to the client's standing stream,
# and is lost when there is none yet.


async def test_sampling(prompt: str, ctx: Context) -> str:
    said = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(
        [said], max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {answer.content}"


async def test_elicitation(message: str, ctx: Context) -> str:
    return await elicited(
        ctx,
        message,
        {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
    )


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    states = ["active", "inactive", "pending"]
    return await elicited(
        ctx,
        "Each of these has a default.",
        {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": states, "default": "active"},
            "verified": {"type": "boolean", "default": True},
        },
    )


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    plain = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    titles = ["Option One", "Option Two", "Option Three"]
    return await elicited(
        ctx,
        "One or several of a list, with and without titles.",
        {
            "untitledSingle": {"type": "string", "enum": plain},
            "titledSingle": {"type": "string", "oneOf": titled},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": titles},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        },
    )


async def elicited(ctx: Context, message: str, properties: Mapping[str, Any]) -> str:
    answer = await ctx.session.elicit_form(message, form(properties), ctx.request_id)
    return f"User response: action={answer.action}, content={json.dumps(answer.content)}"


def form(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


# ---- questions to the client between two calls, since 2026-07-28 -----------------------------


def asked(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = form({name: {"type": kind}})
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampled(prompt: str) -> CreateMessageRequest:
    said = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[said], max_tokens=100))


def answered(ctx: Context, *names: str) -> InputResponses | None:
    """The client's answers; None unless all that were asked for are among them."""
    responses = ctx.input_responses or {}
    return responses if all(name in responses for name in names) else None


def filled_in(ctx: Context, name: str, field: str) -> str:
    answer = (ctx.input_responses or {}).get(name)
    content = answer.content if isinstance(answer, ElicitResult) else None
    return str((content or {}).get(field, "nobody"))


def test_input_required_result_elicitation(ctx: Context) -> Answer:
    if answered(ctx, "user_name"):
        return f"Hello, {filled_in(ctx, 'user_name', 'name')}!"
    return InputRequiredResult(input_requests={"user_name": asked("What is your name?", "name")})


def test_input_required_result_sampling(ctx: Context) -> Answer:
    if responses := answered(ctx, "capital_question"):
        return f"The model said: {responses['capital_question']}"
    question = sampled("What is the capital of France?")
    return InputRequiredResult(input_requests={"capital_question": question})


def test_input_required_result_list_roots(ctx: Context) -> Answer:
    if responses := answered(ctx, "client_roots"):
        return f"The client has these roots: {responses['client_roots']}"
    return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})


def test_input_required_result_request_state(ctx: Context) -> Answer:
    if answered(ctx, "confirm") and ctx.request_state == "to be confirmed":
        return "state-ok"
    return InputRequiredResult(
        input_requests={"confirm": asked("Please confirm", "ok", "boolean")},
        request_state="to be confirmed",
    )


def test_input_required_result_multiple_inputs(ctx: Context) -> Answer:
    if answered(ctx, "user_name", "greeting", "client_roots"):
        return "All three were answered."
    return InputRequiredResult(
        input_requests={
            "user_name": asked("What is your name?", "name"),
            "greeting": sampled("Generate a greeting"),
            "client_roots": ListRootsRequest(),
        },
        request_state="three questions",
    )


def test_input_required_result_multi_round(ctx: Context) -> Answer:
    state = json.loads(ctx.request_state or "{}")
    if state.get("round") == 2 and answered(ctx, "step2"):
        return f"{state['name']} likes {filled_in(ctx, 'step2', 'color')}."
    if state.get("round") == 1 and answered(ctx, "step1"):
        name = filled_in(ctx, "step1", "name")
        return InputRequiredResult(
            input_requests={"step2": asked("Step 2: What is your favorite color?", "color")},
            request_state=json.dumps({"round": 2, "name": name}),
        )
    return InputRequiredResult(
        input_requests={"step1": asked("Step 1: What is your name?", "name")},
        request_state=json.dumps({"round": 1}),
    )


def test_input_required_result_tampered_state(ctx: Context) -> Answer:
    """Takes any state that reaches it: the SDK has to refuse one that was tampered with."""
    if ctx.request_state is not None:
        return f"state-ok: {ctx.request_state}"
    return InputRequiredResult(
        input_requests={"confirm": asked("Please confirm", "ok", "boolean")},
        request_state="sealed",
    )


def test_input_required_result_capabilities(ctx: Context) -> Answer:
    """Asks for no more than what the client said that it can do."""
    able = ctx.client_capabilities
    requests: dict[str, InputRequest] = {}
    if able and able.sampling:
        requests["greeting"] = sampled("Generate a greeting")
    if able and able.elicitation:
        requests["user_name"] = asked("What is your name?", "name")
    return InputRequiredResult(input_requests=requests, request_state="what is possible")


# ---- what a server without sessions owes -----------------------------------------------------


async def test_missing_capability(ctx: Context) -> str:
    able = ctx.client_capabilities
    if able and able.sampling:
        return "The client can sample."
    raise MCPError(
        MISSING_REQUIRED_CLIENT_CAPABILITY,
        "This tool needs the client's sampling",
        {"requiredCapabilities": {"sampling": {}}},
    )


class Word(BaseModel):
    word: str = Field(description="Any word")


def _word() -> Elicit[Word]:
    return Elicit("Say a word", Word)


async def test_streaming_elicitation(
    word: Annotated[ElicitationResult[Word], Resolve(_word)],
) -> str:
    return f"The client chose to {word.action}."


async def test_logging_tool(ctx: Context) -> str:
    await ctx.info("Only a request that sets a log level may be told this")
    return "Logged."


async def test_trigger_tool_change(ctx: Context) -> str:
    ctx.mcp_server.add_tool(test_simple_text, name="test_passing_tool")
    ctx.mcp_server.remove_tool("test_passing_tool")
    await ctx.notify_tools_changed()
    return "A tool came and went."


async def test_trigger_prompt_change(ctx: Context) -> str:
    ctx.mcp_server.add_prompt(Prompt.from_function(test_simple_prompt, name="test_passing_prompt"))
    ctx.mcp_server.remove_prompt("test_passing_prompt")
    await ctx.notify_prompts_changed()
    return "A prompt came and went."


# ---- input schemas ---------------------------------------------------------------------------


def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    return f"The region is {region}."


def json_schema_2020_12_tool() -> str:
    return "Only its input schema matters."


SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


# ---- prompts ---------------------------------------------------------------------------------


def test_simple_prompt() -> str:
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    return [
        UserMessage(embedded(resourceUri, "Embedded resource content for testing.")),
        UserMessage("Please process the embedded resource above."),
    ]


def test_prompt_with_image() -> list[UserMessage]:
    return [
        UserMessage(Image(data=PIXEL, format="png")),
        UserMessage("Please analyze the image above."),
    ]


def test_input_required_result_prompt(ctx: Context) -> Answer:
    if answered(ctx, "user_context"):
        return f"Use this context: {filled_in(ctx, 'user_context', 'context')}"
    question = asked("What context should the prompt use?", "context")
    return InputRequiredResult(input_requests={"user_context": question})


# ---- resources -------------------------------------------------------------------------------


def template_data(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


RESOURCES = (
    TextResource(
        uri="test://static-text",
        name="static-text",
        text="This is the content of the static text resource.",
    ),
    BinaryResource(
        uri="test://static-binary", name="static-binary", mime_type="image/png", data=PIXEL
    ),
    TextResource(
        uri="test://watched-resource", name="watched-resource", text="Watched resource content"
    ),
)

PROMPTS = (
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
    test_input_required_result_prompt,
)

TOOLS = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_logging,
    test_tool_with_progress,
    test_reconnection,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_tampered_state,
    test_input_required_result_capabilities,
    test_missing_capability,
    test_streaming_elicitation,
    test_logging_tool,
    test_trigger_tool_change,
    test_trigger_prompt_change,
    test_x_mcp_header,
    json_schema_2020_12_tool,
)
