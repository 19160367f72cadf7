"""Every setting: its name, default, unit and meaning. The README's table is checked against it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


class SettingsError(Exception):
    """Settings that cannot be used together, or a value that is not one."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `default` is shown to people; `unit` is empty for texts."""

    name: str
    default: str
    unit: str
    meaning: str


HOME = Setting("ROOM_MCP_HOME", "~/.room-mcp", "folder", "Where rooms, names and keys are kept.")
STORE = Setting(
    "ROOM_MCP_STORE", "<home>/rooms.db", "file", "The SQLite file of the embedded backend."
)
TEMPLATES = Setting(
    "ROOM_MCP_TEMPLATES", "<home>/templates", "folder", "Your own room templates, one file each."
)
URL = Setting("ROOM_MCP_URL", "", "URL", "Forward to this shared backend instead of a file.")
KEY = Setting("ROOM_MCP_KEY", "", "secret", "Sent to the shared backend as a bearer token.")
AGENT = Setting(
    "ROOM_MCP_AGENT", "by host", "name", "The name this agent speaks under, exactly as given."
)
MAX_WAIT = Setting(
    "ROOM_MCP_MAX_WAIT", "by host", "seconds", "The longest that wait_for_messages blocks."
)
MESSAGE_BYTES = Setting(
    "ROOM_MCP_MESSAGE_BYTES", str(64 * KIB), "bytes", "The largest message content."
)
ROOM_BYTES = Setting(
    "ROOM_MCP_ROOM_BYTES", "0", "bytes", "The most that one room holds; 0 means no limit."
)
DEMO_ROOM_BYTES = Setting(
    "ROOM_MCP_DEMO_ROOM_BYTES",
    str(512 * KIB),
    "bytes",
    "The most that a room made by POST /agent/demo/room holds.",
)
LOG_LEVEL = Setting(
    "ROOM_MCP_LOG_LEVEL", "WARNING", "level", "What is logged to stderr: DEBUG … CRITICAL."
)

SETTINGS = (
    HOME,
    STORE,
    TEMPLATES,
    URL,
    KEY,
    AGENT,
    MAX_WAIT,
    MESSAGE_BYTES,
    ROOM_BYTES,
    DEMO_ROOM_BYTES,
    LOG_LEVEL,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this process, read once."""

    home: Path
    store: str
    templates: str = ""
    url: str = ""
    key: str = ""
    agent: str = ""
    max_wait_s: float | None = None
    message_bytes: int = 64 * KIB
    room_bytes: int = 0
    demo_room_bytes: int = 512 * KIB
    log_level: str = "WARNING"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Raises:
            SettingsError: A number is none, or a URL and a store are both set.
        """
        env = os.environ if env is None else env

        def text(setting: Setting) -> str:
            return env.get(setting.name, "").strip()

        def whole(setting: Setting) -> int:
            return int(_number(setting, text(setting) or setting.default))

        if text(URL) and text(STORE):
            raise SettingsError(
                f"{URL.name} and {STORE.name} are both set. Unset one: a URL means a shared "
                "backend, a store means a file of this machine."
            )
        level = (text(LOG_LEVEL) or LOG_LEVEL.default).upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise SettingsError(
                f"{LOG_LEVEL.name} is {level!r}; use DEBUG, INFO, WARNING or ERROR."
            )
        home = Path(text(HOME) or HOME.default).expanduser()
        return cls(
            home=home,
            store=text(STORE) or str(home / "rooms.db"),
            templates=text(TEMPLATES) or str(home / "templates"),
            url=text(URL).rstrip("/"),
            key=text(KEY),
            agent=text(AGENT),
            max_wait_s=_number(MAX_WAIT, text(MAX_WAIT)) if text(MAX_WAIT) else None,
            message_bytes=whole(MESSAGE_BYTES),
            room_bytes=whole(ROOM_BYTES),
            demo_room_bytes=whole(DEMO_ROOM_BYTES),
            log_level=level,
        )


def _number(setting: Setting, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e12:
        raise SettingsError(f"{setting.name} is {value!r}; it takes a number of {setting.unit}.")
    return number
