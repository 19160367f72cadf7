"""What people and agents read: rooms, transcripts, and how to call this server."""

from __future__ import annotations

import re
import shlex

import httpx2
import pytest
from rest_desk import NOBODY, Desk

pytestmark = pytest.mark.anyio

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


async def test_whatever_is_said_is_shown_as_text(desk: Desk):
    made = await desk.room("<b>x</b>", purpose=SCRIPT)
    id = made["roomId"]
    await desk.say(id, "alice", SCRIPT, type="<script>")
    await desk.say(id, "alice", {"type": "decision", "outcome": SCRIPT, "summary": SCRIPT})
    pages = [await desk.http.get(path) for path in ("/", f"/rooms/{id}")]

    for page in pages:
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert "<b>x" not in page.text
        assert "&lt;script&gt;" in page.text


async def test_pages_load_nothing_and_run_nothing(desk: Desk):
    id = (await desk.room())["roomId"]
    pages = [await desk.http.get(path) for path in ("/", f"/rooms/{id}", "/docs", "/rooms/none")]

    for page in pages:
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page.text)


async def test_a_transcript_shows_the_room_and_its_end(desk: Desk):
    id = (await desk.room("leak hunt", purpose="Find it."))["roomId"]
    await desk.say(id, "alice", "Which one?", type="question", to=["bob"])
    await desk.say(id, "bob", "The pool.", type="answer", replyTo=1)
    await desk.say(id, "alice", {"type": "review_complete", "verdict": "approved", "n": 1})
    page = (await desk.http.get(f"/rooms/{id}")).text

    for shown in ("leak hunt", "Find it.", "Which one?", "→ bob", "re #1", "Closed: approved"):
        assert shown in page


async def test_the_index_shows_listed_rooms_and_where_to_go(desk: Desk):
    empty = (await desk.http.get("/")).text
    id = (await desk.room("seen"))["roomId"]
    await desk.room("unseen", listed=False)
    page = (await desk.http.get("/")).text

    assert "No rooms yet" in empty
    assert f"/rooms/{id}" in page
    assert "unseen" not in page


async def test_a_transcript_of_no_room_is_a_page_for_people(desk: Desk):
    page = await desk.http.get(f"/rooms/{NOBODY}")

    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "No room has this id." in page.text


async def test_a_very_long_room_shows_its_newest_part_and_says_so(desk: Desk):
    id = (await desk.room())["roomId"]
    items = [{"sender": "alice", "content": f"{n} " + "x" * 60_000} for n in range(20)]
    await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": items})
    page = (await desk.http.get(f"/rooms/{id}")).text

    assert "19 xxx" in page
    assert f"/agent/rooms/{id}/export" in page


async def test_the_docs_name_every_call(desk: Desk):
    page = (await desk.http.get("/docs")).text
    described = (await desk.http.get("/openapi.json")).json()["paths"]

    for path, methods in described.items():
        for method in methods:
            assert f"{method.upper()} {path}" in page


async def run_curl(http: httpx2.AsyncClient, command: str) -> httpx2.Response:
    """What curl would do with the command: only the options that llms.txt uses."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-s"]
    headers: dict[str, str] = {}
    url, content = "", None
    rest = iter(words[2:])
    for word in rest:
        match word:
            case "-H":
                name, value = next(rest).split(": ", 1)
                headers[name] = value
            case "-d":
                content = next(rest).encode()
            case _:
                url = word
    return await http.request(
        "GET" if content is None else "POST", url, headers=headers, content=content
    )


async def test_the_three_commands_of_llms_txt_work_as_they_stand(desk: Desk):
    text = (await desk.http.get("/llms.txt")).text
    commands = re.findall(r"^ +(curl .*)$", text, re.MULTILINE)
    opened = await run_curl(desk.http, commands[0])
    id = opened.json()["roomId"]
    said = await run_curl(desk.http, commands[1].replace("ROOM_ID", id))
    read = await run_curl(desk.http, commands[2].replace("ROOM_ID", id))

    assert len(commands) == 3
    assert [one.status_code for one in (opened, said, read)] == [201, 201, 200]
    assert read.json()["messages"][0]["id"] == said.json()["id"]


async def test_every_path_that_llms_txt_names_is_known(desk: Desk):
    text = (await desk.http.get("/llms.txt")).text
    id = (await desk.room())["roomId"]
    named = {
        path.rstrip(".").replace("ROOM_ID", id) for path in re.findall(r"GET (/\S+)", text)
    } | {"/openapi.json"}
    answers = [await desk.http.get(path) for path in sorted(named)]

    assert [one.status_code for one in answers] == [200] * len(named)
