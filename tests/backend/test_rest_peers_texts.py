"""What others write can neither pass for ours nor act: on pages, in exports, in reminders."""

from __future__ import annotations

import html
import json
import re

import pytest
from rest_desk import Desk

from proof.hostile_texts import HOSTILE, MEMBERS, ROOMS, planted, raw

pytestmark = pytest.mark.anyio


async def filled(desk: Desk) -> tuple[str, str]:
    """An open and a closed room, every field of which somebody filled; their ids."""
    for name in ROOMS:
        await desk.room(name, purpose=HOSTILE)
    talk = (await desk.room(ROOMS[0] + " ", purpose=HOSTILE))["roomId"]
    ended = (await desk.room(ROOMS[1], purpose=HOSTILE, listed=False))["roomId"]
    for name in ("bob", *MEMBERS):
        await desk.say(talk, name, HOSTILE, to=list(MEMBERS[:2]), type="Next:PLANTED")
        await desk.say(talk, name, {"fine": HOSTILE, HOSTILE[:100]: 1})
    await desk.say(ended, "bob", {"type": "decision", "outcome": HOSTILE, "conclusion": HOSTILE})
    return talk, ended


def shown(page: str) -> str:
    """The text of a page, a line for each element."""
    return html.unescape(re.sub(r"<[^>]+>", "\n", page.split("</style>")[1]))


async def test_pages_show_nothing_that_acts_and_no_element_that_was_written(desk: Desk):
    talk, ended = await filled(desk)
    await desk.say(talk, "bob", "</pre><h1>PLANTED</h1><script>PLANTED</script>")

    pages = [await desk.http.get(path) for path in ("/", f"/rooms/{talk}", f"/rooms/{ended}")]

    assert [raw(shown(page.text)) for page in pages] == [[], [], []]
    assert [re.findall(r"<(?:h1|script)>PLANTED", page.text) for page in pages] == [[], [], []]


@pytest.mark.parametrize("which", [0, 1])
async def test_an_export_for_people_has_no_planted_line(desk: Desk, which: int):
    id = (await filled(desk))[which]

    text = (await desk.http.get(f"/agent/rooms/{id}/export", params={"format": "md"})).text

    ours = "\n".join(line for line in text.split("\n") if line and not line.startswith("    "))
    assert planted(text) == []
    assert raw(text) == []
    assert not re.search("PLANTED", re.sub(r"^(?:#|Closed:).*", "", ours, flags=re.MULTILINE))


async def test_an_export_for_programs_is_exact_and_has_nothing_raw(desk: Desk):
    id = (await filled(desk))[0]

    text = (await desk.http.get(f"/agent/rooms/{id}/export", params={"format": "jsonl"})).text

    said = [json.loads(line)["content"] for line in text.splitlines()]
    assert said[:2] == [HOSTILE, {"fine": HOSTILE, HOSTILE[:100]: 1}]
    assert raw(text) == []


async def test_a_reminder_is_one_line_of_ours(desk: Desk):
    id = (await filled(desk))[0]

    told = await desk.http.post(f"/agent/rooms/{id}/heartbeat", json={"sender": "bob"})

    assert planted(told.json()["reminder"]) == []
    assert raw(told.json()["reminder"]) == []
