"""A client and a server of different versions: both ways, and what one of them does not know."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from peers import Peer, environment

from room_mcp.connection import ANSWER_S, Connection
from room_mcp.failures import BackendRefused


@pytest.fixture(scope="module", params=["newer client", "newer server"])
def sources(request: pytest.FixtureRequest, release: Path) -> tuple[Path | None, Path | None]:
    """The packages of the server and the client; None: the one under test."""
    return (release, None) if request.param == "newer client" else (None, release)


@pytest.fixture(scope="module")
def served(
    sources: tuple[Path | None, Path | None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "room_mcp", "serve", "--port", "0"],
        env=environment(sources[0], tmp_path_factory.mktemp("server")),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.terminate()
    server.wait(30)
    server.stdout.close()


@pytest.fixture(scope="module")
def peer(
    served: str,
    sources: tuple[Path | None, Path | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Peer]:
    peer = Peer(served, tmp_path_factory.mktemp("client"), sources[1])
    yield peer
    assert peer.end() == 0


def test_a_room_is_used_across_versions(peer: Peer):
    made = peer.ask("create_room", "across", template="code-review", chain=True)
    room_id = made["roomId"]
    joined = peer.ask("join", room_id, "ann", role="author", protect=True)

    first, again = (
        peer.ask(
            "post",
            room_id,
            "ann",
            "Look",
            type="note",
            idempotency_key="k1",
            key=joined["agentKey"],
        )
        for _ in range(2)
    )
    waited = peer.ask("messages", room_id, after=0, wait_s=5)
    closed = peer.ask(
        "close_room", room_id, sender="rex", conclusion="done", owner_key=made["ownerKey"]
    )
    late = peer.ask("post", room_id, "ann", "late", key=joined["agentKey"])

    assert (first["seq"], again["seq"], again["idempotent"]) == (1, 1, True)
    assert [one["content"] for one in waited["messages"]] == ["Look"]
    assert (closed["lifecycle"], late["refused"]) == ("closed", "room_closed")
    assert peer.ask("rooms", query="across")["rooms"][0]["id"] == room_id


def test_a_field_that_the_server_does_not_know_is_refused_by_its_name(peer: Peer, served: str):
    room_id = peer.ask("create_room", "fields")["roomId"]

    answer = httpx2.post(
        f"{served}/agent/rooms/{room_id}/messages",
        json={"sender": "ann", "content": "hello", "ofLater": 1},
    )

    assert answer.status_code == 400
    assert "ofLater" in answer.json()["detail"]
    assert peer.ask("messages", room_id)["lastSeq"] == 0


@pytest.mark.anyio
async def test_a_call_that_the_server_does_not_know_is_refused_in_a_sentence(served: str):
    connection = Connection(
        served, key="", certificate="", transport=None, retry_for_s=0, answer_s=ANSWER_S
    )

    with pytest.raises(BackendRefused) as refused:
        await connection.do("POST", "/agent/of-later")
    await connection.aclose()

    assert str(refused.value) == (
        f"The server at {served} does not know this call. "
        "It may be of an earlier version: upgrade room-mcp where it runs."
    )
