"""What two agents say to each other in one room, and what each must have been shown of it."""

from __future__ import annotations

import re
import time

from .program import ANSWER_S, Answer, Otherwise, Program, cut

TOOLS = (
    "close_room",
    "create_room",
    "join_room",
    "list_rooms",
    "read_history",
    "search_messages",
    "send_message",
    "wait_for_messages",
)
QUESTION = "Does »naïve 日本 €« reach you whole?"
ANSWER = "Yes, whole: »naïve 日本 €«."
WAIT_S = 30
BETWEEN_LOOKS_S = 0.1


def converse(room: str, asker: Program, answerer: Program) -> None:
    """A question that wakes, an answer that wakes, an end, and a word too late.

    Raises:
        Otherwise: A client was shown something else.
    """
    for one in (asker, answerer):
        if tuple(found := one.tools()) != TOOLS:
            raise Otherwise(f"{one.agent} found other tools: {cut(', '.join(found))}")

    opened = asker.call("create_room", name=room, purpose="Try each other")
    _must_show(opened, asker, "opening the room", room, asker.agent)
    joined = answerer.call("join_room", room=room)
    _must_show(joined, answerer, "joining it", room, asker.agent)

    answerer.ask("wait_for_messages", room=room, timeout_s=WAIT_S)
    _until_waiting(answerer, asker, room)
    sent = asker.call(
        "send_message", room=room, type="question", to=[answerer.agent], content=QUESTION
    )
    _must_show(sent, asker, "asking", "Sent #")
    asked = answerer.answer()
    seq = _message_of(asker, r"→ you \[question\]", asked, answerer)
    _must_show(asked, answerer, "waiting for the question", QUESTION)

    asker.ask("wait_for_messages", room=room, timeout_s=WAIT_S)
    _until_waiting(asker, answerer, room)
    replied = answerer.call("send_message", room=room, type="answer", reply_to=seq, content=ANSWER)
    _must_show(replied, answerer, "answering", "Sent #")
    answered = asker.answer()
    _message_of(answerer, rf"[^\n]*\[answer\] re #{seq}:", answered, asker)
    _must_show(answered, asker, "waiting for the answer", ANSWER)

    answerer.ask("wait_for_messages", room=room, timeout_s=WAIT_S)
    _until_waiting(answerer, asker, room)
    ended = asker.call(
        "send_message", room=room, type="review_complete", body={"verdict": "approved"}
    )
    _must_show(ended, asker, "ending it", "is closed: approved")
    _must_show(answerer.answer(), answerer, "waiting at its end", "closed: approved", asker.agent)

    late = answerer.call("send_message", room=room, content="One more thing.")
    _must_show(late, answerer, "speaking too late", f"closed: approved, by {asker.agent}")
    if late.refused is False:
        raise Otherwise(f"{answerer.agent} was not told that it was refused: {cut(late.shown)}")


def _until_waiting(waiter: Program, other: Program, room: str) -> None:
    """Return when the other sees it wait: what is sent from then on has somebody to wake."""
    until = time.monotonic() + ANSWER_S
    while time.monotonic() < until:
        seen = other.call("join_room", room=room)
        if f"{waiter.agent} (waiting now)" in seen.shown:
            return
        time.sleep(BETWEEN_LOOKS_S)
    raise Otherwise(f"{other.agent} never saw {waiter.agent} wait: {cut(seen.shown)}")


def _message_of(sender: Program, rest: str, answer: Answer, reader: Program) -> int:
    """The seq of the message of this sender that the reader was shown."""
    found = re.search(rf"#(\d+) \w+ {re.escape(sender.agent)} ?{rest}", answer.shown)
    if found is None:
        raise Otherwise(f"{reader.agent} saw no message of {sender.agent}: {cut(answer.shown)}")
    return int(found[1])


def _must_show(answer: Answer, reader: Program, step: str, *words: str) -> None:
    for one in words:
        if one not in answer.shown:
            raise Otherwise(f"{reader.agent}, {step}, saw no {one!r}: {cut(answer.shown)}")
