"""Rubbish on pages of a store's file: a short run of `python -m faults.damage`."""

from __future__ import annotations

import random
from pathlib import Path

from faults.damage import sweep


def test_whoever_meets_damage_is_told_and_nobody_is_shown_what_was_never_said(tmp_path: Path):
    seen, findings = sweep(tmp_path, every=1, chance=random.Random(3))

    assert findings == []
    assert seen["refused"] > 0
    assert seen["done"] > seen["refused"]
