"""What a right store leaves is right, and what is spoilt in it is found, whatever happened."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from right_histories import WRONGS, RightStore, Wrong

CHANCES = settings(max_examples=60, deadline=None, derandomize=True)


@CHANCES
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 120))
def test_whatever_a_right_store_leaves_is_right(seed: int, steps: int):
    assert RightStore(Random(seed), steps).history.findings() == []


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
@CHANCES
@given(seed=st.integers(0, 2**32), steps=st.integers(20, 120))
def test_whatever_is_spoilt_is_found(wrong: Wrong, seed: int, steps: int):
    chance = Random(seed)
    history = RightStore(chance, steps).history
    assume(wrong(history, chance))

    assert history.findings() != []
