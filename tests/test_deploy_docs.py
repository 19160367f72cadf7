"""The page on deploying has each sample word by word, and what both say is what the code does."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from room_mcp.backend.following import KEEP_ALIVE_S
from room_mcp.backend.limits import MAX_BATCH_BODY_BYTES
from room_mcp.backend.listening import MAX_CONNECTIONS, ConnectionLimits
from room_mcp.backend.operations import OPERATIONS
from room_mcp.bridge import hosts
from room_mcp.bridge.http import MCP_PATH, MESSAGES_PATH, SSE_PATH
from room_mcp.cli.door import door_of, listening_of
from room_mcp.cli.parser import build, parsed
from room_mcp.connection import RETRY_FOR_S
from room_mcp.settings import SETTINGS, Settings
from room_mcp.store.postgres import clocks, writer
from room_mcp.store.postgres.addresses import LENT, address_in
from room_mcp.store.postgres.connecting import BORROW_S, CONNECT_S
from room_mcp.store.postgres.schema import MIN_SERVER
from room_mcp.store.postgres.sessions import SESSION
from room_mcp.store.postgres.store import LONG_PART, REMOVING
from room_mcp.store.postgres.trying import MAX_TRYING_S
from room_mcp.wire import MAX_WAIT_S

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")
PROSE = " ".join(PAGE.split())  # wherever its lines end
SAMPLES = {file.name: file.read_text("utf-8") for file in sorted(DEPLOY.iterdir())}
ALL = "\n".join((PAGE, *SAMPLES.values()))
COMPOSE: Any = YAML(typ="safe").load(SAMPLES["compose.yaml"])
NODE: Any = COMPOSE["services"]["room1"]
COMMANDS = {
    name: parser
    for action in build()._subparsers._group_actions  # type: ignore[union-attr]
    for name, parser in action.choices.items()  # type: ignore[union-attr]
}
HELPS = "".join(parser.format_help() for parser in COMMANDS.values())

# Known to every PostgreSQL and pooler without being told; or off, as it is anyway.
PASSED_ON = {"application_name", "timezone"}
OFF = {"statement_timeout"}


def first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    assert found, pattern
    return found[1]


def seconds(text: str) -> float:
    """`30s`, `1m`, and `30` as systemd says it."""
    units = {"s": 1, "m": 60, "": 1}
    number, unit = re.fullmatch(r"(\d+)([sm]?)", text).groups()  # type: ignore[union-attr]
    return int(number) * units[unit]


def commands() -> list[str]:
    """Every command line of ours that is shown or named."""
    in_consoles = re.findall(r"^\$ .*?room-mcp ((?!env).*)$", PAGE, re.M)
    in_units = re.findall(r"^ExecStart=\S+/room-mcp (.*)$", PAGE, re.M)
    in_words = re.findall(r"`room-mcp ([a-z][^`…]*)`", PROSE)
    in_compose = shlex.join(NODE["command"]).replace("${ROOM_HOST:?}", "rooms.example")
    lines = {*in_consoles, *in_units, *in_words, in_compose}
    return sorted(line.rpartition("room-mcp ")[2].strip("'") for line in lines)


SERVES = [line for line in commands() if re.match(r"serve .*--require-key", line)]
ADDRESSES = sorted(set(re.findall(r"postgresql://[^\s`…]+", ALL)))


# ---- page and samples ----------------------------------------------------------------------------


def test_the_page_has_each_sample_word_by_word():
    shown = re.findall(
        r"<!-- deploy/(\S+): word by word -->\n```\w+\n(.*?)^```$", PAGE, re.S | re.M
    )

    assert sorted(name for name, _ in shown) == sorted(SAMPLES)
    assert dict(shown) == SAMPLES


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", PAGE))))
def test_every_link_leads_somewhere(link: str):
    assert (ROOT / "docs" / link).exists()


def test_the_readme_leads_to_the_page():
    assert "(docs/deploy.md)" in (ROOT / "README.md").read_text("utf-8")


# ---- what is called exists -----------------------------------------------------------------------


@pytest.mark.parametrize("line", commands())
def test_every_command_line_is_understood(line: str):
    words = shlex.split(line)

    if len(words) == 1:  # named, not written out
        assert words[0] in COMMANDS
    else:
        assert parsed(words).run


@pytest.mark.parametrize("line", SERVES)
def test_every_server_that_is_shown_would_start(line: str, tmp_path: Path):
    args = parsed(shlex.split(line))

    listening = listening_of(args, Settings(home=tmp_path, store=""))

    assert door_of(args).requires_key
    assert listening.public_url or listening.certificate


def test_servers_are_shown():
    assert len(SERVES) >= 4


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z][a-z-]+)", PAGE))))
def test_every_option_exists(option: str):
    assert re.search(rf"{option}\b", HELPS)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"ROOM_MCP_[A-Z_]+", ALL))))
def test_every_setting_exists(name: str):
    assert name in {one.name for one in SETTINGS}


@pytest.mark.parametrize(
    "path", sorted({*re.findall(r"GET (/\w+)", PROSE), *re.findall(r"(?<=[ 0`])/\w+z\b", ALL)})
)
def test_every_call_exists(path: str):
    assert path in {one.path for one in OPERATIONS if one.method == "GET"}


def test_the_extra_that_is_installed_brings_asyncpg():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    for name in set(re.findall(r"(?:room-mcp|\.)\[(\w+)\]", ALL)):
        assert "asyncpg" in "".join(extras["optional-dependencies"][name])


# ---- the database --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ADDRESSES)
def test_every_address_of_a_database_is_understood(url: str):
    hosts = url.partition("@")[2].partition("/")[0].split(",")

    assert [one.partition("@")[2].partition("/")[0] for one in address_in(url).urls] == hosts


def test_with_several_hosts_standbys_are_passed_over():
    assert not [
        one for one in ADDRESSES if "," in one and "target_session_attrs=primary" not in one
    ]


def test_a_pooler_is_told_each_setting_of_a_session():
    ignored = set(first(r"^ignore_startup_parameters = (\S+)$", PAGE).split(","))
    altered = dict(re.findall(r"^ALTER ROLE room SET (\w+) = '(\w+)';$", PAGE, re.M))

    assert ignored == SESSION.keys() - PASSED_ON
    assert altered == {name: SESSION[name] for name in SESSION.keys() - PASSED_ON - OFF}


def test_the_figures_of_the_database_are_those_of_the_code():
    assert f"PostgreSQL {MIN_SERVER} or newer" in PROSE
    assert f"`connection_limit` ({LENT};" in PROSE
    assert f"{CONNECT_S:.0f} s at most for all of them" in PROSE
    assert (
        f"whoever reads | is tried again for {MAX_TRYING_S:.0f} s, whoever posts for"
        f" {writer.MAX_TRYING_S:.0f} s, and the last try may take {BORROW_S:.0f} s more" in PROSE
    )
    assert BORROW_S >= CONNECT_S  # a try of either kind
    assert f"more than {clocks.SERIOUS.total_seconds():.0f} s from the database" in PROSE
    assert (LONG_PART, REMOVING) == (3, 2)
    assert "Searches, and lists of rooms, take a third of the pool each at most" in PROSE
    assert "two for rooms that are erased or deleted" in PROSE
    assert f"Our clients go on for {RETRY_FOR_S:.0f} s" in PROSE


# ---- nodes and proxies ---------------------------------------------------------------------------


def test_the_nodes_of_compose_are_alike_and_believe_their_proxy_alone():
    address = COMPOSE["services"]["proxy"]["networks"]["default"]["ipv4_address"]
    subnet = COMPOSE["networks"]["default"]["ipam"]["config"][0]["subnet"]

    assert COMPOSE["services"]["room2"] == NODE
    assert f"--proxy-ip={address}" in NODE["command"]
    assert subnet.rpartition(".")[0] == address.rpartition(".")[0]
    assert re.findall(r"room\d:8750", first(r"^\tto (.*)$", SAMPLES["Caddyfile"])) == [
        f"{name}:8750" for name in COMPOSE["services"] if name.startswith("room")
    ]


def test_the_image_is_made_of_files_that_there_are():
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", SAMPLES["Dockerfile"], re.M))
    mounted = [
        volume.partition(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]

    assert [name for name in copied.split() if not (ROOT / name).exists()] == []
    assert [name for name in mounted if not (DEPLOY / name).exists()] == []
    assert (ROOT / NODE["build"]["dockerfile"]).exists()


def test_the_folder_that_a_node_of_compose_may_write_is_its_home():
    home = first(r"ROOM_MCP_HOME=(\S+)$", SAMPLES["Dockerfile"])
    user = first(r"--uid (\d+)", SAMPLES["Dockerfile"])

    assert f"{home}:uid={user},mode=0700" in NODE["tmpfs"]


def test_a_node_has_time_to_drain():
    unit = SAMPLES["room-mcp.service"]
    drains = [float(told) for told in re.findall(r"--drain-seconds=(\d+)", ALL)]

    assert len(set(drains)) == 1
    assert drains[0] > seconds(first(r"health_interval (\w+)$", SAMPLES["Caddyfile"]))
    for stop in (first(r"TimeoutStopSec=(\w+)$", unit), NODE["stop_grace_period"]):
        assert seconds(stop) >= drains[0] + 15


def test_proxies_send_what_has_a_session_to_one_node():
    ways = [
        first(r"path_regexp (\S+)$", SAMPLES["Caddyfile"]),
        first(r"location ~ (\S+) {$", SAMPLES["nginx.conf"]),
    ]

    for way in ways:
        for path in (MCP_PATH, SSE_PATH, MESSAGES_PATH):
            assert re.search(way, path)
            assert re.search(way, f"/as/ann/claude{path}")
        assert not re.search(way, "/agent/rooms/1b9d6bcd/messages")
    assert "lb_policy header Authorization" in SAMPLES["Caddyfile"]
    assert "hash $http_authorization consistent;" in SAMPLES["nginx.conf"]


def test_proxies_wait_as_long_as_anybody_does():
    known = json.loads((Path(hosts.__file__).parent / "hosts.json").read_text("utf-8"))
    longest = max(host["max_wait_s"] for host in known["hosts"].values())
    patience = seconds(first(r"proxy_read_timeout (\w+);", SAMPLES["nginx.conf"]))

    assert patience > longest > MAX_WAIT_S
    assert f"up to {MAX_WAIT_S} s" in PROSE
    assert f"({longest} s at most)" in PROSE
    assert f"{longest} s." in SAMPLES["nginx.conf"]
    assert f"says something every {KEEP_ALIVE_S} s" in PROSE


def test_proxies_let_go_of_connections_before_a_node_does():
    idle = ConnectionLimits().idle_s

    assert seconds(first(r"keepalive (\w+)$", SAMPLES["Caddyfile"])) < idle
    assert "keepalive_timeout" not in SAMPLES["nginx.conf"]  # its own is 60 s
    assert f"for less than {idle} s" in PROSE
    assert f"silent for {idle} s" in SAMPLES["Caddyfile"]


def test_proxies_take_what_a_node_takes():
    body_mib = MAX_BATCH_BODY_BYTES // 1024**2
    url_kib = ConnectionLimits().url_bytes // 1024

    assert f"max_size {body_mib}MiB" in SAMPLES["Caddyfile"]
    assert f"client_max_body_size {body_mib}m;" in SAMPLES["nginx.conf"]
    assert int(first(r"client_header_buffers 4 (\d+)k;", SAMPLES["nginx.conf"])) > url_kib
    assert f"bodies of {body_mib} MiB" in PROSE
    assert f"URLs of {url_kib} KiB" in PROSE
    assert f"{MAX_CONNECTIONS:,} connections" in PROSE
