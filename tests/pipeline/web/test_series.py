"""Closed windows in; each device's newest, and the fleet's sums, out."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from pipeline.web.series import METRICS, STEP, STEPS, STEPS_AND_SOME, Part, Series, Sums, Window

T0 = 1_700_000_100.0  # a window's beginning


def window(
    number: int, count: int = 1, mean: float = 20.0, device: str = "attic", metric: str = "co2",
    seconds: float = 300.0, low: float = 19.0, high: float = 21.0,
) -> Window:  # fmt: skip
    start = datetime.fromtimestamp(T0 + number * 300, UTC)
    return Window(device, metric, start, seconds, count, count, mean, low, high)


def kept(series: Series, device: str = "attic", metric: str = "co2") -> list[tuple[int, int]]:
    """Which windows, and the readings of each."""
    walked = series.walk(device, metric, T0)
    return [(round(part.start - T0) // 300, part.readings) for part in walked]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([(0, 5), (1, 5), (2, 5)], [(2, 5), (1, 5), (0, 5)]),  # the newest first
        ([(0, 5), (0, 5)], [(0, 5)]),  # told again after a crash
        ([(0, 5), (0, 6)], [(0, 6)]),  # a late reading
        ([(0, 6), (0, 5)], [(0, 6)]),  # the highest revision, whatever the order
        ([(0, 5), (2, 5), (1, 5)], [(2, 5), (1, 5), (0, 5)]),
        ([(0, 5), (1, 5), (2, 5), (0, 7)], [(2, 5), (1, 5), (0, 7)]),
        ([(1, 5), (0, 5), (1, 6)], [(1, 6), (0, 5)]),
    ],
)
def test_of_each_window_the_highest_revision_holds(
    told: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    series = Series(10)
    for number, count in told:
        series.add(window(number, count))
    assert kept(series) == expected


def test_devices_metrics_and_widths_are_kept_apart() -> None:
    series = Series(10)
    series.add(window(0))
    series.add(window(0, device="cellar"))
    series.add(window(0, metric="humidity"))
    series.add(window(0, 7, seconds=60))
    assert series.metrics("attic") == ["co2", "humidity"]
    assert series.metrics("cellar") == ["co2"]
    assert series.metrics("nobody") == []
    assert kept(series) == [(0, 1), (0, 7)]
    assert kept(series, "cellar") == [(0, 1)]


def test_a_full_ring_forgets_what_came_first_and_says_up_to_when() -> None:
    series = Series(3)
    series.add(window(0, device="cellar"))
    for number in range(3):
        series.add(window(number))
    assert (series.metrics("cellar"), len(series)) == ([], 3)
    assert series.forgotten == T0 + 300
    series.add(window(3))
    assert kept(series) == [(3, 1), (2, 1), (1, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_a_ring_tells_nothing_but_the_newest_windows_and_each_once(
    seed: int,
) -> None:
    chance = random.Random(seed)
    most = chance.randrange(1, 40)
    series, came = Series(most), dict[tuple[str, int], int]()
    for _ in range(400):
        device, number = chance.choice("abc"), chance.randrange(30)
        count = chance.randrange(1, 4)
        if series.add(window(number, count, device=device)) is not None:
            came[device, number] = max(count, came.get((device, number), 0))
        for name in "abc":
            told = kept(series, name)
            numbers = [number for number, _ in told]
            assert numbers == sorted(set(numbers), reverse=True)
            assert all(came[name, number] >= count for number, count in told)
    assert sum(len(kept(series, name)) for name in "abc") <= most


def test_the_fleets_sums_have_every_reading_of_every_window_once() -> None:
    series, sums = Series(100), Sums()

    def tell(one: Window) -> None:
        if (added := series.add(one)) is not None:
            sums.add(one.metric, added)

    tell(window(0, 2, mean=10.0, low=9.0, high=11.0))
    tell(window(0, 2, mean=30.0, low=25.0, high=35.0, device="cellar"))
    tell(window(0, 2, mean=10.0, low=9.0, high=11.0))  # again
    tell(window(0, 4, mean=12.0, low=8.0, high=16.0))  # two more came late
    (part,) = sums.walk("co2", T0)
    assert part == Part(T0, 6, 4 * 12.0 + 2 * 30.0, 8.0, 35.0)


def test_windows_of_less_than_a_step_are_added_up_to_one() -> None:
    sums = Sums()
    for second in (0, 60, 120, 240, 300):
        sums.add("co2", Part(T0 + second, 1, 20.0, 20.0, 20.0))
    assert [(part.start - T0, part.readings) for part in sums.walk("co2", T0)] == [(0, 4), (300, 1)]


def test_the_sums_are_bounded_in_time_and_in_metrics() -> None:
    sums = Sums()
    for number in range(STEPS_AND_SOME + 1):
        sums.add("co2", Part(T0 + number * STEP, 1, 20.0, 20.0, 20.0))
    dropped = STEPS_AND_SOME + 1 - STEPS
    assert len(list(sums.walk("co2", 0.0))) == STEPS
    assert sums.forgotten == T0 + dropped * STEP
    sums.add("co2", Part(T0, 1, 20.0, 20.0, 20.0))
    assert len(list(sums.walk("co2", 0.0))) == STEPS, "what was dropped doesn't begin anew"
    for number in range(100):
        sums.add(f"m{number}", Part(T0, 1, 20.0, 20.0, 20.0))
    assert len(sums.metrics()) == METRICS
