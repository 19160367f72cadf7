"""A second laptop in one line: a server with a certificate of its own, and another machine."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_shell import Running, Shell

from room_mcp.cli.connecting import Token, token_in

SERVE = ("serve", "--require-key", "--tls-self-signed")


@pytest.fixture
def laptop(shell: Shell, tmp_path: Path) -> Shell:
    """Another machine, with a host on it and without rooms."""
    return machine(shell, tmp_path / "laptop")


def machine(shell: Shell, folder: Path) -> Shell:
    (folder / ".cursor").mkdir(parents=True)
    (folder / "bin").mkdir()
    made = Shell(folder / ".room-mcp", shell.capsys, shell.monkeypatch)
    made.env |= {"HOME": str(folder), "PATH": str(folder / "bin")}
    made.running = shell.running  # which the fixture ends
    return made


def served(shell: Shell, *, port: int = 0) -> tuple[Running, str]:
    serving = shell.start(*SERVE, "--port", str(port))
    return serving, serving.line()


def line(shell: Shell, *words: str) -> list[str]:
    """What an invitation says to type, without the program."""
    said = shell("invite", *words)
    assert said.code == 0, said.err
    (command,) = said.lines
    return command.split()[1:]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- the whole walk -----------------------------------------------------------------------------


def test_another_machine_comes_in_by_one_line_and_its_hosts_hold_no_key(
    shell: Shell, laptop: Shell
):
    _, url = served(shell)
    words = line(shell, "--human", "ann")

    connected = laptop(*words)
    room = laptop("create", "review", "--json").json["id"]
    sent = laptop("send", "review", "hello from there")
    heard = shell("history", room, "--json").json["messages"]

    kept = json.loads((laptop.home / "connection.json").read_text())
    files = [one for one in laptop.home.parent.rglob("*") if one.is_file()]
    assert url.startswith("https://127.0.0.1:")
    assert (connected.code, sent.code) == (0, 0)
    assert f"connected to {url}. It speaks there as ann, and its agents as ann/" in connected.out
    assert "Cursor: added." in connected.out
    assert [(one["sender"], one["content"]) for one in heard] == [("ann", "hello from there")]
    assert (mode(laptop.home), mode(laptop.home / "connection.json")) == (0o700, 0o600)
    assert [one.name for one in files if kept["key"] in one.read_text("latin-1")] == [
        "connection.json"
    ]
    hosts = (laptop.home.parent / ".cursor/mcp.json").read_text()
    assert url not in hosts
    assert '"room"' in hosts


def test_an_agent_is_invited_under_its_own_name(shell: Shell, laptop: Shell):
    served(shell)

    laptop(*line(shell, "--agent", "rex"), "--no-install")
    room = laptop("create", "review", "--json").json["id"]
    own, other = laptop("send", "review", "hi"), laptop("send", "review", "hi", "--as", "sue")

    assert (own.code, other.code) == (0, 1)
    assert shell("history", room, "--json").json["messages"][0]["sender"] == "rex"
    assert not (laptop.home.parent / ".cursor/mcp.json").exists()


def test_an_invitation_without_a_name_is_for_oneself(shell: Shell):
    shell.monkeypatch.setenv("LOGNAME", "zoe")
    served(shell)

    said = shell("invite", "--json").json

    assert (said["name"], said["kind"]) == ("zoe", "human")


def test_whoever_is_connected_as_an_admin_may_invite_from_there(
    shell: Shell, laptop: Shell, tmp_path: Path
):
    _, url = served(shell)
    admin = shell("keys", "create", "root", "--admin").lines[0]
    third = machine(shell, tmp_path / "third")
    laptop.env |= {
        "ROOM_MCP_URL": url,
        "ROOM_MCP_KEY": admin,
        "ROOM_MCP_CERTIFICATE": str(shell.home / "tls/certificate.pem"),
    }

    connected = third(*line(laptop, "--human", "bob"), "--no-install")

    assert connected.code == 0
    assert third("rooms").code == 0


# ---- what a line is good for --------------------------------------------------------------------


def test_a_line_works_once(shell: Shell, laptop: Shell, tmp_path: Path):
    served(shell)
    words = line(shell, "--human", "ann")
    third = machine(shell, tmp_path / "third")

    first, second = laptop(*words, "--no-install"), third(*words, "--no-install")

    assert (first.code, second.code) == (0, 1)
    assert "it is wrong, was used, or its time is over" in second.err
    assert "room-mcp invite" in second.err
    assert list(third.home.iterdir()) == []


def test_a_line_whose_time_is_over_lets_nobody_in(shell: Shell, laptop: Shell):
    served(shell)

    said = laptop(*line(shell, "--human", "ann", "--expires", "0s"), "--no-install")

    assert said.code == 1
    assert "its time is over" in said.err
    assert laptop("rooms").out.startswith("No open rooms in ")


def test_a_server_that_shows_another_certificate_hears_no_code(
    shell: Shell, laptop: Shell, tmp_path: Path
):
    serving, url = served(shell)
    words = line(shell, "--human", "ann")
    serving.signal(signal.SIGTERM)
    serving.ended()
    port = urlsplit(url).port
    assert port
    other, _ = served(machine(shell, tmp_path / "other"), port=port)

    said = laptop(*words, "--no-install")

    assert said.code == 1
    assert "shows another certificate than the invitation says" in said.err
    assert not (laptop.home / "connection.json").exists()
    assert other.process.poll() is None


def test_a_server_whose_certificate_changed_gets_no_key(
    shell: Shell, laptop: Shell, tmp_path: Path
):
    serving, url = served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")
    serving.signal(signal.SIGTERM)
    serving.ended()
    port = urlsplit(url).port
    assert port
    served(machine(shell, tmp_path / "other"), port=port)

    said = laptop("rooms")
    doctor = laptop("doctor", "--json").json

    assert said.code == 1
    assert "shows another certificate than the one that this machine was given" in said.err
    assert "Nothing was sent." in said.err
    (backend,) = [one for one in doctor["checks"] if one["check"] == "backend"]
    assert backend["status"] == "fail"
    assert "room-mcp disconnect" in backend["advice"]


def test_a_restarted_server_is_known_by_its_old_certificate(shell: Shell, laptop: Shell):
    serving, url = served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")
    serving.signal(signal.SIGTERM)
    serving.ended()
    port = urlsplit(url).port
    assert port
    served(shell, port=port)

    assert laptop("rooms").code == 0
    assert mode(shell.home / "tls") == 0o700
    assert {mode(one) for one in (shell.home / "tls").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("hello", "An invitation begins with rkc1_"),
        ("rkc2_e30", "An invitation begins with rkc1_"),
        ("rkc1_", "not whole"),
        ("rkc1_e30", "not whole"),
        ("rkc1_W10", "not whole"),
        ("rkc1_ö", "not whole"),
        (str(Token("https://rooms.example", "rkc_x"))[:-4], "not whole"),
        (str(Token("http://192.0.2.1:8750", "rkc_x")), "names no encrypted address"),
        (str(Token("https://a:b@rooms.example", "rkc_x")), "names no encrypted address"),
        (str(Token("https://rooms.example/?key=x", "rkc_x")), "names no encrypted address"),
        (str(Token("file:///etc/passwd", "rkc_x")), "names no encrypted address"),
        (str(Token("https://x\x1b[2J", "rkc_x")), "names no encrypted address"),
    ],
)
def test_what_is_no_invitation_is_refused_with_a_sentence(laptop: Shell, word: str, told: str):
    said = laptop("connect", word)

    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert not laptop.home.exists()


def test_an_invitation_survives_being_printed():
    token = Token("https://[2001:db8::1]:8750", "rkc_x", bytes(range(32)))

    assert token_in(f" {token}\n") == token


# ---- inviting -----------------------------------------------------------------------------------


def test_without_a_server_there_is_nothing_to_invite_to(shell: Shell):
    said = shell("invite")

    assert said.code == 1
    assert "room-mcp serve --host 0.0.0.0 --require-key --tls-self-signed" in said.err
    assert not shell("keys").out.startswith("rks_")


def test_a_stopped_server_is_none(shell: Shell):
    serving, _ = served(shell)
    serving.signal(signal.SIGTERM)
    serving.ended()

    assert shell("invite").code == 1


def test_an_invitation_is_for_the_rooms_that_are_served(shell: Shell, tmp_path: Path):
    serving = shell.start(*SERVE, "--port", "0", "--store", str(tmp_path / "shared.db"))
    serving.line()

    elsewhere = shell("invite", "--human", "ann")
    shell.env["ROOM_MCP_STORE"] = str(tmp_path / "shared.db")
    there = shell("invite", "--human", "ann")

    assert (elsewhere.code, there.code) == (1, 0)
    assert "Set ROOM_MCP_STORE" in elsewhere.err


def test_the_address_may_be_said_and_must_be_encrypted(shell: Shell):
    served(shell)

    said = token_in(line(shell, "--url", "https://rooms.example:8750/")[-1])
    refused = [
        shell("invite", "--url", url)
        for url in ("http://rooms.example", "rooms.example", "https://a:b@x", "https://x/path")
    ]

    assert said.url == "https://rooms.example:8750"
    assert len(said.fingerprint) == 32
    assert [one.code for one in refused] == [2] * 4


# ---- being connected ----------------------------------------------------------------------------


def test_a_connection_does_not_replace_another_nor_what_is_set(shell: Shell, laptop: Shell):
    served(shell)
    first, second = line(shell, "--human", "ann"), line(shell, "--human", "ann")

    laptop.env["ROOM_MCP_STORE"] = "rooms.db"
    hidden = laptop(*first, "--no-install")
    del laptop.env["ROOM_MCP_STORE"]
    laptop(*first, "--no-install")
    again = laptop(*second, "--no-install")

    assert "ROOM_MCP_STORE is set" in hidden.err
    assert (hidden.code, again.code) == (2, 2)
    assert "room-mcp disconnect" in again.err


def test_what_is_set_counts_more_than_the_connection(shell: Shell, laptop: Shell, tmp_path: Path):
    served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")
    laptop("create", "there")

    laptop.env["ROOM_MCP_STORE"] = str(tmp_path / "own.db")
    here = laptop("rooms", "--json").json["rooms"]
    del laptop.env["ROOM_MCP_STORE"]
    there = laptop("rooms", "--json", "there").json["rooms"]

    assert here == []
    assert [one["name"] for one in there] == ["there"]


def test_a_connected_machine_serves_nothing_of_its_own(shell: Shell, laptop: Shell):
    _, url = served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")

    said = laptop("serve")

    assert said.code == 2
    assert f"This machine is connected to {url}" in said.err


def test_doctor_says_where_the_rooms_are_and_that_the_key_holds(shell: Shell, laptop: Shell):
    _, url = served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")

    def backend(of: Shell) -> dict[str, str]:
        (found,) = [
            one for one in of("doctor", "--json").json["checks"] if one["check"] == "backend"
        ]
        return found

    there, here = backend(laptop), backend(shell)
    shell("keys", "revoke", "ann")
    after = backend(laptop)

    assert there["detail"].startswith(f"{url} (by `room-mcp connect`) answers")
    assert "the key is valid, of ann" in there["detail"]
    assert "SHA-256 " in there["detail"]
    assert "(a file of this machine)" in here["detail"]
    assert after["status"] == "fail"
    assert "The key lets nobody in" in after["detail"]


def test_disconnecting_gives_the_key_back_and_the_own_rooms(shell: Shell, laptop: Shell):
    _, url = served(shell)
    laptop("create", "own")
    laptop(*line(shell, "--human", "ann"), "--no-install")

    said = laptop("disconnect")
    again = laptop("disconnect")

    assert (said.code, said.err, again.code) == (0, "", 0)
    assert f"disconnected from {url}" in said.out
    assert again.out == "This machine is connected to no server.\n"
    assert "  revoked " in shell("keys").out
    assert [one["name"] for one in laptop("rooms", "--json").json["rooms"]] == ["own"]


def test_disconnecting_from_a_server_that_is_gone_says_what_stays(shell: Shell, laptop: Shell):
    serving, _ = served(shell)
    laptop(*line(shell, "--human", "ann"), "--no-install")
    serving.signal(signal.SIGTERM)
    serving.ended()

    said = laptop("disconnect")

    assert said.code == 0
    assert "is still valid there" in said.err
    assert "room-mcp keys revoke rks_" in said.err
    assert not (laptop.home / "connection.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1}', '{"url": "https://x"', "\x00"])
def test_a_connection_that_is_none_is_told_and_can_be_removed(laptop: Shell, text: str):
    laptop.home.mkdir(parents=True)
    (laptop.home / "connection.json").write_text(text)

    said = laptop("rooms")
    removed = laptop("disconnect")

    assert said.code == 2
    assert "`room-mcp disconnect` removes it" in said.err
    assert removed.code == 0
    assert laptop("rooms").code == 0
