"""What a contract's document may hold, and where a bad one is wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest

from room_mcp.rooms import BadContract, contract_from
from room_mcp.rooms.budget import RESERVE_BYTES, RESERVE_MESSAGES, Allowance
from room_mcp.rooms.contract import Need
from room_mcp.rooms.documents import MAX_DOCUMENT_BYTES, MAX_SECONDS
from room_mcp.rooms.fields import MAX_COUNT
from room_mcp.rooms.message import BUILT_IN_TYPES, Wakes

A = {"author": {}}
LONG = "x" * 501


def role(**fields: Any) -> dict[str, Any]:
    return {"roles": {"author": fields}}


def typed(**fields: Any) -> dict[str, Any]:
    return {"types": {"report": fields}}


def terminal(**fields: Any) -> dict[str, Any]:
    return {"roles": A, "terminal": [{"type": "decision"}, {"type": "decision", **fields}]}


def budget(**fields: Any) -> dict[str, Any]:
    return {"budget": fields}


def guard(**fields: Any) -> dict[str, Any]:
    return {"roles": A, "guard": fields}


# a bad document → where it is wrong, and a piece of the sentence that says why
BAD: list[tuple[Any, str, str]] = [
    # the whole of it
    (None, "", "must be an object"),
    ([], "", "must be an object"),
    ("open", "", "must be an object"),
    ({"good": {1, 2}}, "", "must be JSON"),
    ({"good": [math.nan]}, "", "must be JSON"),
    ({"good": ["\ud800"]}, "", "must be JSON"),
    ({"about": "x" * MAX_DOCUMENT_BYTES}, "", "more than 128 KiB"),
    ({"rolls": {}}, "rolls", "known are name, about, roles"),
    ({"outcomeOrder": [], "outcome_order": []}, "outcome_order", "there twice"),
    ({"name": "Code Review"}, "name", "lower-case"),
    ({"name": "-"}, "name", "lower-case"),
    ({"name": 7}, "name", "one line"),
    ({"about": "two\nlines"}, "about", "one line of at most 500"),
    ({"about": LONG}, "about", "one line of at most 500"),
    ({"outcome_order": "approved"}, "outcome_order", "a list of at most 64"),
    ({"outcome_order": ["x"] * 65}, "outcome_order", "a list of at most 64"),
    ({"good": [""]}, "good", "1 to 200"),
    ({"good": ["x" * 201]}, "good", "1 to 200"),
    ({"good": [1]}, "good", "1 to 200"),
    ({"bad": None}, "bad", "a list"),
    # roles
    ({"roles": ["author"]}, "roles", "must be an object"),
    ({"roles": {f"r{n}": {} for n in range(17)}}, "roles", "more than 16"),
    ({"roles": {"Author": {}}}, "roles.Author", "lower-case"),
    ({"roles": {"": {}}}, "roles.", "lower-case"),
    ({"roles": {"author": "all"}}, "roles.author", "must be an object"),
    (role(maximum=1), "roles.author.maximum", "known are about, min, max, may, who"),
    (role(about=LONG), "roles.author.about", "at most 500"),
    (role(min=-1), "roles.author.min", "from 0"),
    (role(min=True), "roles.author.min", "whole number"),
    (role(max=0), "roles.author.max", "from 1"),
    (role(max=1.0), "roles.author.max", "whole number"),
    (role(max="2"), "roles.author.max", "whole number"),
    (role(max=MAX_COUNT + 1), "roles.author.max", "whole number"),
    (role(min=3, max=2), "roles.author.max", "not be less than min"),
    (role(may="note"), "roles.author.may", "a list"),
    (role(may=["note", 3]), "roles.author.may", "1 to 200"),
    (role(may=["note", "reprot"]), "roles.author.may", "no type 'reprot'"),
    (role(who={"rex": 1}), "roles.author.who", "a list"),
    # types
    ({"types": []}, "types", "must be an object"),
    ({"types": {f"t{n}": {} for n in range(65)}}, "types", "more than 64"),
    ({"types": {"two words": {}}}, "types.two words", "one word"),
    ({"types": {"x" * 65: {}}}, f"types.{'x' * 65}", "one word"),
    ({"types": {"room.closed": {}}}, "types.room.closed", "not one of the room's"),
    ({"types": {"report": None}}, "types.report", "must be an object"),
    (typed(bodies={}), "types.report.bodies", "known are about, body"),
    (typed(body={}, schema={}), "types.report.schema", "there twice"),
    (typed(about=7), "types.report.about", "one line"),
    (typed(body=7), "types.report.body", ""),
    (typed(body={"type": "objekt"}), "types.report.body.type", ""),
    (typed(body={"$ref": "https://a.example/s.json"}), "types.report.body.$ref", ""),
    (typed(body={"pattern": "(?=a)"}), "types.report.body.pattern", ""),
    (typed(body={"minItems": "many"}), "types.report.body.minItems", "whole number"),
    (typed(body=False), "types.report", "no body was found"),
    (typed(body={"type": "string"}, example=7), "types.report.example", "body must be text"),
    (typed(wakes="everybody"), "types.report.wakes", "members, nobody, author, all"),
    (typed(wakes=None), "types.report.wakes", "one of"),
    (typed(wakes=["all"]), "types.report.wakes", "one of"),
    (typed(expects=["repyl"]), "types.report.expects", "no type 'repyl'"),
    (typed(expects={"reply": 1}), "types.report.expects", "a list"),
    (typed(guard="off"), "types.report.guard", "score, exempt"),
    ({"types": {"note": {"wakes": "all"}}}, "types.note.wakes", "built in"),
    ({"types": {"vote": {"guard": "exempt"}}}, "types.vote.guard", "built in"),
    # terminal rules
    ({"terminal": {"type": "decision"}}, "terminal", "a list of at most 16"),
    ({"terminal": [{"type": "decision"}] * 17}, "terminal", "a list of at most 16"),
    ({"terminal": ["decision"]}, "terminal[0]", "must be an object"),
    ({"terminal": [{}]}, "terminal[0].type", "name a message type"),
    ({"terminal": [{"type": "two words"}]}, "terminal[0].type", "name a message type"),
    ({"terminal": [{"type": "room.closed"}]}, "terminal[0].type", "not one of the room's"),
    (terminal(to=["rex"]), "terminal[1].to", "known are type, by, when, need"),
    (terminal(by="reviewer"), "terminal[1].by", "no role 'reviewer'; known roles: author"),
    (terminal(by=["author", ""]), "terminal[1].by", "1 to 200"),
    (terminal(by=None), "terminal[1].by", "a list"),
    (terminal(when={"minimum": "1"}), "terminal[1].when.minimum", ""),
    (terminal(need="most_of_role"), "terminal[1].need", "any, all_of_role, majority_of_role"),
    (terminal(outcome_from=["verdict"]), "terminal[1].outcome_from", "one line"),
    (terminal(outcome="x" * 201), "terminal[1].outcome", "at most 200"),
    ({"terminal": [{"type": "end", "by": "author"}]}, "terminal[0].by", "there are no roles"),
    (
        {"roles": {"author": {"may": ["note"]}}, "terminal": [{"type": "end"}]},
        "terminal[0]",
        "may send end",
    ),
    (
        {
            "roles": {"author": {"may": ["note"]}, "rex": {}},
            "terminal": [{"type": "end", "by": "author"}],
        },
        "terminal[0]",
        "may send end",
    ),
    # budgets
    ({"budget": 60}, "budget", "must be an object"),
    (budget(turns=60), "budget.turns", "known are messages, bytes"),
    (budget(messages=0), "budget.messages", "from 1"),
    (budget(messages=True), "budget.messages", "whole number"),
    (budget(bytes=1.5), "budget.bytes", "whole number"),
    (budget(per_type=["note"]), "budget.per_type", "must be an object"),
    (budget(per_type={"note": -1}), "budget.per_type.note", "from 0"),
    (budget(per_type={"nots": 3}), "budget.per_type", "no type 'nots'"),
    (budget(per_member="30"), "budget.per_member", "must be an object"),
    (budget(per_member=0), "budget.per_member.messages", "from 1"),
    (budget(per_member={"lifetime_s": 9}), "budget.per_member.lifetime_s", "known are messages"),
    (budget(per_member={"per_type": {"nots": 3}}), "budget.per_member.per_type", "no type 'nots'"),
    (budget(lifetime_s=0), "budget.lifetime_s", "from 1"),
    (budget(lifetime_s=MAX_SECONDS + 1), "budget.lifetime_s", f"to {MAX_SECONDS}"),
    (budget(idle_s="2h"), "budget.idle_s", "whole number"),
    (budget(idle_s=MAX_SECONDS + 1), "budget.idle_s", f"to {MAX_SECONDS}"),
    (budget(reserve=-1), "budget.reserve.messages", "from 0"),
    (budget(reserve=True), "budget.reserve", "must be an object"),
    (budget(reserve={"bytes": -1}), "budget.reserve.bytes", "from 0"),
    (budget(reserve={"seconds": 1}), "budget.reserve.seconds", "known are messages, bytes"),
    (budget(on_budget=7), "budget.on_budget", "must be an object"),
    (budget(on_budget={"close": "x"}), "budget.on_budget.close", "known are close_as"),
    (budget(on_budget={"close_as": "a\nb"}), "budget.on_budget.close_as", "one line"),
    # the guard
    ({"guard": "off"}, "guard", "must be an object"),
    (guard(level=4), "guard.level", "known are on, notice"),
    (guard(on="yes"), "guard.on", "true or false"),
    (guard(notice="4"), "guard.notice", "must be a number"),
    (guard(notice=True), "guard.notice", "must be a number"),
    (guard(notice=0), "guard.notice", "from 1 to 12"),
    (guard(hush=12.5), "guard.hush", "from 1 to 12"),
    (guard(notice=7), "guard", "must rise"),
    (guard(hush=5), "guard", "must rise"),
    (guard(on_stall="pause"), "guard.on_stall", "notice, quiet, hush, close"),
    (guard(numbers="trust"), "guard.numbers", "progress, ignore"),
    (guard(exempt_types=["chatter"]), "guard.exempt_types", "no type 'chatter'"),
    (guard(exempt_types="note"), "guard.exempt_types", "a list"),
    (guard(exempt_roles=["reviewer"]), "guard.exempt_roles", "no role 'reviewer'"),
    (guard(words=["roger"]), "guard.words", "must be an object"),
    (guard(words={"thanks": []}), "guard.words.thanks", "known are courtesy, praise, stop"),
    (guard(words={"stop": "the"}), "guard.words.stop", "a list"),
]


@pytest.mark.parametrize(("document", "place", "reason"), BAD)
def test_a_bad_document_is_refused_with_the_place_where_it_is_wrong(
    document: Any, place: str, reason: str
):
    with pytest.raises(BadContract) as refused:
        contract_from(document)

    where = f" at {place}:" if place else ":"
    assert (refused.value.facts["place"], refused.value.code) == (place, "malformed")
    assert refused.value.detail.startswith(f"The contract is wrong{where} ")
    assert reason in refused.value.detail
    assert not refused.value.detail.endswith("..")


@pytest.mark.parametrize("levels", [40, 300, 700, 5_000])
def test_a_document_of_any_depth_is_refused_and_breaks_nothing(levels: int):
    body: dict[str, Any] = {}
    for _ in range(levels):
        body = {"items": body}

    with pytest.raises(BadContract):
        contract_from(typed(body=body))


def test_the_first_mistake_is_told():
    with pytest.raises(BadContract) as refused:
        contract_from({**guard(on=1), **budget(messages=0), **role(max=0)})

    assert refused.value.facts["place"] == "roles.author.max"


# ---- what is understood -------------------------------------------------------------------------


def test_an_empty_document_is_a_room_without_rules():
    it = contract_from({})

    assert (it.template, it.about, it.roles, it.types, it.terminal) == ("custom", "", {}, {}, ())
    assert (it.outcome_order, it.good, it.bad) == ((), (), ())
    assert it.budget.room == it.budget.member == Allowance()
    assert (it.budget.reserve_messages, it.budget.reserve_bytes) == (2, 16 * 1024)
    assert (it.guard.on, it.guard.on_stall, it.guard.thresholds.notice) == (True, "hush", 4)


SNAKES = {
    "outcome_order": ["no"],
    "types": {"reportIt": {"body": {"type": "string"}}},
    "terminal": [{"type": "reportIt", "outcome_from": "theWord", "conclusion_from": "why"}],
    "budget": {
        "per_type": {"reportIt": 3},
        "per_member": {"per_type": {"reportIt": 2}},
        "lifetime_s": 60,
        "idle_s": 6,
        "on_budget": {"close_as": "late"},
    },
    "guard": {"on_stall": "close", "exempt_types": ["reportIt"]},
}
CAMELS = {
    "outcomeOrder": ["no"],
    "types": {"reportIt": {"schema": {"type": "string"}}},
    "terminal": [{"type": "reportIt", "outcomeFrom": "theWord", "conclusionFrom": "why"}],
    "budget": {
        "perType": {"reportIt": 3},
        "perMember": {"perType": {"reportIt": 2}},
        "lifetimeS": 60,
        "idleS": 6,
        "onBudget": {"closeAs": "late"},
    },
    "guard": {"onStall": "close", "exemptTypes": ["reportIt"]},
}


def test_camel_case_names_the_same_fields_and_leaves_other_names_alone():
    snakes, camels = contract_from(SNAKES), contract_from(CAMELS)

    assert camels.budget == snakes.budget
    assert camels.guard == snakes.guard
    assert camels.terminal == snakes.terminal
    assert camels.types == snakes.types
    assert camels.budget.room.per_type == {"reportIt": 3}
    assert camels.terminal[0].outcome_from == "theWord"


@pytest.mark.parametrize("may", [None, "*", ["*"]])
def test_a_role_may_send_everything_unless_it_says_what(may: Any):
    roles = contract_from({"roles": {"a": {"may": may}, "b": {"may": []}, "c": {}}}).roles

    assert [roles[name].allows("note") for name in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    ("who", "understood"),
    [
        ("anyone", ()),
        ("human", ("human",)),
        (["Rex", "human"], ("rex", "human")),
        (["anyone", "rex"], ()),
        ([], ()),
    ],
)
def test_who_may_take_a_role_is_a_name_or_several_or_anyone(who: Any, understood: tuple[str, ...]):
    assert contract_from(role(who=who)).roles["author"].who == understood


def test_what_is_one_may_be_written_without_a_list():
    it = contract_from(
        {
            "roles": A,
            "types": {"ask": {"expects": "answer"}},
            "terminal": [{"type": "ask", "by": "author"}],
        }
    )

    assert it.types["ask"].expects == ("answer",)
    assert it.terminal[0].by == ("author",)
    assert it.terminal[0].need is Need.ANY


def test_a_number_is_a_limit_of_messages_and_null_is_no_limit():
    it = contract_from(
        budget(messages=None, per_member=30, reserve=4, per_type={"note": None, "ack": 0})
    ).budget

    assert it.room == Allowance(per_type={"ack": 0})
    assert it.member == Allowance(messages=30)
    assert (it.reserve_messages, it.reserve_bytes) == (4, RESERVE_BYTES)


def test_the_reserve_may_be_nothing():
    it = contract_from(budget(reserve={"bytes": 0})).budget

    assert (it.reserve_messages, it.reserve_bytes) == (RESERVE_MESSAGES, 0)
    assert contract_from(budget(reserve=0)).budget.reserve_messages == 0


@pytest.mark.parametrize("end", ["late", {"close_as": "late"}])
def test_how_a_spent_budget_ends_the_room_is_a_text_or_an_object(end: Any):
    assert contract_from(budget(on_budget=end)).budget.outcome == "late"


@pytest.mark.parametrize("seconds", [1, MAX_SECONDS])
def test_every_time_that_is_taken_can_be_reckoned_with(seconds: int):
    it = contract_from(budget(lifetime_s=seconds, idle_s=seconds)).budget

    assert (it.lifetime_s, it.idle_s) == (seconds, seconds)


def test_a_guard_is_switched_off_by_a_word():
    assert not contract_from({"guard": False}).guard.on
    assert contract_from({"guard": True}).guard.on


def test_thresholds_may_be_equal_and_each_stands_for_itself():
    it = contract_from(guard(notice=6, hush=6)).guard.thresholds

    assert (it.notice, it.quiet, it.hush) == (6, 6, 6)


def test_exempt_types_come_on_top_of_those_that_always_are():
    it = contract_from(guard(exempt_types=["note"]))

    assert it.is_exempt("note", None)
    assert it.is_exempt("heartbeat", None)
    assert not it.is_exempt("question", None)


def test_a_type_that_ends_the_room_needs_no_declaration():
    it = contract_from({"roles": {"a": {"may": ["done"]}}, "terminal": [{"type": "done"}]})

    assert it.terminal_types == ("done",)
    assert it.roles["a"].may == ("done",)


def test_an_example_that_is_given_is_kept():
    body = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    it = contract_from(typed(body=body, example={"n": 7, "why": "seen"}))

    assert it.types["report"].example == {"n": 7, "why": "seen"}


def test_an_example_is_made_where_none_is_given():
    body = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}

    assert contract_from(typed(body=body)).types["report"].example == {"n": 0}


@pytest.mark.parametrize(
    ("wakes", "rule"),
    [
        ("members", Wakes.SMALL_ROOM),
        ("nobody", Wakes.NOBODY),
        ("author", Wakes.AUTHOR),
        ("all", Wakes.ALL),
    ],
)
def test_whom_a_type_wakes_is_one_word(wakes: str, rule: Wakes):
    it = contract_from(typed(wakes=wakes))

    assert it.wake_rule("report", "agent") is rule
    assert it.wake_rule("report", "human") is Wakes.ALL


def test_the_body_of_a_built_in_type_can_be_described():
    for type in BUILT_IN_TYPES:
        it = contract_from({"types": {type: {"body": {"type": "object"}}}})

        assert it.has_body_rule(type)


def test_two_spellings_of_one_document_are_one_contract():
    it = contract_from({"outcomeOrder": ["a"], "roles": {"x": {"min": 1}}})

    assert it == contract_from(it.document)
    assert it == contract_from({"outcome_order": ["a"], "roles": {"x": {"min": 1}}})
    assert it != contract_from({"outcome_order": ["b"], "roles": {"x": {"min": 1}}})
