"""Readings in, closed windows out, whatever the order within the allowed lateness."""

from __future__ import annotations

import random

import pytest

from pipeline.rules import DEFAULT, Device, Engine
from pipeline.rules.window import Closed
from tests.pipeline.rules.history import START, History, after

Row = tuple[str, float, int, float, float, float, float]


def windowed(width: float = 60.0) -> History:
    told = History()
    told.engine = Engine(DEFAULT, window=width)
    return told


def shown(closed: Closed) -> Row:
    numbers = (closed.mean, closed.min, closed.max, closed.last)
    return (closed.metric, closed.start - START, closed.count, *numbers)


def newest(told: History) -> dict[tuple[str, float], Row]:
    """By identity, of the highest revision: what a consumer ends up with."""
    found: dict[tuple[str, float], Closed] = {}
    for closed in told.engine.take_closed():
        known = found.get((closed.metric, closed.start))
        assert known is None or closed.revision == known.revision + 1
        found[closed.metric, closed.start] = closed
    return {identity: shown(closed) for identity, closed in found.items()}


def test_a_window_closes_with_the_first_reading_of_a_later_one() -> None:
    told = windowed()
    for at, value in ((0, 20.0), (30, 22.0), (59, 21.5)):
        told.reading(at, temperature=value)
    assert told.engine.take_closed() == []
    told.reading(200, temperature=25.0)
    (closed,) = told.engine.take_closed()
    assert shown(closed) == ("temperature", 0, 3, pytest.approx(63.5 / 3), 20.0, 22.0, 21.5)
    assert (closed.device_id, closed.seconds, closed.revision) == ("greenhouse-7", 60, 3)
    assert told.engine.take_closed() == []


def test_each_metric_has_its_own() -> None:
    told = windowed()
    told.reading(0, temperature=20.0)
    told.reading(10, humidity=50.0)
    told.reading(60, humidity=51.0)
    assert [closed.metric for closed in told.engine.take_closed()] == ["temperature", "humidity"]


def test_a_late_reading_raises_the_revision_of_a_closed_window() -> None:
    told = windowed()
    for at in (0, 70, 130):
        told.reading(at, at, temperature=20.0)
    told.engine.take_closed()
    assert told.reading(131, 30, temperature=26.0) == "late"
    (closed,) = told.engine.take_closed()
    assert (closed.revision, shown(closed)) == (2, ("temperature", 0, 2, 23.0, 20.0, 26.0, 26.0))


def test_a_late_reading_can_begin_a_window_that_is_closed_at_once() -> None:
    told = windowed()
    told.reading(0, 0)
    told.reading(130, 130)
    told.engine.take_closed()
    told.reading(131, 70)
    assert [(c.start, c.revision) for c in told.engine.take_closed()] == [(after(60), 1)]


def test_what_is_too_late_a_repeat_or_a_fault_is_in_no_window() -> None:
    told = windowed()
    told.reading(0, 0, sequence=1, temperature=20.0)
    told.reading(1, 0, sequence=1, temperature=20.0)
    told.reading(2, 2, temperature=21.0, humidity=655.35)
    told.reading(1_000, 1_000, temperature=20.0)
    told.reading(1_001, 100, record_time=100, temperature=90.0)
    told.reading(1_002, 999, temperature=90.0)  # late, and nothing that a sensor can measure
    told.reading(2_000, 2_000)
    assert [shown(closed)[:3] for closed in told.engine.take_closed()] == [
        ("temperature", 0, 2), ("temperature", 960, 1),
    ]  # fmt: skip


def test_a_window_of_a_silent_device_closes_when_it_is_offline() -> None:
    told = windowed()
    for at in (0, 10, 20, 30):
        told.reading(at)
    told.settle(89)
    assert told.engine.take_closed() == []
    told.settle(90)
    assert [closed.count for closed in told.engine.take_closed()] == [4]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [7.0, 60.0, 300.0])
def test_a_shuffled_input_within_the_lateness_gives_the_windows_of_the_ordered_one(
    seed: int, width: float
) -> None:
    draw = random.Random(seed)
    times = sorted(round(draw.uniform(0, 3_000), 3) for _ in range(300))
    readings = [(time, {"temperature": draw.uniform(-50, 90)}) for time in times]
    told = []
    for order in (readings, sorted(readings, key=lambda one: one[0] + draw.uniform(0, 290))):
        history = windowed(width)
        for time, values in order:
            assert history.reading(3_000, time, values, record_time=time) != "backfill"
        history.reading(4_000, 4_000, record_time=4_000)
        told.append(newest(history))
    assert told[0] == told[1]
    assert len(told[0]) >= 10


def test_what_is_kept_is_bounded_by_the_lateness() -> None:
    told = windowed(60.0)
    for at in range(0, 100_000, 45):
        told.reading(at, at)
    assert told.device.windows is not None
    assert len(told.device.windows) <= 7


def test_a_reading_of_a_window_that_silence_has_closed_gives_it_again() -> None:
    told = windowed(20.0)
    for at in (0, 2, 4, 6):
        told.reading(at, at)
    told.settle(90)
    told.reading(95, 15, temperature=26.0)  # kept back while it was silent
    told.reading(96, 10, temperature=23.0)  # and late on top of that
    told.reading(97, 97)
    closed = told.engine.take_closed()
    assert [(one.revision, one.max, one.last) for one in closed] == [
        (4, 20.0, 20.0), (5, 26.0, 26.0), (6, 26.0, 26.0),
    ]  # fmt: skip


def test_what_is_decided_again_without_the_silence_ends_under_the_same_revision() -> None:
    """A crash after the window was sent, and its successor gives everybody a grace."""
    found = []
    for silence_was_judged in (True, False):
        told = windowed(20.0)
        for at in (0, 2, 4, 6):
            told.reading(at, at)
        if silence_was_judged:
            told.settle(90)
        told.reading(95, 15, temperature=26.0, judged_from=after(95))
        told.reading(97, 97, judged_from=after(95))
        last = told.engine.take_closed()[-1]
        found.append((last.revision, shown(last)))
    assert found[0] == found[1]
    assert found[0][0] == 5


def test_windows_survive_being_stored() -> None:
    told = windowed()
    told.reading(0, 0, temperature=20.0)
    told.device = Device.unpack(told.device.id, told.device.pack())
    told.reading(30, 30, temperature=22.0)
    told.reading(61, 61)
    assert [closed.mean for closed in told.engine.take_closed()] == [21.0]


def test_windows_are_counted_only_where_somebody_takes_them() -> None:
    told = History()
    for at in range(0, 1_000, 10):
        told.reading(at)
    assert told.engine.take_closed() == []
    assert told.device.windows is None
