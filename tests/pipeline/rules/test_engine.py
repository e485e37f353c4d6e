"""Readings with claims of all kinds in, verdicts out: what is judged, and as of when."""

from __future__ import annotations

import pytest

from pipeline.rules import Device, Engine, Reading, Refused
from tests.pipeline.rules.history import NO_GRACE, START, History, after


@pytest.mark.parametrize(
    ("time", "judged"),
    [
        (None, 1_000),  # no claim: the time of arrival
        (990, 990),
        (700, 700),  # 5 minutes are plausible, both ways
        (1_300, 1_300),
        (699.9, 1_000),
        (1_300.1, 1_000),
        (1_000 - 6 * 3600, 1_000),  # a node that runs 6 h behind
        (1e9, 1_000),  # one of 2038 and later
    ],
)
def test_a_device_is_believed_within_five_minutes_of_its_record(
    time: float | None, judged: float
) -> None:
    told = History()
    assert told.reading(1_000, time) == "judged"
    assert told.device.time == after(judged)


def test_an_old_record_vouches_for_its_reading_of_then() -> None:
    told = History()
    told.reading(1_000, 100, record_time=110)
    assert told.device.time == after(100)
    assert told.device.last_seen == after(1_000)


def test_a_record_time_that_nobody_believes_yet_vouches_for_nothing() -> None:
    told = History()
    told.reading(1_000, 1e9, record_time=1e9)
    assert told.device.time == after(1_000)
    assert told.reading(1_001, 1_001) == "judged"


@pytest.mark.parametrize(
    ("time", "verdict"),
    [
        (1_000, "judged"),  # the same time is not an older one
        (1_000.001, "judged"),
        (999.999, "late"),
        (700, "late"),
        (699.999, "backfill"),
    ],
)
def test_a_reading_older_than_the_newest_judged_one_is_not_judged(
    time: float, verdict: str
) -> None:
    told = History()
    told.reading(1_000, 1_000, temperature=20.0)
    record_time = 900  # beside which all of these are plausible
    assert told.reading(1_001, time, record_time=record_time, temperature=36.0) == verdict
    judged = verdict == "judged"
    assert told.steps == (["temperature-high fired"] if judged else [])
    assert told.device.values == {"temperature": 36.0 if judged else 20.0}
    assert told.device.time == after(time if judged else 1_000)


@pytest.mark.parametrize("verdict", ["late", "backfill", "repeat"])
def test_a_reading_that_is_not_judged_counts_as_seen(verdict: str) -> None:
    told = History()
    told.reading(1_000, 1_000, sequence=7)
    time = {"late": 900, "backfill": 100, "repeat": 1_000}[verdict]
    sequence = 7 if verdict == "repeat" else 8
    got = told.reading(1_030, time, record_time=min(time + 100, 1_030), sequence=sequence)
    assert got == verdict
    assert told.device.last_seen == after(1_030)
    assert told.device.readings == 2
    assert told.device.cadence() == 30


def test_the_same_sequence_time_and_values_are_a_repeat() -> None:
    told = History()
    assert told.reading(0, 0, sequence=1, temperature=36.0, humidity=50.0) == "judged"
    assert told.reading(5, 0, sequence=1, humidity=50.0, temperature=36.0) == "repeat"
    assert [alert.count for alert in told.device.open_alerts()] == [1]


@pytest.mark.parametrize(
    ("time", "sequence", "temperature"), [(1, 1, 20.0), (0, 2, 20.0), (0, 1, 20.5)]
)
def test_a_rebooted_counter_loses_no_reading(
    time: float, sequence: int, temperature: float
) -> None:
    told = History()
    told.reading(0, 0, sequence=1, temperature=20.0)
    assert told.reading(1, time, sequence=sequence, temperature=temperature) == "judged"


def test_a_reading_without_a_sequence_is_never_a_repeat() -> None:
    told = History()
    assert [told.reading(0, 0), told.reading(0, 0)] == ["judged", "judged"]


def test_a_repeat_is_looked_for_among_the_last_sixteen_readings() -> None:
    told = History()
    for sequence in range(17):
        told.reading(0, 0, sequence=sequence)
    assert told.reading(0, 0, sequence=1) == "repeat"
    assert told.reading(0, 0, sequence=0) == "judged"  # forgotten


def test_an_old_reading_that_comes_again_is_a_repeat() -> None:
    told = History()
    told.reading(1_000, 1_000, sequence=9)
    assert told.reading(1_001, 100, record_time=100, sequence=1) == "backfill"
    assert told.reading(1_002, 100, record_time=100, sequence=1) == "repeat"


def test_the_newest_values_are_kept_metric_by_metric() -> None:
    told = History()
    told.reading(0, temperature=20.0, humidity=50.0)
    told.reading(10, temperature=21.0, co2=400.0)
    assert told.device.values == {"temperature": 21.0, "humidity": 50.0, "co2": 400.0}
    assert told.device.time == after(10)


def test_metrics_that_only_late_readings_have_count_too_also_after_a_restart() -> None:
    told = History()
    told.engine = Engine(window=60.0)
    told.reading(0, temperature=20.0)
    told.reading(100, temperature=20.0)
    for number in range(31):
        told.reading(101 + number / 100, time=50.0, values={f"late{number}": 1.0})
    for device in (told.device, Device.unpack(told.device.id, told.device.pack())):
        told.device = device
        with pytest.raises(Refused, match="too_many_metrics"):
            told.reading(102, time=50.0, values={"one_more": 1.0})


def test_a_thirty_third_metric_is_refused_with_its_reading_and_changes_nothing() -> None:
    told = History()
    told.reading(0, temperature=20.0)
    told.reading(1, values={f"m{i}": 1.0 for i in range(31)})
    packed = told.device.pack()
    with pytest.raises(Refused, match="too_many_metrics") as refused:
        told.reading(10_000, temperature=36.0, one_more=1.0)
    assert refused.value.reason == "too_many_metrics"
    assert told.device.pack() == packed
    assert told.reading(10_001, temperature=36.0, m30=1.0) == "judged"


def test_a_clock_that_was_wrong_and_is_put_back_does_not_outlaw_the_readings_after_it() -> None:
    told = History()
    told.reading(500_000_000)  # the first record of a partition claimed a far year
    assert told.reading(10, 10, temperature=36.0) == "judged"
    assert told.device.time == after(10)
    assert told.device.last_seen == after(10)
    for at in (20, 30):
        told.reading(at)
    assert told.due() == 90


def test_every_message_settles_what_fell_due_before_it_applies() -> None:
    told = History()
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=36.0)
    told.reading(8 * 86_400, temperature=37.0)
    assert [(event.rule, event.reason) for event in told.events] == [
        ("temperature-high", "threshold"),
        ("offline", "offline"),
        ("temperature-high", "stale"),
        ("temperature-high", "device_retired"),
        ("offline", "device_retired"),
        ("temperature-high", "threshold"),
    ]
    assert not told.device.retired


def test_two_devices_share_nothing() -> None:
    engine = Engine()
    one, other = Device("one"), Device("other")
    engine.reading(one, Reading("one", None, START, {"temperature": 36.0}), START, NO_GRACE)
    assert (len(one.open_alerts()), len(other.open_alerts())) == (1, 0)
    assert other == Device("other")
    assert one != other
