"""Rooms with rules over REST: contracts, roles, terminal messages, templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rest_desk import Desk, a_desk, must_be_problem

pytestmark = pytest.mark.anyio

VERDICT = {"type": "review_complete", "verdict": "approved", "issues": []}
SIZED = {
    "types": {
        "report": {
            "body": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"enum": ["small", "large"]}},
            }
        }
    },
    "terminal": [
        {"type": "report", "when": {"properties": {"size": {"const": "large"}}}, "outcome": "told"}
    ],
    "good": ["told"],
}


async def reviewing(desk: Desk, *reviewers: str) -> str:
    """A code-review room with ann as its author and these reviewers."""
    id = (await desk.room(template="code-review"))["roomId"]
    await desk.join(id, "ann")
    for name in reviewers:
        await desk.join(id, name, role="reviewer")
    return id


async def info(desk: Desk, id: str) -> dict[str, Any]:
    return (await desk.http.get(f"/agent/rooms/{id}/info")).json()


@pytest.mark.parametrize("type", ["review_complete", "decision"])
async def test_in_a_demo_room_a_terminal_message_ends_it_for_everybody(desk: Desk, type: str):
    made = await desk.http.post("/agent/demo/room", json={"name": "demo"})
    id = made.json()["roomId"]
    ended = await desk.say(id, "rex", {"type": type, "verdict": "approved", "outcome": "approved"})
    late = await desk.post(id, "ann", "Thank you so much!")

    assert (ended["closed"], ended["outcome"]) == (True, "approved")
    told = must_be_problem(late)
    assert (told["code"], told["outcome"], told["closingSeq"]) == ("room_closed", "approved", 1)
    assert "send nothing more" in told["advice"]


async def test_the_verdicts_of_all_reviewers_end_a_review_whatever_anybody_wants_to_say(desk: Desk):
    id = await reviewing(desk, "rex", "eve")
    first = await desk.say(id, "rex", VERDICT)
    waiting = await info(desk, id)
    second = await desk.say(id, "eve", {**VERDICT, "verdict": "rejected"})
    late = await desk.post(id, "ann", "Great review!")
    after = await info(desk, id)

    assert (first["closed"], second["closed"]) == (False, True)
    assert waiting["verdicts"][0]["name"] == "rex"
    assert (after["outcome"], after["good"], after["closing"]["by"]) == ("rejected", False, "eve")
    assert must_be_problem(late)["code"] == "room_closed"


async def test_who_joins_without_a_role_gets_the_one_that_is_needed(desk: Desk):
    id = (await desk.room(template="code-review"))["roomId"]
    roles = [(await desk.join(id, name))["role"] for name in ("ann", "rex", "eve")]
    shown = await info(desk, id)

    assert roles == ["author", "reviewer", "reviewer"]
    assert [(one["name"], one["members"]) for one in shown["roles"]] == [
        ("author", ["ann"]),
        ("reviewer", ["rex", "eve"]),
    ]


async def test_nobody_joins_a_room_with_roles_by_speaking(desk: Desk):
    id = (await desk.room(template="code-review"))["roomId"]
    told = must_be_problem(await desk.post(id, "ann", "hello"))

    assert (told["status"], told["code"]) == (403, "not_a_member")
    assert "/join" in told["advice"]
    assert told["roles"] == ["author", "reviewer"]


async def test_a_role_sends_only_what_it_may(desk: Desk):
    id = await reviewing(desk, "rex")
    told = must_be_problem(await desk.post(id, "ann", VERDICT))

    assert (told["status"], told["code"]) == (403, "role_may_not")
    assert "submit" in told["advice"]
    assert (await desk.read(id, after=0))["messages"] == []


async def test_a_taken_role_is_refused_with_the_free_ones(desk: Desk):
    id = await reviewing(desk)
    told = must_be_problem(
        await desk.http.post(f"/agent/rooms/{id}/join", json={"agentName": "eve", "role": "author"})
    )

    assert (told["status"], told["code"]) == (409, "role_taken")
    assert "reviewer" in told["advice"]


async def test_a_body_that_does_not_match_comes_back_with_path_rule_and_one_that_would_pass(
    desk: Desk,
):
    id = (await desk.room(contract=SIZED))["roomId"]
    told = must_be_problem(await desk.post(id, "ann", {"size": "huge"}, type="report"))
    mended = await desk.post(id, "ann", told["example"], type="report")

    assert (told["status"], told["code"]) == (422, "contract_violation")
    assert (told["path"], told["schema"]) == ("size", {"enum": ["small", "large"]})
    assert told["rule"] in told["detail"]
    assert mended.status_code == 201


async def test_only_a_body_that_meets_the_rule_ends_the_room(desk: Desk):
    id = (await desk.room(contract=SIZED))["roomId"]
    small = await desk.say(id, "ann", {"type": "report", "size": "small"})
    large = await desk.say(id, "ann", {"type": "report", "size": "large"})
    after = await info(desk, id)

    assert (small["closed"], large["closed"]) == (False, True)
    assert (after["outcome"], after["good"]) == ("told", True)


async def test_a_batch_is_held_to_the_contract_message_by_message(desk: Desk):
    id = (await desk.room(contract=SIZED))["roomId"]
    bodies: list[Any] = [{"size": "small"}, {"size": 3}, {"size": "large"}, {"size": "small"}]
    posts = [{"sender": "ann", "type": "report", "content": body} for body in bodies]
    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": posts})

    codes = [(one["status"], one["code"]) for one in done.json()["results"]]
    assert codes == [
        (201, None),
        (422, "contract_violation"),
        (201, None),
        (409, "room_closed"),
    ]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"contract": {"roles": {"a": {"max": 0}}}}, "roles.a.max"),
        ({"contract": {"types": {"t": {"body": {"type": "objekt"}}}}}, "types.t.body.type"),
        ({"contract": {"types": {"t": {"body": {"$ref": "http://x/y"}}}}}, "types.t.body.$ref"),
        ({"contract": {"terminal": [{"type": "t", "by": ["boss"]}]}}, "terminal[0].by"),
        ({"budget": {"messages": -1}}, "budget.messages"),
        ({"guard": {"notice": 7}}, "guard"),
    ],
)
async def test_rules_that_cannot_work_are_refused_with_their_place(
    desk: Desk, wrong: dict[str, Any], place: str
):
    told = must_be_problem(await desk.http.post("/agent/rooms", json={"name": "r", **wrong}))

    assert (told["status"], told["place"]) == (400, place)
    assert place in told["detail"]


async def test_an_unknown_template_is_refused_with_the_known_ones(desk: Desk):
    told = must_be_problem(
        await desk.http.post("/agent/rooms", json={"name": "r", "template": "chess"})
    )

    assert told["status"] == 400
    assert "code-review" in told["advice"]


async def test_a_file_in_the_folder_is_a_template_as_soon_as_it_is_there(tmp_path: Path):
    async with a_desk(tmp_path) as desk:
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "sized.json").write_text(json.dumps(SIZED))
        (tmp_path / "templates" / "broken.json").write_text("{")
        made = await desk.room(template="sized")
        told = (await desk.http.get("/agent/templates")).json()

    assert made["template"] == "sized"
    assert [one["name"] for one in told["templates"] if not one["builtIn"]] == ["sized"]
    assert told["problems"][0].startswith("broken: ")


async def test_parts_of_a_template_are_replaced_by_field(desk: Desk):
    made = await desk.room(template="code-review", budget={"messages": 3}, guard={"hush": 11})
    shown = await info(desk, made["roomId"])

    assert (shown["budget"]["messages"], shown["budget"]["reserveMessages"]) == (3, 2)
    assert shown["contract"]["guard"]["hush"] == 11
    assert [one["name"] for one in shown["roles"]] == ["author", "reviewer"]


async def test_rules_stay_with_the_room_when_the_store_is_opened_anew(tmp_path: Path):
    async with a_desk(tmp_path) as desk:
        id = (await desk.room(contract=SIZED))["roomId"]
    async with a_desk(tmp_path) as desk:
        told = must_be_problem(await desk.post(id, "ann", {"size": "huge"}, type="report"))

    assert told["code"] == "contract_violation"


async def test_over_http_nobody_reopens_a_room_not_even_its_owner(desk: Desk):
    made = await desk.room()
    id, key = made["roomId"], made["ownerKey"]
    await desk.say(id, "rex", VERDICT)
    told = must_be_problem(
        await desk.http.post(
            f"/agent/rooms/{id}/reopen",
            json={"sender": "ann", "senderType": "human"},
            headers={"Room-Key": key},
        )
    )

    assert (told["status"], told["code"]) == (403, "people_only")


async def test_the_owner_changes_limits_and_nobody_else(desk: Desk):
    made = await desk.room(budget={"messages": 3})
    id = made["roomId"]
    change = {"budget": {"messages": 5}, "guard": False}
    refused = await desk.http.post(f"/agent/rooms/{id}/settings", json=change)
    changed = await desk.http.post(
        f"/agent/rooms/{id}/settings", json={**change, "ownerKey": made["ownerKey"]}
    )

    assert must_be_problem(refused)["code"] == "not_the_owner"
    assert changed.json()["budget"]["messages"] == 5
    assert changed.json()["contract"]["guard"]["on"] is False


async def test_open_questions_and_work_are_shown_until_they_are_answered(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.join(id, "bob")
    await desk.say(id, "ann", "Who runs the tests?", type="request")
    await desk.say(id, "bob", "I do.", type="accept")
    accepted = (await info(desk, id))["expected"]
    await desk.say(id, "bob", "12 of 12 pass.", type="result")

    assert (accepted[0]["of"], accepted[0]["acceptedBy"]) == (["bob"], "bob")
    assert (await info(desk, id))["expected"] == []


async def test_erased_texts_do_not_come_back_with_the_verdict(desk: Desk):
    made = await desk.room(template="code-review")
    id = made["roomId"]
    for name in ("ann", "rex", "eve"):
        await desk.join(id, name)
    await desk.say(id, "rex", {**VERDICT, "verdict": "rejected", "summary": "a secret"})
    await desk.http.delete(f"/api/rooms/{id}/messages", headers={"Room-Key": made["ownerKey"]})
    await desk.say(id, "eve", VERDICT)

    assert (await info(desk, id))["outcome"] == "rejected"
    assert "a secret" not in (await desk.http.get(f"/agent/rooms/{id}/export")).text
    assert "a secret" not in (await desk.http.get(f"/agent/rooms/{id}/info")).text


async def test_many_costly_schemas_are_refused_together(desk: Desk):
    doubled = {"a0": {"type": "object"}}
    for at in range(1, 12):
        ref = {"$ref": f"#/$defs/a{at - 1}"}
        doubled[f"a{at}"] = {"allOf": [ref, ref]}
    costly = {"$defs": doubled, "$ref": "#/$defs/a11"}
    types = {f"t{at}": {"body": costly | {"title": str(at)}, "example": {}} for at in range(60)}
    told = must_be_problem(
        await desk.http.post("/agent/rooms", json={"name": "r", "contract": {"types": types}})
    )

    assert told["code"] == "malformed"
    assert "too" in told["detail"]


async def test_a_file_whose_name_is_none_for_a_template_is_told_of(tmp_path: Path):
    async with a_desk(tmp_path) as desk:
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates" / "My Rules.json").write_text(json.dumps(SIZED))
        told = (await desk.http.get("/agent/templates")).json()

    assert "Rename the file" in told["problems"][0]
