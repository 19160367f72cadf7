"""The client against servers that misbehave: clear words, nothing lost, nothing twice."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from misbehaving import HANGS_UP, Asked, Says, in_turn, serving

from room_mcp import wire
from room_mcp.client import RoomsClient
from room_mcp.failures import (
    BackendError,
    BackendRefused,
    BackendUnreachable,
    NotOurs,
    OutcomeUnknown,
)

pytestmark = pytest.mark.anyio

ROOM = "5f0c1df2-6c2e-4d0a-9b52-0c6f5f0e8a11"
HTML = Says(200, "<html>Welcome</html>", kind="text/html")
BUSY = Says(
    503,
    {"code": "store_busy", "detail": "Busy.", "advice": "Try again."},
    kind="application/problem+json",
    headers={"Retry-After": "0"},
)
CROWDED = Says(429, "slow down", kind="text/plain", headers={"Retry-After": "0"})
PAGE = Says(
    200,
    {
        "messages": [],
        "nextCursor": 0,
        "lastSeq": 0,
        "hasMore": False,
        "closed": False,
        "epoch": "e.0",
        "limit": 50,
    },
)


def posted(**fields: Any) -> Says:
    message = {
        "id": "m",
        "seq": 1,
        "roomId": ROOM,
        "sender": "alice",
        "senderType": "agent",
        "type": "note",
        "content": "hi",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "idempotent": False,
        "epoch": "e.0",
    }
    return Says(201, {**message, **fields})


def client(url: str, **options: Any) -> RoomsClient:
    return RoomsClient(url, **{"retry_for_s": 1.0, **options})


# ---- clear words --------------------------------------------------------------------------------


async def test_nothing_listens_there():
    async with serving(in_turn([PAGE])) as server:
        pass
    async with client(server.url, retry_for_s=0.1) as rooms:
        match = r"Nothing answers at .*Nothing was sent.*serve"
        with pytest.raises(BackendUnreachable, match=match):
            await rooms.post(ROOM, "alice", "hi")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8750",
        "localhost:8750",
        "http://",
        "ftp://x",
        "http://127.0.0.1:99999",
        "http://[",
    ],
)
async def test_an_address_that_is_none_is_told_at_once(url: str):
    async with client(url, retry_for_s=30) as rooms:
        with anyio.fail_after(1), pytest.raises(BackendUnreachable, match="Write it like http://"):
            await rooms.rooms()


@pytest.mark.parametrize(
    ("says", "match"),
    [
        (HTML, "not of a room backend.*base URL"),
        (Says(200, {"hello": "world"}), "not of a room backend"),
        (Says(200, "{"), "not of a room backend"),
        (Says(404, "<h1>no</h1>", kind="text/html"), "404 with text/html.*Check the address"),
        (Says(500, "oops", kind="text/plain"), "500 with text/plain.*proxy"),
        (Says(301, "", headers={"Location": "https://x"}), "301 with .*another address"),
        (Says(401, "", headers={"WWW-Authenticate": "Basic"}), "401 with"),
    ],
)
async def test_a_server_that_is_none_of_ours_is_told_in_words(says: Says, match: str):
    async with serving(in_turn([says])) as server, client(server.url) as rooms:
        with pytest.raises(NotOurs, match=match) as error:
            await rooms.messages(ROOM, after=0)

        assert server.url in str(error.value)
        assert rooms.limits == ""


async def test_a_refusal_comes_through_with_its_code_advice_and_facts():
    problem = {"code": "room_closed", "detail": "It is over.", "advice": "Stop.", "outcome": "ok"}
    says = Says(409, problem, kind="application/problem+json")
    async with serving(in_turn([says])) as server, client(server.url) as rooms:
        with pytest.raises(BackendRefused, match=r"It is over\. Stop\.") as error:
            await rooms.post(ROOM, "alice", "hi")

        assert (error.value.code, error.value.facts["outcome"]) == ("room_closed", "ok")
        assert len(server.asked) == 1


# ---- nothing lost -------------------------------------------------------------------------------


@pytest.mark.parametrize("passing", [BUSY, CROWDED], ids=["503", "429"])
async def test_what_was_refused_for_now_is_tried_again(passing: Says):
    async with (
        serving(in_turn([passing, passing, posted()])) as server,
        client(server.url) as rooms,
    ):
        done = await rooms.post(ROOM, "alice", "hi")

        assert done.seq == 1
        assert len({one.body["idempotencyKey"] for one in server.asked}) == 1
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    "broken", [HANGS_UP, Says(200, PAGE.body, cut=20), Says(502, "bad", kind="text/html")]
)
async def test_a_reading_whose_answer_was_lost_is_tried_again(broken: Says | None):
    async with serving(in_turn([broken, broken, PAGE])) as server, client(server.url) as rooms:
        page = await rooms.messages(ROOM, after=0)

        assert page.epoch == "e.0"
        assert len(server.asked) == 3


async def test_tries_end_with_the_last_failure():
    async with serving(in_turn([BUSY])) as server, client(server.url, retry_for_s=0.3) as rooms:
        with anyio.fail_after(20), pytest.raises(BackendRefused, match="Busy") as error:
            await rooms.messages(ROOM, after=0)

        assert error.value.status == 503
        assert 1 < len(server.asked) < 20


async def test_a_pause_longer_than_is_left_is_not_begun():
    later = Says(503, BUSY.body, headers={"Retry-After": "3600"})
    async with serving(in_turn([later])) as server, client(server.url) as rooms:
        with anyio.fail_after(20), pytest.raises(BackendRefused):
            await rooms.messages(ROOM, after=0)

        assert len(server.asked) == 1


async def test_a_server_that_never_answers_is_given_up():
    async def silent(_: Asked) -> Says | None:
        await anyio.sleep_forever()

    patience = {"retry_for_s": 0.2, "answer_s": 0.1}
    async with serving(silent) as server, client(server.url, **patience) as rooms:
        with anyio.fail_after(20), pytest.raises(BackendUnreachable, match=r"was lost.*Try again"):
            await rooms.messages(ROOM, after=0)
        with anyio.fail_after(20), pytest.raises(OutcomeUnknown):
            await rooms.post(ROOM, "alice", "hi")


# ---- nothing twice ------------------------------------------------------------------------------

LOST = {
    "closed before the answer": HANGS_UP,
    "closed half-way": Says(201, posted().body, cut=30),
    "a proxy's 502": Says(502, "bad gateway", kind="text/html"),
    "a proxy's 503": Says(503, "busy", kind="text/html", headers={"Retry-After": "0"}),
    "504": Says(504, {"code": "outcome_unknown", "detail": "Who knows.", "advice": "Again."}),
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
async def test_a_lost_answer_is_not_asked_for_again_where_keys_may_not_be_kept(lost: Says | None):
    async with serving(in_turn([lost, posted()])) as server, client(server.url) as rooms:
        with pytest.raises(OutcomeUnknown):
            await rooms.post(ROOM, "alice", "hi")

        assert len(server.asked) == 1


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
async def test_a_lost_answer_is_asked_for_again_with_its_key_where_epochs_were_shown(
    lost: Says | None,
):
    async with serving(in_turn([PAGE, lost, posted()])) as server, client(server.url) as rooms:
        await rooms.messages(ROOM, after=0)
        done = await rooms.post(ROOM, "alice", "hi")

        keys = [one.body["idempotencyKey"] for one in server.asked[1:]]
        assert done.seq == 1
        assert len(keys) == 2
        assert keys[0] == keys[1]


async def test_a_crash_of_the_backend_is_not_repeated_and_says_to_look():
    crash = Says(500, {"code": "internal", "detail": "Something went wrong.", "advice": "Again."})
    async with serving(in_turn([PAGE, crash, posted()])) as server, client(server.url) as rooms:
        await rooms.messages(ROOM, after=0)
        with pytest.raises(OutcomeUnknown, match="look into the room"):
            await rooms.post(ROOM, "alice", "hi")

        assert len(server.asked) == 2


async def test_a_join_whose_answer_was_lost_is_not_repeated():
    async with serving(in_turn([PAGE, HANGS_UP, PAGE])) as server, client(server.url) as rooms:
        await rooms.messages(ROOM, after=0)
        with pytest.raises(OutcomeUnknown):
            await rooms.join(ROOM, "alice")

        assert len(server.asked) == 2


async def test_rooms_in_the_directory_show_that_keys_are_kept():
    room = wire.Room(
        room_id=ROOM,
        id=ROOM,
        name="r",
        purpose="",
        template="open",
        lifecycle="open",
        listed=True,
        created_at="",
        updated_at="",
        message_count=0,
        last_seq=0,
        epoch="e.0",
    )
    found = wire.Directory(rooms=[room], next_cursor=None, directory=1)
    directory = Says(200, found.model_dump_json(by_alias=True))
    async with (
        serving(in_turn([directory, HANGS_UP, posted()])) as server,
        client(server.url) as rooms,
    ):
        await rooms.rooms()
        done = await rooms.post(ROOM, "alice", "hi")

        assert done.seq == 1
        assert len(server.asked) == 3


# ---- what is sent and what is told --------------------------------------------------------------


async def test_keys_and_room_ids_are_never_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with (
        serving(in_turn([PAGE, BUSY, posted()])) as server,
        client(server.url, key="server-secret") as rooms,
    ):
        await rooms.messages(ROOM, after=0, key="member-secret")
        await rooms.post(ROOM, "alice", "private words", key="other-secret")

    assert server.asked[0].headers["authorization"] == "Bearer server-secret"
    assert server.asked[0].headers["room-key"] == "member-secret"
    for secret in (ROOM, "server-secret", "member-secret", "other-secret", "private words"):
        assert secret not in caplog.text


async def test_failures_tell_no_room_id_and_no_key():
    told: list[str] = []
    for says in (HANGS_UP, HTML, Says(500, "x", kind="text/plain")):
        async with (
            serving(in_turn([says])) as server,
            client(server.url, retry_for_s=0.05) as rooms,
        ):
            with pytest.raises(BackendError) as error:
                await rooms.post(ROOM, "alice", "hi", key="member-secret")
            told.append(str(error.value))

    assert not any(secret in text for text in told for secret in (ROOM, "member-secret"))


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with serving(in_turn([PAGE])) as server, client(server.url) as rooms:
        page = await rooms.messages(ROOM, after=0)

    assert page.epoch == "e.0"


@pytest.mark.parametrize(
    "given",
    [
        "/etc/rooms/certificate.pem",
        "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_certificate_that_is_no_pem_text_is_refused_at_once(given: str):
    with pytest.raises(ValueError, match=r"certificate is no PEM text: .* and not its path"):
        RoomsClient("https://127.0.0.1:1", certificate=given)
