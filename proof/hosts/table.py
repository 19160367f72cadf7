"""The hosts that are tried: where each comes from, how it is started, and what its model sees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MODEL = "mock"
URL = "{url}"  # in the words below: the base URL of the model
PROMPT = "{prompt}"


@dataclass(frozen=True, slots=True)
class Host:
    """One host, at one version."""

    name: str
    """As `room-mcp install` knows it."""
    package: str
    program: str
    agent: str
    """What room-mcp calls the host's agent."""
    words: tuple[str, ...]
    """The arguments of one headless turn in which our tools may be called unasked."""
    shows: Literal["text", "structure"]
    """What of a tool's answer reaches the model where it has both."""
    reads_instructions: bool
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands in its home before room-mcp is installed."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.package.rpartition('@')[2]}"


_OPENCODE_MODEL = {
    "model": f"loopback/{MODEL}",
    "small_model": f"loopback/{MODEL}",
    "autoupdate": False,
    "share": "disabled",
    "provider": {
        "loopback": {
            "npm": "@ai-sdk/openai-compatible",  # comes with opencode
            "options": {"baseURL": f"{URL}/v1", "apiKey": "none"},
            "models": {MODEL: {"tool_call": True}},
        }
    },
}

_GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},  # a base URL alone is not enough
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False},
}

HOSTS = (
    Host(
        name="claude-code",
        package="@anthropic-ai/claude-code@2.1.330",
        program="claude",
        agent="claude",
        words=("-p", PROMPT, "--model", MODEL, "--allowedTools", "mcp__room"),
        shows="structure",
        reads_instructions=True,
        env={
            "ANTHROPIC_BASE_URL": URL,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
    ),
    Host(
        name="codex",
        package="@openai/codex@0.169.0",
        program="codex",
        agent="codex",
        words=(
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "--disable",
            "plugins",
            "-c",
            "analytics.enabled=false",
            # Else the first request goes out without a server that takes a second to start.
            "-c",
            "mcp_servers.room.required=true",
            "-c",
            "model_providers.loopback="
            f'{{name="loopback", base_url="{URL}/v1", wire_api="responses", env_key="NO_KEY"}}',
            "-c",
            "model_provider=loopback",
            "-c",
            f"model={MODEL}",
            PROMPT,
        ),
        shows="structure",
        reads_instructions=True,
        env={"NO_KEY": "none"},
    ),
    Host(
        name="gemini",
        package="@google/gemini-cli@0.61.0",
        program="gemini",
        agent="gemini",
        # With a model of a known name it asks no other model which one to take.
        words=("-m", "gemini-2.5-flash", "--yolo", "--skip-trust", "-p", PROMPT),
        shows="text",
        reads_instructions=True,
        env={
            "GOOGLE_GEMINI_BASE_URL": URL,
            "GEMINI_API_KEY": "none",
            "GEMINI_TELEMETRY_ENABLED": "false",
        },
        files={".gemini/settings.json": json.dumps(_GEMINI_SETTINGS)},
    ),
    Host(
        name="opencode",
        package="opencode-ai@1.18.33",
        program="opencode",
        agent="opencode",
        words=("run", PROMPT),
        shows="text",
        reads_instructions=True,
        env={
            # Beside the file that `room-mcp install` writes, so that the file stays its own.
            "OPENCODE_CONFIG_CONTENT": json.dumps(_OPENCODE_MODEL),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        },
    ),
)

BY_NAME = {host.name: host for host in HOSTS}
