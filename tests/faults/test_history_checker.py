"""The history checker finds every kind of wrong, and nothing in what is right.

Histories made by chance are in `test_history_chances.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faults.history import NOTICE, History, Kept, Posting, Reading

ENDED = NOTICE + "it has ended"


def says(seq: int | None, at: float, text: str = "", **fields: Any) -> Posting:
    """A posting from `at` on, which takes one second; its text is its number in words."""
    text = text or f"text {seq}"
    said = Posting("room", "ann", f"key of {text}", text, at, at + 1, seq)
    return replace(said, **fields)


def reads(after: int, *seqs: int, at: float, **fields: Any) -> Reading:
    texts = tuple(f"text {seq}" for seq in seqs)
    return replace(Reading("room", "eve", after, at, at + 1, seqs, texts), **fields)


def keeps(*texts: str, **fields: Any) -> Kept:
    return replace(Kept("room", tuple(enumerate(texts, 1))), **fields)


def talk(count: int, **fields: Any) -> History:
    """Postings one after the other, from second 10 on, and what is kept of them."""
    postings = [says(seq, 10.0 * seq) for seq in range(1, count + 1)]
    kept = keeps(*(f"text {seq}" for seq in range(1, count + 1)), **fields)
    return History(postings, [], [kept])


def ended(count: int) -> History:
    """A talk whose last message ended the room."""
    history = talk(count, closed_seq=count)
    history.postings[-1] = replace(history.postings[-1], ends=True)
    texts = [text for _, text in history.kept[0].messages]
    history.kept[0] = keeps(*texts, ENDED, closed_seq=count)
    return history


def finding(history: History) -> str:
    """The only one there is."""
    (found,) = history.findings()
    return found


# ---- what is right ------------------------------------------------------------------------------


def test_a_talk_in_order_is_right():
    history = talk(3)
    history.readings = [reads(0, 1, 2, at=21), reads(2, 3, at=31), reads(3, at=40)]

    assert history.findings() == []


@pytest.mark.parametrize("texts", [("text 1", "text 2"), ("text 2", "text 1")])
def test_postings_at_the_same_time_may_come_in_either_order(texts: tuple[str, str]):
    postings = [says(seq, 10, text) for seq, text in enumerate(texts, 1)]

    assert History(postings, [], [keeps(*texts)]).findings() == []


def test_what_nobody_was_told_of_may_be_kept_or_not():
    history = talk(2)
    history.postings += [says(None, 11, "text 3", answered=None), says(None, 11, "text 4")]
    history.kept = [keeps("text 1", "text 2", "text 3")]

    assert history.findings() == []


def test_a_retry_whose_first_try_succeeded_keeps_the_number_of_the_first():
    history = talk(3)
    history.postings[0] = replace(history.postings[0], answered=90)

    assert history.findings() == []


def test_a_room_may_end_and_refuse_what_comes_then():
    history = ended(2)
    history.postings.append(says(None, 30, "late", refused="room_closed"))
    history.readings.append(reads(1, 2, 3, at=40, texts=("text 2", ENDED)))

    assert history.findings() == []


def test_the_rooms_own_notice_may_be_its_end():
    text = NOTICE + "closed by its owner"
    history = talk(1)
    history.postings.append(says(2, 20, text, ends=True))
    history.kept = [keeps("text 1", text, closed_seq=2)]

    assert history.findings() == []


def test_a_key_that_two_processes_send_is_one_message():
    history = talk(1)
    history.postings.append(says(1, 10.5))
    history.kept = [keeps("text 1", keys={("ann", "key of text 1"): 1})]

    assert history.findings() == []


# ---- messages -----------------------------------------------------------------------------------


def test_a_lost_message_is_found():
    history = talk(3)
    history.kept = [keeps("text 1", "text 2")]

    assert finding(history) == (
        "room room: 'text 3' (key key of text 3 of ann) was acknowledged as #3, but is lost"
    )


def test_a_message_with_another_text_is_found():
    history = talk(2)
    history.postings.append(says(None, 11, "other", answered=None))
    history.kept = [keeps("text 1", "other")]

    assert "acknowledged as #2, but is lost: #2 holds 'other'" in finding(history)


def test_a_message_under_another_number_is_found():
    history = talk(1)
    history.postings.append(says(None, 5, "other", answered=None))
    history.kept = [keeps("other", "text 1")]

    assert "acknowledged as #1, but is kept as #2" in finding(history)


def test_a_doubled_message_is_found():
    history = talk(2)
    history.kept = [keeps("text 1", "text 2", "text 2")]

    assert finding(history).endswith("'text 2' is kept more than once: as #2, #3")


def test_a_gap_is_found():
    history = talk(2)
    history.postings.append(says(5, 50))
    history.kept = [keeps(messages=((1, "text 1"), (2, "text 2"), (5, "text 5")))]

    assert finding(history).endswith("#3 to #4 are missing: #5 follows #2")


def test_a_number_kept_twice_is_found():
    history = talk(2)
    history.postings.append(says(None, 5, "other", answered=None))
    history.kept = [keeps(messages=((1, "text 1"), (1, "other"), (2, "text 2")))]

    assert any("#1 is kept twice" in found for found in history.findings())


def test_a_number_acknowledged_twice_is_found():
    history = talk(1)
    history.postings.append(says(1, 10, "other"))

    assert any("as #1, and so was 'text 1'" in found for found in history.findings())


def test_an_order_against_time_is_found():
    history = talk(2)
    history.postings[0] = replace(history.postings[0], invoked=30, answered=31)

    assert "was first tried when #2 was known, but became #1" in finding(history)


def test_an_order_against_time_is_found_where_nobody_was_told():
    history = History([says(2, 10), says(None, 20, "late", answered=None)])
    history.kept = [keeps("late", "text 2")]

    assert "'late' (key key of late of ann) was first tried when #2" in finding(history)


def test_a_message_that_was_read_before_it_was_sent_is_found():
    history = talk(1)
    history.readings = [reads(0, 1, at=2)]

    assert "was first tried when #1 was known, but became #1" in finding(history)


def test_a_message_that_nobody_posted_is_found():
    history = talk(1)
    history.kept = [keeps("text 1", "whose?")]

    assert finding(history).endswith("#2 holds 'whose?', which nobody posted")


def test_a_refused_message_that_is_kept_is_found():
    history = talk(1)
    history.postings.append(says(None, 20, "no", refused="budget_spent"))
    history.kept = [keeps("text 1", "no")]

    assert "was refused with budget_spent, but is kept as #2" in finding(history)


def test_a_room_that_nobody_looked_at_in_the_end_is_found():
    history = talk(1)
    history.kept = []

    assert finding(history) == "room room: nobody read what it keeps at the end"


def test_texts_that_cannot_be_told_apart_are_found():
    history = talk(1)
    history.postings.append(says(None, 10, "text 1", key="another", answered=None))

    assert "so they cannot be told apart" in finding(history)


# ---- keys ---------------------------------------------------------------------------------------


def test_a_key_that_stands_for_two_messages_is_found():
    history = talk(2)
    history.postings[1] = replace(history.postings[1], key="key of text 1")

    assert "stands for two messages: #1 'text 1' and #2 'text 2'" in finding(history)


def test_a_retry_that_was_told_another_number_is_found():
    history = talk(1)
    history.postings.append(says(2, 20, "text 1"))
    history.kept = [keeps("text 1", "text 1")]

    assert any("stands for two messages" in found for found in history.findings())


def test_a_kept_key_of_another_message_is_found():
    history = talk(2, keys={("ann", "key of text 1"): 2, ("ann", "key of text 2"): 1})

    assert ["its key stands for" in found for found in history.findings()] == [True, True]


def test_a_message_whose_key_is_not_kept_is_found():
    history = talk(2, keys={("ann", "key of text 1"): 1})

    assert "is kept as #2, but its key is not" in finding(history)


def test_two_keys_of_one_message_are_found():
    keys = {("ann", "key of text 1"): 1, ("ben", "other"): 1}

    assert "#1 is kept under two keys" in finding(talk(1, keys=keys))


# ---- the end ------------------------------------------------------------------------------------


def test_a_message_after_the_end_is_found():
    history = ended(2)
    history.postings.append(says(4, 20))
    history.kept = [keeps("text 1", "text 2", ENDED, "text 4", closed_seq=2)]

    assert finding(history).endswith("#4 'text 4' is kept after the end, which is #2")


def test_a_second_end_is_found():
    history = ended(2)
    history.postings.append(says(4, 20, ends=True))
    history.kept = [keeps("text 1", "text 2", ENDED, "text 4", closed_seq=4)]

    assert any("closed more than once: as #2, #4" in found for found in history.findings())


def test_a_second_notice_of_the_end_is_found():
    history = ended(2)
    history.kept = [keeps("text 1", "text 2", ENDED, ENDED, closed_seq=2)]

    assert "is kept after the end, which is #2" in finding(history)


def test_a_notice_after_one_that_was_the_end_is_found():
    text = NOTICE + "closed by its owner"
    history = History([says(1, 20, text, ends=True)], [], [keeps(text, ENDED, closed_seq=1)])

    assert "is kept after the end, which is #1" in finding(history)


def test_an_end_that_was_told_but_did_not_come_is_found():
    history = ended(2)
    history.kept = [keeps("text 1", "text 2")]

    assert "closed it as #2, but it is open" in finding(history)


def test_an_end_that_nobody_asked_for_is_found():
    assert "but nobody asked for its end" in finding(talk(2, closed_seq=2))


def test_an_end_that_is_not_kept_is_found():
    history = ended(2)
    history.postings[1] = replace(history.postings[1], seq=None, answered=None)
    history.kept = [keeps("text 1", closed_seq=2)]

    assert "it is closed as #2, which is not kept" in finding(history)


def test_a_refusal_before_anybody_asked_for_an_end_is_found():
    history = ended(2)
    history.postings.append(says(None, 15, "early", refused="room_closed"))

    assert "refused with room_closed before anybody asked" in "".join(history.findings())


def test_a_refusal_of_an_open_room_is_found():
    history = talk(1)
    history.postings += [
        says(None, 15, "end", answered=None, ends=True),
        says(None, 20, "late", refused="room_closed"),
    ]

    assert "was refused with room_closed, but it is open" in finding(history)


def test_a_message_accepted_after_the_end_was_told_is_found():
    history = ended(3)
    history.postings[2] = replace(history.postings[2], invoked=5, answered=None, seq=None)
    history.postings.append(says(None, 11, "no", refused="room_closed"))

    assert "'text 2' (key key of text 2 of ann) was first tried when #3" in finding(history)


# ---- readings -----------------------------------------------------------------------------------


def test_a_reading_with_a_gap_is_found():
    history = talk(3)
    history.readings = [reads(0, 1, 3, at=40)]

    assert finding(history).endswith("eve's reading after #0 shows #3 after #1")


def test_a_reading_that_begins_too_late_is_found():
    history = talk(3)
    history.readings = [reads(0, 2, 3, at=40)]

    assert finding(history).endswith("eve's reading after #0 shows #2 after #0")


def test_a_reading_with_a_doubled_message_is_found():
    history = talk(2)
    history.readings = [reads(0, 1, 1, 2, at=40)]

    assert finding(history).endswith("eve's reading after #0 shows #1 after #1")


def test_a_reading_out_of_order_is_found():
    history = talk(2)
    history.readings = [reads(0, 2, 1, at=40)]

    assert "eve's reading after #0 shows #1 after #2" in "".join(history.findings())


def test_a_stale_reading_is_found():
    history = talk(2)
    history.readings = [reads(1, at=40)]

    assert finding(history).endswith("reading after #1 is empty, although #2 was known before")


def test_a_reading_that_misses_what_another_one_showed_is_found():
    history = talk(1)
    history.postings[0] = replace(history.postings[0], answered=90)
    history.readings = [reads(0, 1, at=12), reads(0, at=20, reader="fay")]

    assert "fay's reading after #0 is empty, although #1 was known" in finding(history)


def test_a_reading_of_another_text_is_found():
    history = talk(1)
    history.readings = [reads(0, 1, at=40, texts=("other",))]

    assert finding(history).endswith("shows #1 as 'other', kept is 'text 1'")


def test_a_reading_of_what_is_not_kept_is_found():
    history = talk(1)
    history.readings = [reads(0, 1, 2, at=40)]

    assert finding(history).endswith("shows #2 'text 2', which is not kept")


def test_a_reading_across_what_is_missing_is_found():
    history = talk(1)
    history.postings.append(says(3, 50))
    history.readings = [reads(0, 1, 2, at=60, texts=("text 1", "text 3"))]
    history.kept = [keeps(messages=((1, "text 1"), (3, "text 3")))]

    assert any("shows #2 'text 3', which is not kept" in found for found in history.findings())


def test_a_reading_with_other_numbers_is_found():
    history = talk(2)
    history.readings = [reads(0, 2, at=40, texts=("text 1",))]

    assert any("shows #2 as 'text 1', kept is 'text 2'" in found for found in history.findings())


def test_a_reading_without_all_texts_is_found():
    history = talk(2)
    history.readings = [reads(0, 1, 2, at=40, texts=("text 1",))]

    assert finding(history).endswith("has 2 numbers and 1 texts")


def test_a_reader_who_skipped_something_is_found():
    history = talk(3)
    history.readings = [reads(0, 1, at=40), reads(2, 3, at=50)]

    assert finding(history).endswith("follows one that ended with #1: #2 is skipped")


def test_a_reader_who_gets_something_again_is_found():
    history = talk(2)
    history.readings = [reads(1, 2, at=50), reads(0, 1, 2, at=40)]

    assert finding(history).endswith("reading after #1 goes back: the one before it ended with #2")
