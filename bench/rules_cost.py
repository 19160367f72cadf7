"""What contract, budget and guard cost a post at the REST door.

    python -m bench.rules_cost

One caller posts in turn into a plain room and into one with rules; then many callers at once, with
the guard on and off. Ratios and rates of one run compare; those of two runs do not.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from . import machine
from .http_figures import running
from .stdio_figures import ROOM, row

ROUNDS = 400
WARM_UP = 40
CALLERS = 32
EACH = 60  # posts of each of the callers
PLAIN: dict[str, Any] = {"guard": False}
RULES: dict[str, Any] = {
    "contract": {
        "roles": {"worker": {"may": ["report", "note", "done"]}},
        "types": {
            "report": {
                "body": {
                    "type": "object",
                    "required": ["file", "findings"],
                    "properties": {
                        "file": {"type": "string", "pattern": "^[a-z/_]+\\.py$"},
                        "findings": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["line", "text"],
                                "properties": {
                                    "line": {"type": "integer", "minimum": 1},
                                    "text": {"type": "string", "maxLength": 500},
                                },
                            },
                        },
                    },
                }
            }
        },
        "terminal": [{"type": "done", "by": ["worker"], "need": "all_of_role"}],
    },
    "budget": {"messages": 100_000, "per_member": 100_000, "idle_s": 3_600},
    "guard": True,
}


def report(number: int) -> dict[str, Any]:
    """The body of a report; every one brings something new."""
    findings = [
        {"line": 1 + number + 7 * at, "text": f"Case {number}.{at}: the lock is taken twice here."}
        for at in range(3)
    ]
    return {"file": "store/writer.py", "findings": findings}


async def a_room(http: httpx2.AsyncClient, name: str, rules: dict[str, Any], members: int) -> str:
    made = await http.post("/agent/rooms", json={"name": name, **rules})
    id = made.raise_for_status().json()["roomId"]
    for number in range(members):
        body = {"agentName": f"w{number}"}
        (await http.post(f"/agent/rooms/{id}/join", json=body)).raise_for_status()
    return id


async def post(http: httpx2.AsyncClient, id: str, sender: str, number: int) -> float:
    """Seconds until the answer is here."""
    body = {"sender": sender, "type": "report", "content": report(number)}
    began = time.perf_counter()
    answer = await http.post(f"/agent/rooms/{id}/messages", json=body)
    took = time.perf_counter() - began
    answer.raise_for_status()
    return took


async def one_caller(http: httpx2.AsyncClient) -> None:
    rooms = {
        "plain": await a_room(http, "plain", PLAIN, 2),
        "guard": await a_room(http, "guard", {"guard": True}, 2),
        "rules": await a_room(http, "rules", RULES, 2),
    }
    took: dict[str, list[float]] = {name: [] for name in rooms}
    for number in range(WARM_UP + ROUNDS):
        for name, id in rooms.items():
            seconds = await post(http, id, "w0", number)
            if number >= WARM_UP:
                took[name].append(seconds)
    median = {name: statistics.median(of) for name, of in took.items()}
    plain = median["plain"]
    for name, what in (("guard", "with the guard"), ("rules", "with contract, budget, guard")):
        shown = f"{median[name] * 1e3:.2f} ms", f"plain {plain * 1e3:.2f} ms"
        row(f"a post {what}", *shown, median[name] / plain, "1.5")


async def many_callers(http: httpx2.AsyncClient) -> None:
    for name, rules in (("off", PLAIN), ("on", {"guard": True}), ("off", PLAIN), ("on", {})):
        id = await a_room(http, f"many {name}", rules, CALLERS)

        async def calls(number: int, id: str = id) -> None:
            for at in range(EACH):
                await post(http, id, f"w{number}", number * EACH + at)

        began = time.perf_counter()
        await asyncio.gather(*map(calls, range(CALLERS)))
        rate = CALLERS * EACH / (time.perf_counter() - began)
        row(f"{CALLERS} callers at once, guard {name}", f"{rate:.0f}/s", "", None, "none")


async def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        print(machine.describe(Path(home)))
        env = {**os.environ, "ROOM_MCP_HOME": home}
        with running([*ROOM, "serve", "--port", "0"], env) as serving:
            assert serving.stdout is not None
            url = serving.stdout.readline().strip()
            limits = httpx2.Limits(max_connections=CALLERS)
            async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as http:
                await one_caller(http)
                await many_callers(http)


if __name__ == "__main__":
    asyncio.run(main())
