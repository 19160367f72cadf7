"""Work that looks like a loop: the guard must let it be.

All of it is invented here. One line is one message, "sender: text"; `|` breaks a line, and a
backslash at the end only folds it.
"""

from __future__ import annotations

import pytest

from room_mcp.rooms.guard import Memory, Verdict, features

NOTICE = 4.0


def heard(talk: str) -> list[Verdict]:
    """The verdicts on a talk, message by message."""
    memory = Memory()
    lines = [line.partition(": ") for line in talk.strip().splitlines()]
    return [memory.take(features(text.replace("|", "\n")), who) for who, _, text in lines]


WORK: dict[str, str] = {
    "polling": "\n".join(
        f"a: status of import 12?\nb: import 12: {40 * n} of 900 rows" for n in range(1, 14)
    ),
    "polite polling": "\n".join(
        "a: How far is the export, please?\n"
        f"b: {12 + 7 * n} of 100 files are written, thank you for waiting."
        for n in range(10)
    ),
    "review rounds": """
a: Please review the retry in upload/sender.py.
b: sender.py:88 sleeps while it holds the lock.
a: Thanks, fixed in 3f9a1c2, please look again.
b: Better. Line 91 swallows the timeout.
a: Good catch, fixed in 77b0e4d, please look again.
b: The test in tests/test_sender.py never fails when I break it.
a: You're right, the assertion was wrong; fixed in a01c9f3.
b: Now it fails when broken. One nit: the name of the constant.
a: Renamed to RETRY_AFTER_S, pushed 5c2d771.
b: Approved.
a: Thank you, merging.
""",
    "resent code": """
a: def area(w, h):|    return w * h
b: The function should refuse negative sides.
a: def area(w, h):|    if w < 0 or h < 0:|        raise ValueError("negative")|    return w * h
b: Please name the side in the message.
a: def area(w, h):|    for side in (w, h):|        if side < 0:|            raise \
ValueError(f"negative: {side}")|    return w * h
b: Good. Add the unit to the name.
a: def area_m2(w_m, h_m):|    for side in (w_m, h_m):|        if side < 0:|            raise \
ValueError(f"negative: {side}")|    return w_m * h_m
b: And a test for zero.
a: def test_zero():|    assert area_m2(0, 4) == 0
b: Looks right, merge it.
""",
    "negotiation": """
a: I offer the bicycle for $240.
b: Thank you, but that is too much for me. I can pay $160.
a: I understand. The gears are new, so $220 is my price.
b: I appreciate it. $175 would be fair for a used frame.
a: Agreed on fairness, not on the price: $210.
b: Could you do $185 with the lock?
a: With the lock it is $200.
b: $192 and I collect it on Friday.
a: $195, and you have a deal.
b: Deal at $195. Thank you!
a: Great, thank you!
""",
    "support call": """
user: Hello, I need to move my appointment.
desk: Of course! Could you give me your customer number?
user: Sure, it is K-20931.
desk: Thank you. I see Tuesday 14:30 with Dr. Lind. Which day suits you better?
user: Thursday afternoon would be great, thanks.
desk: Thursday 15:15 is free. Shall I book it?
user: Yes, please.
desk: Booked: Thursday 15:15, Dr. Lind. You will get a mail.
user: Perfect, thank you!
desk: You're welcome! Have a nice day.
user: You too, bye!
""",
    "coordination log": """
ann: CLAIM src/auth/login.ts, branch ann/login
ben: ACK, staying out of src/auth
cid: CLAIM src/billing/tax.ts, branch cid/tax
ann: ACK
ben: CLAIM tests/e2e/cart.spec.ts
cid: ACK
ann: PROGRESS login.ts: token refresh done, 11 of 14 tests green
ben: ACK
cid: tax.ts: rounding differs for CHF, see issue 412
ann: ACK, noted
ben: cart.spec.ts flaky on line 60, waiting for selector .total
cid: ACK
ann: DONE login.ts, PR 88
ben: ACK, reviewing PR 88
cid: DONE tax.ts, PR 89
ann: ACK
ben: RELEASE tests/e2e/cart.spec.ts, PR 90
cid: ACK
""",
    "wide debate in prose": """
a: I would keep the queue inside the process, because every extra service doubles the ways in \
which a small team can be woken at night.
b: The trouble with an in-process queue is deployment: each restart loses whatever was accepted \
but not yet handled, and customers notice missing mails first.
a: We could write accepted work to the table that already holds orders, and let the worker mark \
rows as finished; a restart then merely repeats unfinished ones.
b: Repeating means that handlers must tolerate running twice. The mail handler does not; it \
would greet people twice unless the provider deduplicates by identifier.
a: The provider accepts an identifier header, so the handler can pass the row's key. The invoice \
printer is harder, since paper cannot be taken back.
b: For the printer I would ask the spooler whether the document is already known before sending \
it; the spooler keeps its journal for a week.
a: Agreed, a journal lookup is cheap. Then the remaining risk is ordering: cancelling an order \
must never overtake the confirmation that precedes it.
b: Ordering can be kept per customer by hashing the customer onto a fixed worker; across \
customers nobody cares who is served earlier.
a: Hashing onto workers makes one slow customer block neighbours that share the worker. Stealing \
idle neighbours' rows would break the promise again.
b: A lease per customer solves both: any worker takes the oldest customer without lease, handles \
that customer's rows in sequence, and returns the lease.
a: Leases need expiry for crashed workers, and expiry needs a clock that both sides trust; the \
database clock is good enough for that purpose.
b: Then let us draw the table: customer, lease holder, lease end, and an index over the end, so \
that abandoned leases surface by themselves.
""",
    "story told by turns": """
a: The smuggler lowers the lamp and whispers that the customs boat has left its mooring earlier \
than ever before.
b: Captain Oda folds the chart, orders the anchor cable greased, and sends the youngest sailor \
up to watch the headland.
a: From the mast the sailor signals a second sail, small and fast, hugging the cliffs where no \
honest fisherman would steer.
b: Oda recognises the patched jib of her own brother, presumed drowned after the winter storm \
near Cape Sorrow.
a: He carries a sealed letter from the governor's daughter, and a fever that spreads through the \
crew by morning.
b: The surgeon burns the letter's wax for its camphor, and discovers writing beneath the seal, \
in the old harbour cipher.
a: Deciphered, the note names the traitor in the lighthouse, who dims the flame whenever gold \
sails past.
b: Oda rows ashore alone at dusk, wearing the surgeon's cloak, with nothing but the cipher and a \
borrowed pistol.
a: The keeper greets her by her mother's name, and the flame behind him slowly sinks into its \
brass cradle.
b: She lays the pistol on the table, asks for soup, and begins to tell him what her mother had \
promised.
""",
    "pasted logs": "a: The nightly job fails, I paste what it prints.\n"
    + "\n".join(
        f"{'ab'[n % 2]}: "
        + "|".join(
            f"2031-04-{day:02} 0{n}:1{day % 6}:07 worker-{n * 31 + day} WARN "
            f"retry of shard/{n}/{day}.bin failed"
            for day in range(1, 12)
        )
        for n in range(8)
    ),
    "german work": """
a: Bitte prüfe die Rundung in rechnung/steuer.py.
b: Zeile 40 rundet kaufmännisch, Zeile 52 schneidet ab. Welche gilt?
a: Kaufmännisch. Danke, bitte beide angleichen.
b: Angeglichen, 3 Tests ergänzt, alle grün.
a: Gut. Was ist mit Gutschriften?
b: Gutschriften laufen über storno.py, dort fehlt das Vorzeichen.
a: Bitte ebenfalls beheben.
b: Behoben in Commit 8ac41d0, Beleg 2031-17 stimmt jetzt.
a: Perfekt. Offen bleibt der Export für DATEV.
b: Der Export übernimmt die neue Rundung, Prüflauf mit 600 Belegen ohne Abweichung.
""",
    "chinese work": """
a: 请检查订单服务的超时。
b: order.yaml 里是 8 秒，网关是 5 秒。
a: 那改成多少合适？
b: 压测 p99 为 6.1 秒，建议网关 9 秒。
a: 好的，请修改。
b: 已修改，提交 4be77a1。
a: 重试次数呢？
b: 目前 5 次，没有退避，建议 2 次加退避。
a: 同意，请一并修改。
b: 已改，tests/test_retry.py 新增 6 个用例，全部通过。
""",
    "short answers to questions": """
a: Should the banner be dismissible on mobile?
b: Yes.
a: And does the dismissal survive a reload?
b: Yes, for a week.
a: Should screen readers announce it politely or assertively?
b: Politely.
a: Which colour token applies to warning banners in dark mode?
b: amber-300.
a: Does the marketing team need an analytics event for dismissals?
b: No.
a: May the banner stack with the cookie notice?
b: No, cookie notice first.
""",
}


@pytest.mark.parametrize("name", WORK)
def test_work_is_let_be(name: str):
    scores = [verdict.score for verdict in heard(WORK[name])]

    assert max(scores) < NOTICE, scores
