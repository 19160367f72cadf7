"""What runs until it is told to stop: the HTTP server, and MCP over stdio."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import urllib.request

import pytest
from cli_shell import PATIENCE_S, Running, Shell


def url_of(serving: Running) -> str:
    line = serving.line()
    assert line.startswith("http://127.0.0.1:")
    return line


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def test_the_first_line_of_serve_is_the_address_and_rooms_are_there(shell: Shell):
    id = shell.room("review", "hello")

    url = url_of(shell.start("serve", "--port", "0"))

    assert get(f"{url}/agent/rooms/{id}/messages?limit=1")["messages"][0]["content"] == "hello"  # pyright: ignore


def test_the_commands_forward_to_a_server_and_keep_its_keys(shell: Shell):
    url = url_of(shell.start("serve", "--port", "0"))
    shell.env["ROOM_MCP_URL"] = url

    made = shell("create", "review", "--as", "ann")
    shell("send", "review", "hello", "--as", "ann")
    refused = shell("close", "review", "--as", "bob")
    closed = shell("close", "review", "done", "--as", "ann")

    assert [made.code, refused.code, closed.code] == [0, 1, 0]
    assert refused.err.startswith("room-mcp: Only the owner closes this room")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_soon_while_somebody_waits(shell: Shell, number: signal.Signals):
    id = shell.room("review", "hello")
    serving = shell.start("serve", "--port", "0")
    wait = f"{url_of(serving)}/agent/rooms/{id}/messages?after=1&wait=50&reader=ann"
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(get(wait)))
    waiting.start()
    shell.until_waiting("ann")

    serving.signal(number)

    assert serving.ended() == (0 if number == signal.SIGTERM else 130)
    waiting.join(5)
    assert answers[0]["messages"] == []  # pyright: ignore
    assert serving.err == ""


def test_a_port_in_use_is_one_line(shell: Shell):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        said = shell("serve", "--port", port)

    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"room-mcp: Port {port} on 127.0.0.1 is in use.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_other_hosts_than_this_machine_are_refused_with_a_way_to_do_it(shell: Shell, host: str):
    said = shell("serve", "--host", host)

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "Say --require-key and --tls-self-signed too" in said.err
    assert "ssh -L 8750:127.0.0.1:8750 HOST" in said.err


def test_whoever_lets_others_in_is_told_when_nobody_has_a_key(shell: Shell):
    serving = shell.start("serve", "--port", "0", "--require-key")
    url_of(serving)
    serving.signal(signal.SIGTERM)

    (told,) = serving.err.splitlines()
    assert "`room-mcp invite`" in told
    assert "`room-mcp keys create NAME`" in told


def test_whoever_has_a_key_is_told_nothing(shell: Shell):
    shell("keys", "create", "root", "--admin")
    serving = shell.start("serve", "--port", "0", "--require-key")
    url_of(serving)
    serving.signal(signal.SIGTERM)

    assert serving.err == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--demo"], "Say --require-key too"),
        (["--public-url", "https://rooms.example"], "say --require-key too"),
        (["--require-key", "--public-url", "http://rooms.example"], "begins with https://"),
        (["--require-key", "--public-url", "https://rooms.example/path"], "has no path"),
        (["--require-key", "--public-url", "https://me:key@rooms.example"], "A login or key"),
        (["--require-key", "--host", "0.0.0.0"], "Keys would travel readable"),
        (["--require-key", "--host", "::"], "Keys would travel readable"),
        (["--require-key", "--proxy-ip", "192.0.2.1"], "--public-url"),
        (["--tls-cert", "x.pem"], "go together"),
        (["--tls-self-signed", "--tls-cert", "x", "--tls-key", "y"], "exclude each other"),
        (["--allow-host", "http://x"], "without scheme and port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_is_refused_with_a_sentence(
    shell: Shell, words: list[str], told: str
):
    said = shell("serve", "--port", "0", *words)

    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_a_certificate_that_cannot_be_used_is_one_line(
    shell: Shell, tmp_path: os.PathLike[str], text: str
):
    file = os.path.join(tmp_path, "certificate.pem")
    with open(file, "w") as written:
        written.write(text)

    broken = shell("serve", "--port", "0", "--tls-cert", file, "--tls-key", file)
    missing = shell("serve", "--port", "0", "--tls-cert", "nowhere", "--tls-key", file)

    assert [broken.code, missing.code] == [1, 1]
    assert [broken.err.count("\n"), missing.err.count("\n")] == [1, 1]


def test_a_server_of_all_addresses_prints_one_that_can_be_called_and_its_fingerprint(shell: Shell):
    shell("keys", "create", "root")
    serving = shell.start(
        "serve", "--host", "0.0.0.0", "--port", "0", "--require-key", "--tls-self-signed"
    )
    url = serving.line()
    serving.signal(signal.SIGTERM)

    assert serving.ended() == 0
    assert url.startswith("https://")
    assert "0.0.0.0" not in url
    assert re.search("certificate SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$", serving.err, re.M)


def test_a_server_elsewhere_and_serving_here_exclude_each_other(shell: Shell):
    shell.env["ROOM_MCP_URL"] = "http://127.0.0.1:1"

    said = shell("serve")

    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("room-mcp: ROOM_MCP_URL is set")


def test_serve_takes_another_store(shell: Shell, tmp_path: os.PathLike[str]):
    store = os.path.join(tmp_path, "elsewhere.db")

    url_of(shell.start("serve", "--port", "0", "--store", store))

    assert os.path.exists(store)


def test_a_terminal_is_told_what_waits_there(shell: Shell):
    keyboard, terminal = pty.openpty()

    serving = shell.start(stdin=terminal)
    os.close(terminal)
    assert serving.process.stderr is not None
    assert select.select([serving.process.stderr], [], [], PATIENCE_S)[0]
    told = serving.process.stderr.readline()

    assert "this is an MCP server" in told
    assert "room-mcp install" in told
    assert "room-mcp --help" in told
    os.close(keyboard)


def test_a_host_hears_nothing_but_the_protocol(shell: Shell):
    done = subprocess.run(
        shell.argv,
        input=b"",
        capture_output=True,
        env=shell.whole_environment,
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_somebody_at_a_terminal_may_speak_as_a_person(shell: Shell):
    shell.room("review")
    keyboard, terminal = pty.openpty()

    sending = shell.start("send", "review", "hi", "--human", stdin=terminal)

    assert sending.ended() == 0
    assert shell("history", "review", "--json").json["messages"][0]["senderType"] == "human"
    os.close(keyboard)
    os.close(terminal)
