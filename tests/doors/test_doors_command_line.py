"""Wrong use of the options for HTTP: one line that says what to do, and nothing is begun."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from room_mcp.cli import main


@pytest.fixture
def said(room_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs a command line: its exit code, and the lines on stderr."""
    for name in [name for name in os.environ if name.startswith("ROOM_MCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ROOM_MCP_HOME", room_env["ROOM_MCP_HOME"])

    def run(*words: str) -> tuple[int, list[str]]:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(str(end.code))
        out, err = capsys.readouterr()
        assert out == ""
        assert not os.path.exists(os.path.join(room_env["ROOM_MCP_HOME"], "rooms.db"))
        return code, err.splitlines()

    return run


@pytest.mark.parametrize("option", [("--host", "::1"), ("--port", "0"), ("--path", "/mcp")])
@pytest.mark.parametrize("transport", [(), ("--transport", "stdio")], ids=["none", "stdio"])
def test_an_address_needs_a_transport_that_has_one(said, option, transport):
    code, lines = said(*transport, *option)

    assert (code, len(lines)) == (2, 1)
    assert "need --transport streamable-http or sse" in lines[0]


@pytest.mark.parametrize("transport", ["streamable-http", "http", "sse"])
def test_over_http_agents_name_themselves(said, transport, monkeypatch):
    by_option = said("--transport", transport, "--port", "0", "--agent", "ann")
    monkeypatch.setenv("ROOM_MCP_AGENT", "ann")
    by_setting = said("--transport", transport, "--port", "0")

    assert by_option == by_setting
    assert (by_option[0], len(by_option[1])) == (2, 1)
    assert "/as/NAME/" in by_option[1][0]
    assert "Room-Agent" in by_option[1][0]


@pytest.mark.parametrize("word", ["carrier-pigeon", "HTTP", "streamable"])
def test_an_unknown_transport_is_told_which_there_are(said, word):
    code, lines = said("--transport", word)

    assert (code, len(lines)) == (2, 1)
    assert "stdio or streamable-http or http or sse" in lines[0]


@pytest.mark.parametrize("path", ["mcp", "", "/", "/a b", "/mcp/", "/a?b", "http://x/mcp"])
def test_a_path_is_told_how_it_looks(said, path):
    code, lines = said("--transport", "sse", "--port", "0", "--path", path)

    assert code == 2
    assert lines[-1].startswith("room-mcp: error: argument --path: ")
    assert lines[-1].endswith("is no path; it looks like /mcp")


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
def test_other_hosts_than_this_machine_are_refused(said, transport, host):
    code, lines = said("--transport", transport, "--host", host)

    assert (code, len(lines)) == (2, 1)
    assert "ssh -L 8750:127.0.0.1:8750 HOST" in lines[0]


@pytest.mark.parametrize("transport", ["streamable-http", "sse"])
def test_a_port_in_use_is_one_line(said, transport):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        code, lines = said("--transport", transport, "--port", port)

    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"room-mcp: Port {port} on 127.0.0.1 is in use.")


def test_a_folder_that_cannot_be_used_is_one_line_or_one_sentence(room_env, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")

    done = subprocess.run(
        [sys.executable, "-m", "room_mcp", "serve", "--port", "0"],
        env=room_env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
