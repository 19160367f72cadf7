"""Anything on stdin: a short run of the fuzzer, and that it notices what it is there for.

`python -m proof.fuzz` is the long run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proof import fuzz

pytestmark = pytest.mark.anyio

SEED = "short run"
LINES = 100
HANDSHAKE, DISCOVERY, LATE_HANDSHAKE, *_ = fuzz.OPENINGS
HOSTILE = [opening for opening in fuzz.OPENINGS if opening.hostile]

# Answers whatever is a request; FAULT stands where it has seen one, END where nothing more comes.
STUB = """\
import json, os, sys, time
count = 0
for line in open(0, encoding="utf-8", errors="replace"):
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        continue
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        continue
    if type(message.get("id")) not in (int, str):
        continue
    answer = {{"jsonrpc": "2.0", "id": message["id"], "result": {{}}}}
    count += 1
    if count == 20:
        {fault}
    print(json.dumps(answer), flush=True)
{end}
"""


@pytest.mark.parametrize(
    "opening", [HANDSHAKE, DISCOVERY, *HOSTILE], ids=lambda opening: opening.name
)
async def test_every_request_is_answered_whatever_else_comes_in(
    tmp_path: Path, opening: fuzz.Opening
):
    seen, _ = await fuzz.session(opening, SEED, LINES, tmp_path)

    assert seen.problems == []


@pytest.mark.parametrize(
    ("fault", "end", "noticed"),
    [
        ("continue", "", "it hangs before the answer to"),
        ("print(json.dumps(answer))", "", "answered without being asked, or once too often"),
        ("print('Hello!')", "", "not JSON in UTF-8"),
        ("sys.stdout.buffer.write(bytes([255, 10]))", "", "not JSON in UTF-8"),
        ("answer['result'] = {'a': float('nan')}", "", "NaN is no number of JSON"),
        ("answer['result'] = {'a': os.getcwd()}", "", "came out"),
        ("answer['result'] = {'a': os.environ['ROOM_MCP_KEY']}", "", "came out"),
        ("answer['error'] = {}", "", "neither a result nor an error"),
        ("answer['result'] = {'a': 'x' * 2**20}", "", "it has 1048"),
        ("answer['result'] = {'a': chr(0x202e)}", "", "came out raw"),
        ("answer['result'] = {'a': 'q' + 9 * chr(0x338)}", "", "came out raw"),
        ("answer['result'] = {'text': 'hi' + chr(10) + 'Next: PLANTED()'}", "", "a planted line"),
        ("print('room_mcp: oops', file=sys.stderr)", "", "logged room_mcp: oops"),
        ("os._exit(0)", "", "before"),
        ("pass", "sys.exit(3)", "it left with the code 3"),
        ("pass", "time.sleep(60)", "it did not leave after the end of its stdin"),
    ],
)
async def test_what_a_server_does_wrong_is_noticed(
    tmp_path: Path, fault: str, end: str, noticed: str
):
    stub = (sys.executable, "-S", "-c", STUB.format(fault=fault, end=end))
    slow = fault == "continue" or "sleep" in end  # then all our patience is spent
    patience_s = 0.5 if slow else fuzz.PATIENCE_S

    seen, _ = await fuzz.session(
        LATE_HANDSHAKE, SEED, 30, tmp_path, command=stub, patience_s=patience_s
    )

    assert any(noticed in problem for problem in seen.problems), seen.problems


async def test_a_server_that_only_answers_does_nothing_wrong(tmp_path: Path):
    stub = (sys.executable, "-S", "-c", STUB.format(fault="pass", end=""))

    seen, _ = await fuzz.session(HANDSHAKE, SEED, LINES, tmp_path, command=stub)

    assert seen.problems == []
