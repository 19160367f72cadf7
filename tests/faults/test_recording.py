"""A recording keeps what posters and readers saw, also when their process is gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from faults.recording import Call, NotKnown, Recording, Refused, Told, post, read

pytestmark = pytest.mark.anyio

CALL = Call("room", "ann", "k1", "hello")


class AnsweringDoor:
    """Answers in turn: a number, a page, or what is raised."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    async def post(self, call: Call) -> int:
        return self._next()

    async def read(self, room: str, after: int, *, wait_s: float = 0) -> Sequence[tuple[int, str]]:
        return self._next()

    def _next(self):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_retry_keeps_the_time_of_the_first_try():
    lines: list[str] = []
    recording = Recording(lines.append)

    told = await post(AnsweringDoor(NotKnown(), NotKnown(), 7), recording, CALL)

    (posting,) = recording.history().postings
    assert told == Told(7)
    assert recording.retried == 1
    assert f'["try",{posting.invoked!r},"room","ann","k1","hello",false]\n' == lines[0]
    assert posting.answered is not None
    assert posting.answered > posting.invoked


async def test_a_refusal_ends_the_tries():
    recording = Recording()

    told = await post(AnsweringDoor(Refused("room_closed")), recording, CALL)

    (posting,) = recording.history().postings
    assert told == Told(refused="room_closed")
    assert (posting.seq, posting.refused) == (None, "room_closed")
    assert recording.unknown() == []


async def test_whoever_gives_up_leaves_an_unknown_outcome():
    recording = Recording()

    told = await post(AnsweringDoor(NotKnown()), recording, CALL, give_up_s=-1)

    (posting,) = recording.history().postings
    assert told == Told()
    assert (posting.seq, posting.refused, posting.answered) == (None, "", None)
    assert recording.unknown() == [CALL]


async def test_a_key_that_was_answered_in_two_ways_is_recorded_in_both():
    recording = Recording()
    await post(AnsweringDoor(7), recording, CALL)
    await post(AnsweringDoor(8), recording, CALL)
    await post(AnsweringDoor(Refused("room_closed")), recording, CALL)

    told = [(posting.seq, posting.refused) for posting in recording.history().postings]

    assert told == [(7, ""), (8, ""), (None, "room_closed")]


async def test_a_page_is_recorded_once_it_came():
    recording = Recording()

    await read(AnsweringDoor(NotKnown(), [(4, "x"), (5, "y")]), recording, "room", "eve", 3)

    (reading,) = recording.history().readings
    assert (reading.after, reading.seqs, reading.texts) == (3, (4, 5), ("x", "y"))
    assert reading.end == 5


async def test_what_was_written_down_gives_the_same_history():
    lines: list[str] = []
    recording = Recording(lines.append)
    await post(AnsweringDoor(NotKnown(), 1), recording, CALL)
    await post(AnsweringDoor(Refused("muted")), recording, CALL._replace(key="k2", text="näh"))
    await post(AnsweringDoor(NotKnown()), recording, CALL._replace(key="k3"), give_up_s=-1)
    await read(AnsweringDoor([(1, "hello")]), recording, "room", "eve", 0)

    copy = Recording()
    kinds = [copy.add_line(line) for line in lines]

    assert kinds == ["try", "try", "ack", "try", "no", "try", "read"]
    assert copy.history() == recording.history()


def test_a_line_of_something_else_is_an_error():
    with pytest.raises(ValueError, match="not a line of a recording"):
        Recording().add_line('["hello"]')
