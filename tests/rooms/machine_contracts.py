"""Contracts for the machine: small budgets, deadlines, and a guard that is soon alarmed."""

from __future__ import annotations

from typing import Any

LOW = {"notice": 2, "quiet": 3, "hush": 4}
FINAL = {"type": "object", "properties": {"final": {"const": True}}, "required": ["final"]}
VERDICT = {
    "type": "object",
    "properties": {"verdict": {"enum": ["approved", "rejected"]}},
    "required": ["verdict"],
}

REVIEW: dict[str, Any] = {
    "roles": {
        "author": {"min": 1, "max": 1, "may": ["submit", "note", "answer", "ack", "cancel"]},
        "reviewer": {"min": 2, "max": 3, "may": ["fyi", "verdict", "question", "note", "result"]},
    },
    "types": {
        "submit": {"expects": ["verdict"], "wakes": "all"},
        "fyi": {"wakes": "nobody"},
        "verdict": {"body": VERDICT, "guard": "exempt"},
    },
    "terminal": [
        {"type": "verdict", "by": ["reviewer"], "need": "all_of_role", "outcome_from": "verdict"},
        {"type": "cancel", "by": ["author"], "outcome": "cancelled"},
    ],
    "outcome_order": ["rejected", "approved"],
    "budget": {
        "messages": 9,
        "bytes": 700,
        "per_type": {"fyi": 2},
        "per_member": {"messages": 4, "bytes": 500, "per_type": {"note": 2}},
        "lifetime_s": 3_000,
        "idle_s": 900,
        "reserve": {"messages": 2, "bytes": 200},
        "on_budget": "no_verdict",
    },
    "guard": LOW,
}
DEBATE: dict[str, Any] = {
    "roles": {"chair": {"max": 1, "who": ["ann", "human"]}, "debater": {"max": 4}},
    "types": {"fyi": {"wakes": "nobody"}},
    "terminal": [
        {"type": "vote", "by": ["debater"], "need": "majority_of_role", "outcome_from": "choice"},
        {"type": "decision", "by": ["chair"], "when": FINAL, "outcome": "decided"},
    ],
    "budget": {
        "messages": 14,
        "per_member": {"messages": 6},
        "idle_s": 900,
        "reserve": {"messages": 3},
    },
    "guard": {**LOW, "on_stall": "quiet"},
}
QUEUE: dict[str, Any] = {
    "roles": {
        "boss": {"min": 1, "max": 1},
        "worker": {"may": ["accept", "refuse", "result", "note", "ack"]},
    },
    "terminal": [{"type": "closing", "by": ["boss"], "need": "no_open_work"}],
    "budget": {"messages": 20, "per_type": {"note": 6}, "reserve": {"messages": 4}},
    "guard": {**LOW, "on_stall": "close"},
}
FREE: dict[str, Any] = {
    "types": {"chatter": {}, "fyi": {"wakes": "nobody"}},
    "terminal": [
        {"type": "done", "need": "all_of_role"},
        {"type": "report", "when": FINAL, "outcome": "final"},
    ],
    "budget": {"per_member": {"messages": 7}, "bytes": 1_500, "reserve": {"bytes": 300}},
    "guard": LOW,
}
ENDLESS: dict[str, Any] = {"budget": {"messages": 12, "lifetime_s": 3_000}, "guard": LOW}
