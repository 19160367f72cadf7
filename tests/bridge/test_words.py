"""The small words: how much fits, how long ago, whom it went to, and what is known of hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from o200k import tokens

from room_mcp import wire
from room_mcp.bridge import hosts, replies
from room_mcp.failures import BackendRefused

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

# Seconds after which a host gives up on a tool, as measured or documented; 60 for all others.
GIVES_UP_AFTER_S = {
    "claude-code": 120,  # then the call goes on in the background
    "codex-mcp-client": 300,
    "copilot-cli": 180,
    "gemini-cli-mcp-client": 600,
}
SHORTEST_S = 60

texts = st.text(max_size=400)
lines = st.lists(texts, max_size=20)


# ---- how much fits -----------------------------------------------------------------------------


@given(lines, st.integers(1, 500))
def test_what_fits_is_a_beginning_within_the_limit_or_one_line(of: list[str], limit: int):
    count = replies.fitting(of, limit)

    assert count <= len(of)
    assert count >= min(1, len(of))
    assert count == 1 or sum(replies.tokens(one) + 1 for one in of[:count]) <= limit


@given(lines, st.integers(1, 500))
def test_one_line_more_would_not_fit(of: list[str], limit: int):
    count = replies.fitting(of, limit)

    rest = sum(replies.tokens(one) + 1 for one in of[: count + 1])
    assert count == len(of) or rest > limit


@given(st.text(max_size=5_000), st.integers(1, 500))
def test_a_cut_text_is_its_beginning_and_the_call_for_all_of_it(text: str, limit: int):
    shown = replies.cut(text, limit, "api-review", 7)

    beginning = shown.partition(" … (")[0]
    assert text.startswith(beginning) or shown == text
    assert shown == text or 'read_history(room="api-review", after=6, before=8' in shown
    assert shown == text or replies.tokens(beginning) <= max(limit, 40)


@pytest.mark.parametrize(
    "text",
    [
        "Line 40 never checks whether the token has expired.",
        "Строка 40 не проверяет срок действия токена.",
        "第40行从不检查令牌是否过期。",
        '{"ref":"PR 12","issues":[{"line":40,"severity":"high"}]}',
    ],
)
def test_tokens_are_rather_counted_too_many_than_too_few(text: str):
    assert replies.tokens(text) >= tokens(text) * 0.8


# ---- how long ago ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (3_600, "1h"),
        (86_399, "23h"),
        (86_400, "1d"),
        (400 * 86_400, "400d"),
    ],
)
def test_an_age_is_shown_in_its_largest_unit(seconds: float, shown: str):
    at = NOON - timedelta(seconds=seconds)

    assert replies.age(at.isoformat(timespec="milliseconds"), NOON) == shown


@pytest.mark.parametrize("timestamp", ["", "yesterday", "2026-01-01T12:00:00"])
def test_a_time_that_is_none_has_no_age(timestamp: str):
    assert replies.age(timestamp, NOON) == "?"


# ---- whom it went to ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "to", "wakes", "waiting", "shown"),
    [
        ("ack", [], [], [], "; it wakes nobody."),
        ("note", [], [], [], "; nobody is here to be woken yet."),
        ("note", ["carol"], [], [], "; it wakes nobody here."),
        ("note", [], ["bob"], [], " to bob."),
        ("note", [], ["bob"], ["bob"], " to bob, who is waiting."),
        ("note", [], ["bob", "carol"], ["bob"], " to bob, carol; waiting now: bob."),
    ],
)
def test_the_answer_to_a_message_says_whom_it_wakes(
    type: str, to: list[str], wakes: list[str], waiting: list[str], shown: str
):
    posted = wire.Posted.model_construct(type=type, to=to, wakes=wakes, waiting=waiting)

    assert replies.to_whom(posted) == shown


@given(st.lists(st.sampled_from(["ann", "bob", "carol"]), max_size=30))
def test_many_names_are_the_first_few_and_a_number(names: list[str]):
    shown = replies.some(names)

    assert shown.count(",") < replies.SHOWN_NAMES
    assert ("more" in shown) == (len(names) > replies.SHOWN_NAMES)


# ---- hosts -------------------------------------------------------------------------------------

KNOWN = sorted(hosts._table()["hosts"])


@pytest.mark.parametrize("client_name", KNOWN)
def test_a_known_host_has_a_short_name_and_a_wait_that_it_survives(client_name: str):
    known = hosts.host(client_name)

    assert known.name
    assert len(known.name) <= 10
    assert known.max_wait_s < GIVES_UP_AFTER_S.get(client_name, SHORTEST_S)


def test_an_unknown_host_gets_the_wait_that_all_survive():
    assert hosts.host("brand-new-host").max_wait_s < SHORTEST_S


@pytest.mark.parametrize(
    ("client_name", "name"),
    [
        ("", "agent"),
        ("mcp", "mcp"),
        ("My Own Agent/2.0", "my-own-agent-2-0"),
        ("Claude-Code", "claude"),
        ("日本", "agent"),
        ("x" * 100, "x" * 20),
    ],
)
def test_every_host_gets_a_name_that_a_room_takes(client_name: str, name: str):
    assert hosts.host(client_name).name == name


# ---- what cannot be reached ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "store_busy",
            "The rooms cannot be reached now. Try again later; if it lasts, tell your user: Nobody "
            "answers.",
        ),
        (
            "store_unavailable",
            "The rooms cannot be reached now. Tell your user: Nobody answers. See that it runs.",
        ),
    ],
)
def test_what_an_operator_has_to_do_is_for_the_user(code: str, words: str):
    facts = {"code": code, "detail": "Nobody answers.", "advice": "See that it runs."}

    told = replies.refusal(BackendRefused(503, facts), "list_rooms", "", "")

    assert told == words
