"""Schemathesis against /openapi.json of a real server: what it describes is what it does.

python -m proof.rest_fuzz [--cases N] [--seed SEED]

Every call is tried with values that fit its description and with values that do not, alone and in
sequences that follow the description's links. Something is wrong when an answer is a 5xx, or not
what the description says, when a call that fits is refused or one that does not fit is taken.
Streams never end, so that they are read by a loop of our own (`rest_streams.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2
import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.engine import events, from_schema
from schemathesis.hooks import unregister
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedContentType, UseAfterFree

from .ground import ROOM_MCP, Report, a_home, a_server, env_of
from .rest_feed import NAMES, TEMPLATES, Feed
from .rest_streams import STREAM, fuzz_streams

CASES = 20_000
TIMEOUT_S = 10.0  # for one answer; a case never waits for anything
PUBLIC = {"GET /healthz", "GET /readyz", "POST /agent/invitations/redeem"}
# Rates are proved elsewhere; here they would answer for every other call.
NO_LIMITS = {f"ROOM_MCP_{what}": "0" for what in ("POSTS_PER_S", "READS_PER_S", "WAITS", "ROOMS")}
# As `room-mcp`, without the one rate that no setting lifts: of rooms that are opened.
GENEROUS = """\
import sys
from datetime import timedelta
from room_mcp.backend import limiting
limiting._A_FEW = limiting.Rate(10**6, timedelta(microseconds=1))
from room_mcp.cli import main
sys.exit(main())
"""
STATEFUL_REFUSALS = (401, 403, 404, 409, 412, 414, 422, 429)
MOST_SHOWN = 20  # different problems
NOT_HTTP = b"Invalid HTTP request received."
MOST_TOLD = 500  # bytes of an answer
MIN_REACHED = 0.6  # of the calls in rooms have to get past 404, else nothing was tried


@dataclass(frozen=True)
class Size:
    """How much is tried on one server: examples of each call, and sequences of calls."""

    examples: int
    sequences: int
    streams: int
    coverage: bool = True  # each bound of each value, one after the other
    only: str = ""  # a pattern of the paths that are tried


ROUND = Size(examples=75, sequences=250, streams=200)
FEW = Size(examples=2, sequences=2, streams=6)
SHORT = Size(examples=6, sequences=10, streams=20, coverage=False)


@dataclass(frozen=True)
class Door:
    """How the server lets callers in, and what ours shows."""

    name: str
    serve: Sequence[str] = ()
    key: Sequence[str] = ()  # the words of `keys create` by which the caller has a key
    names: Sequence[str] = NAMES  # as whom he may speak
    command: Sequence[str] = ROOM_MCP
    size: Size = ROUND
    never_done: Collection[str] = ()  # calls that nobody may do who comes in by this door

    @property
    def is_shut(self) -> bool:
        """Whether whoever comes by it may do nothing but what needs no key on any server."""
        return "--require-key" in self.serve and not self.key

    def headers(self, env: Mapping[str, str]) -> dict[str, str]:
        """What the caller shows; his key is made now, on the machine of the server."""
        if not self.key:
            return {}
        command = [*ROOM_MCP, "keys", "create", *self.key]
        made = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return {"Authorization": f"Bearer {made.stdout.strip()}"}


_ADMINS = (
    "GET /agent/audit",
    "GET /agent/keys",
    "POST /agent/keys",
    "POST /agent/keys/{key}/revoke",
    "POST /agent/invitations",
    "POST /agent/invitations/redeem",  # which needs a code that an admin has made
)
# A person is known by his key, and so is an admin. The audit of a room is its owner's.
DOORS = (
    Door("open", never_done=("POST /agent/rooms/{id}/reopen", *_ADMINS)),
    Door(
        "with a key",
        command=(sys.executable, "-c", GENEROUS),
        serve=("--require-key",),
        key=("ann", "--admin", "--human"),
        names=("ann", "ann/claude", "ann/codex"),
        # All rooms are his, and nobody knocks at his own door.
        never_done=("POST /agent/rooms/{id}/admit", "POST /agent/rooms/{id}/decline"),
    ),
    Door("without a key", serve=("--require-key",), size=FEW),
)


# ---- what a schema cannot say -------------------------------------------------------------------


class Rule(NamedTuple):
    """A law by which a call is refused as malformed though it fits its schema."""

    detail: str  # a pattern of what the refusal says
    why: str
    calls: tuple[str, ...]  # where it holds; a pattern of operations


_ROOMS = "/(agent|api)/rooms"
_ROOM = _ROOMS + r"/\{id\}"
_WRITE = f"POST {_ROOM}/"
_NAMED = (_WRITE + r"(join|leave|heartbeat|messages|close|pause|resume|reopen|rename)",)
_POSTS = (_WRITE + "messages",)
_CREATES = (rf"POST {_ROOMS}",)
_KEYS = ("POST /agent/(keys|invitations)",)
DOORS_WITH_SOMEBODY = 8  # rooms; each knock can be decided once
_DECIDES = (_WRITE + "(admit|decline|mute|remove)",)
RULES = (
    Rule(
        r"^The name '.*' is reserved\.$",
        "Names of the room itself and names that look like them are no agent's.",
        (*_NAMED, *_CREATES, *_KEYS, *_DECIDES),
    ),
    Rule(
        r"^A room's name is one line of",
        "It is counted without the blanks around it, and may hold nothing invisible.",
        (*_CREATES, _WRITE + "rename", "POST /agent/demo/room"),
    ),
    Rule(
        r"^The sender is missing\.$",
        "A key alone may say who asks, when it is a member's.",
        (_WRITE + "heartbeat",),
    ),
    Rule(
        r"^There is no template ",
        "Templates are files that come and go.",
        _CREATES,
    ),
    Rule(
        r"^The contract is wrong",
        "A contract has a schema of its own, and laws across its parts.",
        (*_CREATES, _WRITE + "settings"),
    ),
    Rule(
        r"^An integer is beyond 2\^53\.$",
        "Readers of JSON lose digits of it; an open object may hold one anywhere.",
        (*_POSTS, _WRITE + "messages/batch", *_CREATES, _WRITE + "settings"),
    ),
    Rule(
        r"^There is no role |^This room has no roles",
        "Each room has roles of its own.",
        (_WRITE + "join",),
    ),
    Rule(
        r"^A type is one word of at most",
        "The generator takes \\p{C} for the control characters alone.",
        (*_POSTS, _WRITE + "messages/batch"),
    ),
    Rule(
        r"^expiresAt and expiresInS exclude each other\.$",
        "Each of them may stand alone, which a schema would need two bodies for.",
        ("POST /agent/keys",),
    ),
    Rule(
        r"^The key would end before it begins",
        "A time to come is one by the server's clock.",
        ("POST /agent/keys",),
    ),
    Rule(r"^There is no #\d+ to reply to", "A reply is to a message that is there.", _POSTS),
    Rule(r"names its receiver\.$", "The room has to know whose turn it becomes.", _POSTS),
    Rule(r"^The type is '.*', and inside", "A body may carry its type, and just that.", _POSTS),
    Rule(r"^Only the room itself sends", "Its words have to be told from those of others.", _POSTS),
    Rule(r"^idempotencyKey and the Idempotency-Key", "They are two places for one thing.", _POSTS),
    Rule(
        r"^`since` is no message id of this room",
        "An id is one only in the room of its message.",
        (rf"GET {_ROOM}/(messages|history)",),
    ),
)


def is_a_rule(case: Case, response: Response) -> bool:
    """Whether a refusal is by one of the laws that the description cannot hold."""
    if response.status_code != 400:
        return False
    detail = json.loads(response.content)["detail"]
    return any(
        re.search(rule.detail, detail)
        and any(re.fullmatch(call, case.operation.label) for call in rule.calls)
        for rule in RULES
    )


# ---- one round ----------------------------------------------------------------------------------


@dataclass
class Seen:
    """What came of the calls so far."""

    statuses: dict[str, Counter[int]] = field(
        default_factory=lambda: defaultdict[str, Counter[int]](Counter)
    )
    problems: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    @property
    def cases(self) -> int:
        return sum(sum(one.values()) for one in self.statuses.values())

    def wrong(self, operation: str, what: str, how: str) -> None:
        self.problems.setdefault((operation, what), how)


def configuration(size: Size, seed: int, headers: Mapping[str, str]) -> SchemathesisConfig:
    generation = {"database": "none", "no-shrink": True, "allow-x00": False}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": dict(headers),
            "continue-on-failure": True,
            "request-timeout": TIMEOUT_S,
            "generation": {**generation, "max-examples": size.examples},
            "phases": {
                "coverage": {"enabled": size.coverage},
                "stateful": {
                    "enabled": size.sequences > 0,
                    "generation": {**generation, "max-examples": max(size.sequences, 1)},
                },
            },
            "checks": {
                # A message may be well formed and still come too late or break the room's contract.
                # Each value may have its length, and all of them together be too long for a URL.
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", *(str(status) for status in STATEFUL_REFUSALS)]
                },
                "negative_data_rejection": {
                    "expected-statuses": ["4xx", "5xx"],  # a 5xx is wrong by a check of its own
                },
            },
            "operations": [
                {"include-path-regex": STREAM, "enabled": False},
                {"exclude-path-regex": size.only, "enabled": False},
            ],
        }
    )


@contextlib.contextmanager
def hooked(feed: Feed, seen: Seen) -> Iterator[None]:
    """Feeds each case before it is sent, and takes down what was answered."""

    def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
        feed.give(case)

    def after_call(context: HookContext, case: Case, response: Response) -> None:
        seen.statuses[case.operation.label][response.status_code] += 1
        if 200 <= response.status_code < 300:
            feed.learn_from(case, response)

    def filter_failure(
        context: HookContext, failure: Failure, case: Case, response: Response
    ) -> bool:
        match failure:
            case RejectedPositiveData():
                return not is_a_rule(case, response)
            case AcceptedNegativeData() if case.operation.label.endswith("/batch"):
                # A message that is none is refused alone, by a result of its own.
                return all(one["status"] != 400 for one in json.loads(response.content)["results"])
            case UseAfterFree() if failure.free.endswith("/messages"):
                return False  # it takes the texts out of a room, which stays, and so do its seqs
            case UndefinedContentType():
                # The URL was too long for the HTTP parser, in front of every call.
                return response.content != NOT_HTTP
            case _:
                return True

    hooks = (before_call, after_call, filter_failure)
    for hook in hooks:
        schemathesis.hook(hook)
    try:
        yield
    finally:
        for hook in hooks:
            unregister(hook)


def served(door: Door, size: Size, seed: int, seen: Seen) -> None:
    """Try every call of a server of its own."""
    with a_home() as home:
        env = {**env_of(home), **NO_LIMITS}
        headers = door.headers(env)
        with a_server(["serve", "--port", "0", *door.serve], env, door.command) as url:
            fuzz(url, door, headers, size, seed, seen)


def fuzz(
    url: str, door: Door, headers: Mapping[str, str], size: Size, seed: int, seen: Seen
) -> None:
    """Try every call of a server that runs."""
    feed = Feed(seed, door.names)
    with httpx2.Client(base_url=url, headers=dict(headers)) as http:
        if not door.is_shut:
            furnish(http, feed)
        schema = schemathesis.openapi.from_dict(
            http.get("/openapi.json").json(),
            config=configuration(size, seed, headers),
        )
        schema.config.update(base_url=url)
        with hooked(feed, seen):
            for event in from_schema(schema).execute():
                _note(event, seen)
        fuzz_streams(http, schema.raw_schema, feed, size.streams, seen)


def furnish(http: httpx2.Client, feed: Feed) -> None:
    """Rooms with members to begin with, and some with somebody at the door."""
    rooms = [{"template": template} for template in TEMPLATES]
    for fields in (*rooms, *[{"access": "approval"}] * DOORS_WITH_SOMEBODY):
        made = http.post("/agent/rooms", json={"name": "furnished", **fields}).json()
        feed.learn("", made)
        for name in feed.names[:2]:
            join = f"/agent/rooms/{made['roomId']}/join"
            feed.learn(made["roomId"], http.post(join, json={"agentName": name}).json())


def _note(event: events.EngineEvent, seen: Seen) -> None:
    match event:
        case events.ScenarioFinished():
            for id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        label = event.recorder.cases[id].value.operation.label
                        answered = event.recorder.interactions[id].response
                        told = _told(check.failure_info, answered)
                        seen.wrong(label, check.name, told)
        case events.NonFatalError():
            seen.wrong(event.label, "error", event.info.message)
        case events.FatalError():
            raise event.exception
        case _:
            pass


def _told(info: Any, answered: Response | None) -> str:
    text = "" if answered is None else answered.content[:MOST_TOLD].decode(errors="replace")
    return f"{info.failure.title}: {info.failure.message}\n{info.code_sample}\n{text}"


# ---- all of it ----------------------------------------------------------------------------------


def run(cases: int, seed: int) -> int:
    report = Report(f"calls of anything over REST, --cases {cases} --seed {seed}")
    for door in DOORS:
        seen = Seen()
        for number in range(cases):
            if seen.cases >= cases / len(DOORS) or (door.is_shut and seen.cases):
                break
            served(door, door.size, seed + number, seen)
        judge(report, door, seen)
    return report.end()


def judge(report: Report, door: Door, seen: Seen) -> None:
    """Say what was seen, and what of it is wrong."""
    for operation, statuses in sorted(seen.statuses.items()):
        print(f"         {operation:<40} {dict(sorted(statuses.items()))}")
    for (operation, what), how in list(seen.problems.items())[:MOST_SHOWN]:
        report.fail(f"{door.name}: {operation}: {what}", how)
    report.check(not seen.problems, f"{door.name}: {seen.cases} calls, each answered as described")
    if door.is_shut:
        done = doable(seen)
        report.check(done <= PUBLIC, f"{door.name}: only public calls succeeded", str(done))
        return
    never = undone(door, seen)
    report.check(not never, f"{door.name}: every call succeeded at least once", ", ".join(never))
    reached = share_reached(seen)
    report.check(
        reached >= MIN_REACHED, f"{door.name}: {reached:.0%} of the calls in rooms reached one"
    )


def undone(door: Door, seen: Seen) -> list[str]:
    """The calls that never succeeded, though they could."""
    return sorted(seen.statuses.keys() - doable(seen) - set(door.never_done))


def doable(seen: Seen) -> set[str]:
    """The calls that succeeded at least once."""
    calls = seen.statuses.items()
    return {call for call, statuses in calls if any(200 <= status < 300 for status in statuses)}


def share_reached(seen: Seen) -> float:
    """How many of the calls in rooms that were calls at all got past 404."""
    statuses = sum((s for name, s in seen.statuses.items() if "{id}" in name), Counter[int]())
    calls = statuses.total() - statuses[405]
    return 1 - statuses[404] / calls if calls else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.rest_fuzz")
    parser.add_argument("--cases", type=int, default=CASES, help="how many, at least")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    given = parser.parse_args(arguments)
    seed = random.randrange(10**9) if given.seed is None else given.seed
    return run(given.cases, seed)


if __name__ == "__main__":
    sys.exit(main())
