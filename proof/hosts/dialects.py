"""How hosts talk with models: four APIs, each read into one shape and answered from one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

Json = dict[str, Any]

_numbers = itertools.count(1)


class Offer(NamedTuple):
    """A tool as the host shows it to the model."""

    name: str
    namespace: str = ""


class Call(NamedTuple):
    """What the model wants done. Its id says which step of the script it is."""

    id: str
    offer: Offer
    arguments: Json


class Asked(NamedTuple):
    """One request to the model.

    `results` holds, by the id of the call, the text of each tool's answer as the model sees it.
    """

    offers: list[Offer]
    results: dict[str, str]


Act = Call | str  # what the model does: calls a tool, or says something


class Dialect(Protocol):
    def asked(self, body: Json) -> Asked: ...

    def whole(self, act: Act) -> Json:
        """The answer in one piece."""
        ...

    def stream(self, act: Act) -> Iterable[Json | str]:
        """The answer as the data of server-sent events."""
        ...


def _text_of(content: Any) -> str:
    """The text in a message's content: a string, or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks: Iterable[Any] = content if isinstance(content, list) else []
    return "\n".join(block.get("text", "") for block in blocks if isinstance(block, Mapping))


def _id() -> str:
    return f"mock_{next(_numbers)}"


class AnthropicMessages:
    """Claude Code."""

    def asked(self, body: Json) -> Asked:
        offers = [Offer(tool["name"]) for tool in body.get("tools", [])]
        results = {
            block["tool_use_id"]: _text_of(block.get("content"))
            for message in body.get("messages", [])
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        }
        return Asked(offers, results)

    def whole(self, act: Act) -> Json:
        return {**self._message(act), "content": [self._block(act)]}

    def stream(self, act: Act) -> Iterator[Json]:
        whole = self.whole(act)
        block = whole["content"][0]
        start = {**whole, "content": [], "stop_reason": None}
        yield {"type": "message_start", "message": start}
        empty = {**block, "input": {}} if isinstance(act, Call) else {**block, "text": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": empty}
        if isinstance(act, Call):
            delta = {"type": "input_json_delta", "partial_json": json.dumps(act.arguments)}
        else:
            delta = {"type": "text_delta", "text": act}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}}
        yield {"type": "message_stop"}

    def _message(self, act: Act) -> Json:
        return {
            "id": _id(),
            "type": "message",
            "role": "assistant",
            "model": "mock",
            "stop_reason": "tool_use" if isinstance(act, Call) else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }

    def _block(self, act: Act) -> Json:
        if isinstance(act, str):
            return {"type": "text", "text": act}
        return {"type": "tool_use", "id": act.id, "name": act.offer.name, "input": act.arguments}


class OpenaiResponses:
    """Codex."""

    def asked(self, body: Json) -> Asked:
        offers: list[Offer] = []
        for tool in body.get("tools", []):
            inner = tool.get("tools", [])  # of a namespace, which is how Codex shows a server
            offers += [Offer(one["name"], tool["name"]) for one in inner if "name" in one]
            if not inner and "name" in tool:
                offers.append(Offer(tool["name"]))
        results = {
            item["call_id"]: _text_of(item["output"])
            for item in body.get("input", [])
            if item.get("type") == "function_call_output"
        }
        return Asked(offers, results)

    def whole(self, act: Act) -> Json:
        return {
            "id": _id(),
            "object": "response",
            "status": "completed",
            "output": [self._item(act)],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        }

    def stream(self, act: Act) -> Iterator[Json]:
        whole = self.whole(act)
        item = whole["output"][0]
        created = {"id": whole["id"], "object": "response", "status": "in_progress", "output": []}
        yield {"type": "response.created", "response": created}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield {"type": "response.completed", "response": whole}

    def _item(self, act: Act) -> Json:
        if isinstance(act, str):
            content = [{"type": "output_text", "text": act, "annotations": []}]
            return {"type": "message", "id": _id(), "role": "assistant", "content": content}
        item = {
            "type": "function_call",
            "id": _id(),
            "call_id": act.id,
            "name": act.offer.name,
            "arguments": json.dumps(act.arguments),
            "status": "completed",
        }
        return item | ({"namespace": act.offer.namespace} if act.offer.namespace else {})


class OpenaiChat:
    """opencode, and most others."""

    def asked(self, body: Json) -> Asked:
        offers = [Offer(tool["function"]["name"]) for tool in body.get("tools", [])]
        results = {
            message["tool_call_id"]: _text_of(message["content"])
            for message in body.get("messages", [])
            if message["role"] == "tool"
        }
        return Asked(offers, results)

    def whole(self, act: Act) -> Json:
        choice = {"index": 0, "message": self._said(act), "finish_reason": self._reason(act)}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage}

    def stream(self, act: Act) -> Iterator[Json | str]:
        head = self._head("chat.completion.chunk")
        delta = {"index": 0, "delta": self._said(act), "finish_reason": None}
        yield {**head, "choices": [delta]}
        end = {"index": 0, "delta": {}, "finish_reason": self._reason(act)}
        yield {**head, "choices": [end]}
        yield "[DONE]"

    def _head(self, kind: str) -> Json:
        return {"id": _id(), "object": kind, "created": 0, "model": "mock"}

    def _reason(self, act: Act) -> str:
        return "tool_calls" if isinstance(act, Call) else "stop"

    def _said(self, act: Act) -> Json:
        if isinstance(act, str):
            return {"role": "assistant", "content": act}
        function = {"name": act.offer.name, "arguments": json.dumps(act.arguments)}
        call = {"index": 0, "id": act.id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}


class GeminiContent:
    """Gemini CLI."""

    def asked(self, body: Json) -> Asked:
        offers = [
            Offer(one["name"])
            for tool in body.get("tools", [])
            for one in tool.get("functionDeclarations", [])
        ]
        answers = [
            part["functionResponse"]
            for content in body.get("contents", [])
            for part in content.get("parts", [])
            if "functionResponse" in part
        ]
        results = {one["id"]: "\n".join(strings_in(one["response"])) for one in answers}
        return Asked(offers, results)

    def whole(self, act: Act) -> Json:
        if isinstance(act, str):
            part: Json = {"text": act}
        else:
            call = {"id": act.id, "name": act.offer.name, "args": act.arguments}
            part = {"functionCall": call}
        content = {"role": "model", "parts": [part]}
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        return {
            "candidates": [{"index": 0, "content": content, "finishReason": "STOP"}],
            "usageMetadata": usage,
        }

    def stream(self, act: Act) -> Iterator[Json]:
        yield self.whole(act)


def strings_in(value: Any) -> Iterator[str]:
    """Every string in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from strings_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_in(one)
