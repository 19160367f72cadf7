"""The figures at /metrics: what is counted, under which words, and who may read them."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rest_desk import NOBODY, Desk, a_desk

from room_mcp.backend.app import create_app, drain
from room_mcp.backend.gate import Door
from room_mcp.settings import Settings
from room_mcp.store.memory import MemoryStore

pytestmark = pytest.mark.anyio

SOON_S = 20

Figures = dict[tuple[str, tuple[str, ...]], float]


async def figures(desk: Desk) -> Figures:
    """Every figure, by its name without the prefix and the values of its labels."""
    answer = await desk.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (one.name.removeprefix("room_mcp_"), tuple(one.labels.values())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path, door=Door(requires_key=True)) as desk:
        yield desk


async def test_a_post_is_counted_by_what_became_of_it(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice", idempotencyKey="one")
    await desk.say(id, "alice", idempotencyKey="one")
    await desk.post(id, "alice", "other", idempotencyKey="one")
    await desk.post(NOBODY, "alice")
    found = await figures(desk)

    assert found["posts_total", ("stored",)] == 1
    assert found["posts_total", ("replayed",)] == 1
    assert found["posts_total", ("refused",)] == 2


async def test_each_post_of_a_batch_is_counted(desk: Desk):
    id = (await desk.room())["roomId"]
    messages = [{"sender": "alice", "content": word} for word in ("a", "b")]
    messages.append({"sender": "alice", "content": "c", "ifLastSeq": 99})
    await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": messages})
    found = await figures(desk)

    assert found["posts_total", ("stored",)] == 2
    assert found["posts_total", ("refused",)] == 1
    assert found["refusals_total", ("if_last_seq",)] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/agent/rooms/{NOBODY}/info", "room_not_found"),
        ("/agent/rooms?limit=x", "malformed"),
        ("/nothing", "no_such_path"),
        ("/agent/audit", "admins_only"),
        (f"/rooms/{NOBODY}", "room_not_found"),
    ],
)
async def test_each_refusal_counts_under_its_code(desk: Desk, path: str, code: str):
    await desk.http.get(path)
    found = await figures(desk)

    refused = {labels: count for (name, labels), count in found.items() if name == "refusals_total"}
    assert refused == {(code,): 1}


async def test_a_refusal_at_the_guard_and_a_wrong_method_count(desk: Desk):
    await desk.http.get("/healthz", headers={"Host": "evil.example"})
    await desk.http.delete("/healthz")
    found = await figures(desk)

    assert found["refusals_total", ("host_not_allowed",)] == 1
    assert found["refusals_total", ("no_such_method",)] == 1


async def test_labels_are_words_of_ours_whatever_callers_send(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "zq-name", "zq-text", type="zq-type")
    for path in (f"/agent/rooms/{id}/info", "/zq-path", "/agent/rooms/zq-id/info?zq=1"):
        await desk.http.get(path)
    await desk.http.request("ZQ", "/healthz")
    text = (await desk.http.get("/metrics")).text

    assert "zq" not in text.lower()
    assert id[:8] not in text
    assert '{method="GET",route="/agent/rooms/{id}/info",status="200"} 1.0' in text
    assert '{method="GET",route="other",status="404"} 1.0' in text


async def test_a_commit_tells_its_acts_and_how_long_it_took(desk: Desk):
    id = (await desk.room())["roomId"]
    messages = [{"sender": "alice", "content": word} for word in "abc"]
    await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": messages})
    found = await figures(desk)

    assert found["commit_acts_sum", ()] == 3
    assert found["commit_acts_bucket", ("4",)] - found["commit_acts_bucket", ("2",)] == 1
    assert found["commit_seconds_count", ()] == found["commit_acts_count", ()] == 2
    assert found["store_seconds_count", ("act",)] == 1
    assert found["store_seconds_count", ("create",)] == 1


async def test_a_store_in_memory_counts_its_commits_too(tmp_path: Path):
    store = MemoryStore()
    app = create_app(store, Settings(home=tmp_path, store=""))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        desk = Desk(app, http)
        await desk.say((await desk.room())["roomId"], "alice")

        assert (await figures(desk))["commit_acts_sum", ()] == 1


async def test_a_wait_that_is_woken_tells_how_long_its_reader_waited_for_the_commit(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    with anyio.fail_after(SOON_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: desk.read(id, after=0, wait=50, reader="bob"))
            await desk.until_waiting(id, "bob")
            while not (await figures(desk))["waits_open", ()]:
                await anyio.lowlevel.checkpoint()
            await desk.say(id, "alice")
    found = await figures(desk)

    assert found["waits_total", ("woken",)] == 1
    assert found["wake_seconds_count", ()] == 1
    assert found["waits_open", ()] == 0


async def test_a_wait_that_ends_empty_counts_as_one_whose_time_ran_out(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.read(id, after=0, wait=0.01)
    found = await figures(desk)

    assert found["waits_total", ("time",)] == 1
    assert ("wake_seconds_count", ()) not in found


async def test_a_stream_that_is_silent_for_a_while_has_not_ended(desk: Desk):
    id = (await desk.room())["roomId"]
    rooms = desk.app.state.services.rooms

    async def nothing() -> None:
        """Nothing has come."""

    async with desk.store.watch([id]) as watch:
        await rooms.waits.until(nothing, watch, 0.01, goes_on=True)

    assert not [name for name, _ in await figures(desk) if name == "waits_total"]


async def test_a_wait_that_finds_something_at_once_has_not_waited(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.say(id, "alice")
    await desk.read(id, after=0, wait=50)

    assert not [name for name, _ in await figures(desk) if name == "waits_total"]


async def test_what_the_guard_finds_is_counted_by_level(desk: Desk):
    id = (await desk.room())["roomId"]
    for _ in range(12):
        await desk.post(id, "alice", "Thank you so much!")
        await desk.post(id, "bob", "No, thank you so much!")
    found = await figures(desk)

    levels = {labels[0] for name, labels in found if name == "guard_total"}
    assert {"observe", "notice"} <= levels <= {"observe", "notice", "quiet", "hush"}


async def test_the_process_and_the_version_are_told(desk: Desk):
    text = (await desk.http.get("/metrics")).text

    assert 'room_mcp_build_info{version="' in text
    assert sys.platform != "linux" or "process_resident_memory_bytes" in text


async def test_where_keys_are_needed_admins_alone_may_read(locked: Desk):
    answers = [
        await locked.http.get("/metrics"),
        await locked.http.get("/metrics", headers=await locked.key("ann")),
        await locked.http.get("/metrics", headers=await locked.key("root", admin=True)),
    ]

    assert [one.status_code for one in answers] == [401, 403, 200]
    assert answers[1].json()["code"] == "admins_only"


@pytest.mark.parametrize(
    ("readers", "statuses"), [("keys", [401, 200, 200]), ("all", [200, 200, 200])]
)
async def test_a_setting_opens_them_to_others(tmp_path: Path, readers: str, statuses: list[int]):
    settings = Settings(home=tmp_path, store="", metrics=readers)
    app = create_app(MemoryStore(), settings, door=Door(requires_key=True))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        desk = Desk(app, http)
        headers = [{}, await desk.key("ann"), await desk.key("root", admin=True)]
        answers = [await http.get("/metrics", headers=one) for one in headers]

    assert [one.status_code for one in answers] == statuses


async def test_a_server_that_stops_lives_but_is_not_ready(desk: Desk):
    drain(desk.app)
    lives, is_ready = await desk.http.get("/healthz"), await desk.http.get("/readyz")

    assert (lives.status_code, is_ready.status_code) == (200, 503)
    assert is_ready.json()["code"] == "draining"


async def test_a_server_whose_store_cannot_be_reached_lives_but_is_not_ready(desk: Desk):
    await desk.store.aclose()
    lives, is_ready = await desk.http.get("/healthz"), await desk.http.get("/readyz")

    assert (lives.status_code, is_ready.status_code) == (200, 503)
    assert is_ready.json()["code"] == "store_unavailable"
