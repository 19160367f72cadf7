"""A very short soak, and the verdict on made-up samples; the long run is `make soak`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from faults.flatness import Sample, growth, table
from faults.soaking import LIMITS, Soaking

SEED = 7
SAMPLES = 360
EVERY_S = 5.0
HANGS_S = 300  # far beyond what it takes, also on a busy machine
HAS_PROC = Path("/proc/self/fd").exists()

FLAT = {
    "serve MiB": 90.0,
    "serve files": 40.0,
    "serve threads": 9.0,
    "writer MiB": 45.0,
    "writer files": 20.0,
    "writer threads": 4.0,
    "WAL MiB": 4.0,
    "store MiB": 10.0,
}


def samples(name: str, value: Callable[[int], float]) -> list[Sample]:
    """Half an hour in which all is flat, but one figure is what `value` says of each sample."""
    return [Sample(at * EVERY_S, {**FLAT, name: value(at)}) for at in range(SAMPLES)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.skipif(not HAS_PROC, reason="what a process takes is read from /proc")
async def test_a_mixed_load_with_restarts_goes_on_and_its_histories_hold(tmp_path: Path):
    run = Soaking(tmp_path, seed=SEED, seconds=2, sample_s=0.2, restart_s=0.4, room_s=0.8)

    with anyio.fail_after(HANGS_S):
        await run.run()

    assert run.findings == []
    assert run.counts["acknowledged"]
    assert run.counts["restarts"]
    assert run.samples[-1].figures.keys() >= LIMITS.keys()


@pytest.mark.parametrize(
    ("name", "a_sample"),
    [("serve MiB", 0.1), ("writer MiB", 0.05), ("serve files", 0.1), ("writer threads", 0.02)],
)
def test_what_grows_all_the_time_is_found(name: str, a_sample: float):
    grows = samples(name, lambda at: FLAT[name] + at * a_sample)

    (found,) = growth(grows, LIMITS)

    assert found.startswith(f"{name} grows: ")


def test_what_grows_after_a_high_start_is_found():
    grows = samples("serve MiB", lambda at: 150 if at < SAMPLES // 4 - 1 else 90 + at * 0.1)

    (found,) = growth(grows, LIMITS)

    assert found.startswith("serve MiB grows: ")


def test_a_wal_that_saws_higher_and_higher_is_found():
    grows = samples("WAL MiB", lambda at: 4 + (at % 4) * at / SAMPLES * 10)

    (found,) = growth(grows, LIMITS)

    assert found.startswith("WAL MiB grows: ")


def test_a_wal_that_is_once_beyond_its_bound_is_found():
    leaps = samples("WAL MiB", lambda at: 65 if at == SAMPLES // 2 else 4)

    assert growth(leaps, LIMITS) == ["WAL MiB was 65.0, which is above 64.0"]


def test_what_fills_up_at_first_is_flat():
    fills = samples("serve MiB", lambda at: 60 + min(at, SAMPLES // 5) * 0.5)

    assert growth(fills, LIMITS) == []


@pytest.mark.parametrize("name", ["serve MiB", "serve files", "WAL MiB", "store MiB"])
def test_what_swings_to_and_fro_is_flat(name: str):
    chance = random.Random(SEED)
    swings = samples(name, lambda _: FLAT[name] * chance.uniform(0.8, 1.2))

    assert growth(swings, LIMITS) == []


def test_a_burst_at_the_end_is_flat():
    bursts = samples("serve files", lambda at: FLAT["serve files"] + 40 * (at > SAMPLES - 20))

    assert growth(bursts, LIMITS) == []


def test_a_step_that_falls_back_is_flat():
    steps = samples("serve MiB", lambda at: 90 - 15 * (SAMPLES // 4 <= at < SAMPLES * 3 // 8 + 2))

    assert growth(steps, LIMITS) == []


def test_too_few_samples_are_no_verdict():
    few = samples("serve MiB", lambda _: 90)[:10]

    (found,) = growth(few, LIMITS)

    assert "too few" in found


def test_the_samples_are_told_by_minute():
    told = list(table(samples("serve MiB", lambda at: 90 + at // 12)[:24]))

    assert [line.split()[:2] for line in told] == [
        ["minute", "serve"],
        ["1", "90.0"],
        ["2", "91.0"],
    ]
