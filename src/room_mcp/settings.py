"""Every setting: its name, default, unit and meaning. The README's table is checked against it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from room_mcp.connected import FILE, Connected, connected
from room_mcp.store_address import ADVICE, is_database, unknown

KIB = 1024
MAX_RETENTION_DAYS = 36_500  # a hundred years: 0 is how to say "for ever"
MAX_RETENTION_ROOMS = 10_000_000  # more than one file is made for
SECRETS_IN_QUERIES = frozenset({"key", "token", "access_token", "api_key", "apikey"})


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
    "ROOM_MCP_STORE",
    "<home>/rooms.db",
    "file or URL",
    "Where the rooms are kept: an SQLite file, or postgresql://USER@HOST/DATABASE, whose password "
    "may stand there, in PGPASSWORD or in ~/.pgpass.",
)
TEMPLATES = Setting(
    "ROOM_MCP_TEMPLATES", "<home>/templates", "folder", "Your own room templates, one file each."
)
URL = Setting("ROOM_MCP_URL", "", "URL", "Forward to this shared backend instead of a store.")
KEY = Setting(
    "ROOM_MCP_KEY",
    "",
    "secret",
    "Sent to the shared backend as a bearer token, be it a server or a database.",
)
CERTIFICATE = Setting(
    "ROOM_MCP_CERTIFICATE",
    "",
    "file",
    "The only certificate that the shared backend may show, in PEM, and not that of an "
    "authority, which stands for all that it signed; without it, authorities decide.",
)
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
SECRETS = Setting(
    "ROOM_MCP_SECRETS",
    "warn",
    "",
    "Messages that seem to hold a secret: warn refuses each once, refuse always, off never.",
)
POSTS_PER_S = Setting(
    "ROOM_MCP_POSTS_PER_S",
    "by server",
    "posts",
    "How many messages a key or address may send a second, and five times as many at once; "
    "20 where keys are needed, else no limit. 0 means no limit, as for the next three.",
)
READS_PER_S = Setting(
    "ROOM_MCP_READS_PER_S",
    "by server",
    "calls",
    "The same for calls that only read; 60 where keys are needed, else no limit.",
)
WAITS = Setting(
    "ROOM_MCP_WAITS",
    "by server",
    "waits",
    "How many waits and streams one key may have open at once; 200 where keys are needed (an "
    "address without a key: 30), else no limit.",
)
ROOMS = Setting(
    "ROOM_MCP_ROOMS",
    "by server",
    "rooms",
    "How many rooms that have not ended one key may have; 1,000 where keys are needed, else no "
    "limit.",
)
RETENTION_DAYS = Setting(
    "ROOM_MCP_RETENTION_DAYS",
    "0",
    "days",
    "Rooms that nobody has changed for so long are removed, with all they hold; 0 means never.",
)
RETENTION_ROOMS = Setting(
    "ROOM_MCP_RETENTION_ROOMS",
    "0",
    "rooms",
    "How many rooms are kept; of more, those longest unchanged are removed. 0 means no limit.",
)
RETENTION_OF = Setting(
    "ROOM_MCP_RETENTION_OF",
    "closed",
    "",
    "Which rooms these two count and remove: closed means those that have ended, all means all.",
)
METRICS = Setting(
    "ROOM_MCP_METRICS",
    "admins",
    "",
    "Who may read GET /metrics where keys are needed: admins, keys (whoever has one), or all.",
)
LOG_LEVEL = Setting(
    "ROOM_MCP_LOG_LEVEL",
    "WARNING",
    "level",
    "What is logged to stderr: DEBUG … CRITICAL. At INFO each request leaves a line.",
)
LOG_FORMAT = Setting(
    "ROOM_MCP_LOG_FORMAT", "text", "", "How it is logged: text, or json, one object a line."
)

SETTINGS = (
    HOME,
    STORE,
    TEMPLATES,
    URL,
    KEY,
    CERTIFICATE,
    AGENT,
    MAX_WAIT,
    MESSAGE_BYTES,
    ROOM_BYTES,
    DEMO_ROOM_BYTES,
    POSTS_PER_S,
    READS_PER_S,
    WAITS,
    ROOMS,
    SECRETS,
    RETENTION_DAYS,
    RETENTION_ROOMS,
    RETENTION_OF,
    METRICS,
    LOG_LEVEL,
    LOG_FORMAT,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this process, read once.

    `certificate` is the text of a PEM file. `principal` is whom the key stands for, where that is
    known; `is_connected` says that `room-mcp connect` gave the backend, not the environment.
    """

    home: Path
    store: str
    templates: str = ""
    url: str = ""
    key: str = ""
    certificate: str = ""
    agent: str = ""
    principal: str = ""
    is_connected: bool = False
    max_wait_s: float | None = None
    message_bytes: int = 64 * KIB
    room_bytes: int = 0
    demo_room_bytes: int = 512 * KIB
    posts_per_s: int | None = None
    reads_per_s: int | None = None
    waits: int | None = None
    rooms: int | None = None
    secrets: str = "warn"
    retention_days: int = 0
    retention_rooms: int = 0
    retention_of: str = "closed"
    metrics: str = "admins"
    log_level: str = "WARNING"
    log_format: str = "text"

    @property
    def is_shared(self) -> bool:
        """Whether other machines use the rooms as well, so that nobody knows all their names."""
        return bool(self.url) or is_database(self.store)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; where it names no backend, what `room-mcp connect` has kept.

        Raises:
            SettingsError: A number is none, a URL and a store are both set, no engine knows the
                store's address, a key stands in the URL, or a file cannot be read.
        """
        env = os.environ if env is None else env

        def text(setting: Setting) -> str:
            return env.get(setting.name, "").strip()

        def whole(setting: Setting) -> int:
            return int(_number(setting, text(setting) or setting.default))

        def up_to(most: int, setting: Setting) -> int:
            return _whole(setting, text(setting) or setting.default, most)

        def limit(setting: Setting) -> int | None:
            return int(_number(setting, text(setting))) if text(setting) else None

        if text(URL) and text(STORE):
            raise SettingsError(
                f"{URL.name} and {STORE.name} are both set. Unset one: a URL means a shared "
                "backend, a store means that the rooms are kept from here."
            )
        if told := unknown(text(STORE)):
            raise SettingsError(f"{STORE.name}: {told} {ADVICE}")
        level = (text(LOG_LEVEL) or LOG_LEVEL.default).upper()
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise SettingsError(
                f"{LOG_LEVEL.name} is {level!r}; use DEBUG, INFO, WARNING or ERROR."
            )
        log_format = (text(LOG_FORMAT) or LOG_FORMAT.default).lower()
        if log_format not in ("text", "json"):
            raise SettingsError(f"{LOG_FORMAT.name} is {log_format!r}; use text or json.")
        metrics = (text(METRICS) or METRICS.default).lower()
        if metrics not in ("admins", "keys", "all"):
            raise SettingsError(f"{METRICS.name} is {metrics!r}; use admins, keys or all.")
        secrets = (text(SECRETS) or SECRETS.default).lower()
        if secrets not in ("off", "warn", "refuse"):
            raise SettingsError(f"{SECRETS.name} is {secrets!r}; use off, warn or refuse.")
        retention_of = (text(RETENTION_OF) or RETENTION_OF.default).lower()
        if retention_of not in ("closed", "all"):
            raise SettingsError(f"{RETENTION_OF.name} is {retention_of!r}; use closed or all.")
        home = home_in(env)
        kept = None if text(URL) or text(STORE) else _kept(home)
        url = kept.url if kept else text(URL).rstrip("/")
        must_hold_no_secret(url)
        return cls(
            home=home,
            store=text(STORE) or str(home / "rooms.db"),
            templates=text(TEMPLATES) or str(home / "templates"),
            url=url,
            key=kept.key if kept else text(KEY),
            certificate=kept.certificate if kept else _pem(text(CERTIFICATE)),
            agent=text(AGENT) or (kept.agent if kept else ""),
            principal=kept.name if kept else "",
            is_connected=kept is not None,
            max_wait_s=_number(MAX_WAIT, text(MAX_WAIT)) if text(MAX_WAIT) else None,
            message_bytes=whole(MESSAGE_BYTES),
            room_bytes=whole(ROOM_BYTES),
            demo_room_bytes=whole(DEMO_ROOM_BYTES),
            posts_per_s=limit(POSTS_PER_S),
            reads_per_s=limit(READS_PER_S),
            waits=limit(WAITS),
            rooms=limit(ROOMS),
            secrets=secrets,
            retention_days=up_to(MAX_RETENTION_DAYS, RETENTION_DAYS),
            retention_rooms=up_to(MAX_RETENTION_ROOMS, RETENTION_ROOMS),
            retention_of=retention_of,
            metrics=metrics,
            log_level=level,
            log_format=log_format,
        )


def home_in(env: Mapping[str, str]) -> Path:
    return Path(env.get(HOME.name, "").strip() or HOME.default).expanduser()


def must_hold_no_secret(url: str) -> None:
    """Raises SettingsError when a login or a key stands in a URL: URLs are logged and shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return  # no address at all, which is said where it is used
    names = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if "@" in parts.netloc or names & SECRETS_IN_QUERIES:
        raise SettingsError(
            f"A login or key stands in the URL, which others may see. Take it out, and put the "
            f"key into {KEY.name}."
        )


def _kept(home: Path) -> Connected | None:
    try:
        return connected(home)
    except ValueError as error:
        raise SettingsError(
            f"{home / FILE} cannot be used: {error}. `room-mcp disconnect` removes it; then "
            "connect anew."
        ) from None


def _pem(path: str) -> str:
    if not path:
        return ""
    from room_mcp import certificates

    try:
        pem = certificates.without_key(Path(path).expanduser().read_text("ascii"))
        certificates.trusting_only(pem)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{CERTIFICATE.name}: {path} cannot be used: {error}. It is a certificate in PEM."
        ) from None
    return pem


def _number(setting: Setting, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e12:
        raise SettingsError(f"{setting.name} is {value!r}; it takes a number of {setting.unit}.")
    return number


def _whole(setting: Setting, value: str, most: int) -> int:
    is_whole = value.isascii() and value.isdigit() and len(value) <= len(str(most))
    if not is_whole or int(value) > most:
        raise SettingsError(
            f"{setting.name} is {value!r}; it takes a whole number of {setting.unit}, "
            f"0 to {most:,}."
        )
    return int(value)
