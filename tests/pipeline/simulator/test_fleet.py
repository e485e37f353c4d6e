"""Seeds and options in; a fleet's life out, which the default rules see as its truth says."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from pipeline.cli.simulate import reading_json, trouble_json
from pipeline.records import parse_time
from pipeline.rules import Device, Engine, PartitionClock, Reading
from pipeline.simulator import KINDS, Options, Trouble, live
from pipeline.words import event_json
from tests.proof.truth import assert_told

START = 1_795_341_600.0  # 2026-11-22T10:00:00Z
LONG_AFTER = START + 365 * 86_400.0  # the wall clock of whoever replays it
DAY = 86_400.0
PARTITIONS = 4


def lived(
    options: Options, start: float = START, lasting: float = 1200.0
) -> tuple[list[Reading], list[Trouble]]:
    readings: list[Reading] = []
    troubles: list[Trouble] = []
    for at, happened in live(options, start, start + lasting):
        assert start <= at < start + lasting
        if isinstance(happened, Trouble):
            troubles.append(happened)
        else:
            readings.append(happened)
    return readings, troubles


def judged(readings: Iterable[Reading]) -> list[dict[str, Any]]:
    """The events of a worker that reads them from its partitions, by the default rules."""
    engine, devices, events = Engine(), {}, []
    clocks = [PartitionClock() for _ in range(PARTITIONS)]
    for reading in readings:
        device = devices.setdefault(reading.device_id, Device(reading.device_id))
        clock = clocks[sum(reading.device_id.encode()) % PARTITIONS]
        at = clock.see(reading.record_time, LONG_AFTER)
        events += engine.reading(device, reading, at, clock.judged_from)[1]
    return [json.loads(event_json(event)) for event in events]


def told(troubles: Iterable[Trouble]) -> list[dict[str, Any]]:
    return [json.loads(trouble_json(trouble)) for trouble in troubles]


def only(kind: str, **options: Any) -> Options:
    return Options(shares={kind: 1.0}, **options)


def of_troubles(readings: list[Reading], troubles: list[Trouble]) -> list[list[Reading]]:
    """What each device sent from the start of its trouble to before the end of it."""
    by_device = defaultdict(list)
    for one in readings:
        by_device[one.device_id].append(one)
    return [
        [
            one
            for one in by_device[trouble.device_id]
            if trouble.started_at <= one.record_time < trouble.ended_at
        ]
        for trouble in troubles
    ]


# -- repeatable


def test_the_same_seed_start_and_options_give_the_same_bytes():
    first, second = (lived(Options(seed=7)) for _ in range(2))
    assert [reading_json(one) for one in first[0]] == [reading_json(one) for one in second[0]]
    assert [one.record_time for one in first[0]] == [one.record_time for one in second[0]]
    assert first[1] == second[1]


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (Options(seed=8), START),
        (Options(seed=7, interval=3.0), START),
        (Options(seed=7, trouble=0.2), START),
        (Options(seed=7), START + 1),
    ],
)
def test_another_seed_start_or_option_gives_other_readings(options: Options, start: float):
    assert [reading_json(one) for one in lived(options, start)[0]] != [
        reading_json(one) for one in lived(Options(seed=7))[0]
    ]


def test_more_devices_change_nothing_for_those_that_were_there():
    few, many = (lived(Options(devices=number))[0] for number in (5, 50))
    names = {reading.device_id for reading in few}
    assert len(names) == 5
    kept = [reading_json(reading) for reading in many if reading.device_id in names]
    assert kept == [reading_json(reading) for reading in few]


def test_a_life_without_an_end_begins_like_one_with_an_end():
    ended, _ = lived(Options())
    endless = (one for _, one in live(Options(), START) if isinstance(one, Reading))
    some = [reading_json(one) for one in itertools.islice(endless, 10_000)]
    # whoever knows its end begins no trouble that it couldn't finish
    assert some[:10_000] == [reading_json(one) for one in ended[:10_000]]


# -- the truth, and what the default rules make of it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("interval", "lasting"), [(1.1, 1200.0), (2.0, 1800.0), (60.0, DAY), (600.0, 8 * DAY)]
)
def test_each_kind_of_trouble_makes_its_alert_and_no_other(
    kind: str, interval: float, lasting: float
):
    readings, troubles = lived(only(kind, interval=interval, devices=5), START, lasting)
    assert len(troubles) >= 10
    assert {(trouble.kind, trouble.rule) for trouble in troubles} == {(kind, KINDS[kind].rule)}
    assert_told(told(troubles), judged(readings))


@pytest.mark.parametrize(
    ("seed", "trouble"), [(1, 0.05), (2, 0.3), (3, 0.3), (4, 0.3), (5, 0.7), (6, 1.0)]
)
def test_a_fleet_with_every_trouble_is_judged_as_its_truth_says(seed: int, trouble: float):
    readings, troubles = lived(Options(seed=seed, trouble=trouble), START, 1800.0)
    assert {one.kind for one in troubles} == set(KINDS)
    assert_told(told(troubles), judged(readings))


@pytest.mark.parametrize("devices", [1, 8])
def test_trouble_of_hours_is_judged_as_its_truth_says(devices: int):
    options = Options(devices=devices, interval=60.0, episode=4 * 3600.0)
    readings, troubles = lived(options, START, 3 * DAY)
    assert_told(told(troubles), judged(readings))


def test_ten_days_without_trouble_makes_no_alert():
    readings, troubles = lived(Options(trouble=0.0, interval=600.0, devices=25), START, 10 * DAY)
    assert troubles == []
    assert judged(readings) == []


def test_kinds_that_have_no_share_do_not_happen():
    assert {one.kind for one in lived(Options(shares={"heat": 1, "stuck": 0}))[1]} == {"heat"}


@pytest.mark.parametrize("trouble", [0.1, 0.3, 0.6])
def test_a_device_is_in_trouble_for_about_its_share_of_the_time(trouble: float):
    _, troubles = lived(Options(trouble=trouble, interval=10.0), START, 30_000.0)
    lasted = sum(one.ended_at - one.started_at for one in troubles)
    assert lasted / (25 * 30_000.0) == pytest.approx(trouble, rel=0.1)


def test_by_default_there_is_something_to_see_at_once_and_every_few_seconds():
    readings, _ = lived(Options(), START, 750.0)
    events = judged(one for one in readings if one.record_time < START + 600)
    times = {kind: [] for kind in ("fired", "updated", "resolved")}
    for event in events:
        times[event["event"]].append(_seconds(event["detected_at"]))
    assert times["fired"][0] < 10
    assert times["resolved"][0] < 30
    for kind in ("fired", "resolved"):
        seen = sorted([0.0, *times[kind], 600.0])
        gaps = [later - earlier for earlier, later in itertools.pairwise(seen)]
        assert max(gaps) < 40
        assert statistics.mean(gaps) < 8


def _seconds(moment: str) -> float:
    return parse_time(moment) - START


# -- what each trouble looks like


def test_a_sensor_that_does_not_answer_sends_the_sentinels_of_recorded_networks():
    for sent in of_troubles(*lived(only("no-answer"))):
        assert len(sent) >= 6
        assert {(one.values["temperature"], one.values["humidity"]) for one in sent} == {
            (-0.01, 655.35)
        }


def test_a_stuck_device_repeats_one_reading_for_less_than_six_hours():
    readings, troubles = lived(only("stuck", interval=60, episode=DAY, devices=4), START, 4 * DAY)
    for sent, trouble in zip(of_troubles(readings, troubles), troubles, strict=True):
        assert len(sent) >= 30
        assert len({tuple(one.values.items()) for one in sent}) == 1
        assert trouble.ended_at - trouble.started_at < 6 * 3600


def test_a_wrong_clock_is_off_by_more_than_what_is_believed_and_comes_back():
    readings, troubles = lived(only("wrong-clock", devices=50))
    years = set()
    for sent in of_troubles(readings, troubles):
        assert len(sent) >= 5
        for one in sent:
            assert one.time is not None
            assert abs(one.time - one.record_time) > 300
            years.add(round((one.time - one.record_time) / DAY))
    assert len(years) >= 3
    concerned = {id(one) for sent in of_troubles(readings, troubles) for one in sent}
    assert all(one.time == one.record_time for one in readings if id(one) not in concerned)


def test_a_silent_device_sends_nothing_and_returns():
    readings, troubles = lived(only("silence"))
    assert not any(of_troubles(readings, troubles))
    back = {(one.device_id, one.record_time) for one in readings}
    assert all((one.device_id, one.ended_at) in back for one in troubles)


def test_a_buffered_hour_comes_at_once_in_order_and_with_its_own_times():
    readings, troubles = lived(only("buffered", interval=60, episode=7200), START, DAY)
    assert not any(of_troubles(readings, troubles))
    uploads = defaultdict(list)
    for one in readings:
        uploads[one.device_id, one.record_time].append(one.time)
    for trouble in troubles:
        times = uploads[trouble.device_id, trouble.ended_at]
        assert len(times) == 59
        assert times == sorted(times)
        assert (times[0], times[-1]) == (trouble.started_at, trouble.ended_at)


@pytest.mark.parametrize(
    ("kind", "metric", "low", "high"),
    [
        ("heat", "temperature", 35, 60),
        ("frost", "temperature", -20, 10),
        ("flood", "humidity", 80, 100),
        ("drought", "humidity", 0, 20),
        ("flat-battery", "battery", 0, 20),
    ],
)
def test_a_value_drifts_beyond_its_line_and_stays_measurable(
    kind: str, metric: str, low: float, high: float
):
    for sent in of_troubles(*lived(only(kind))):
        values = [one.values[metric] for one in sent]
        assert any(low < value < high for value in values)
        assert all(abs(value) < 100 for value in values)
        steps = [abs(b - a) for a, b in itertools.pairwise(values)]
        assert max(steps) < 40  # it drifts


# -- weather


def test_afternoons_are_warmer_and_drier_than_nights_and_devices_differ():
    readings, _ = lived(Options(trouble=0, interval=600, devices=10), START, 10 * DAY)
    by_hour = defaultdict(lambda: defaultdict(list))
    for one in readings:
        hour = int(one.record_time % DAY // 3600)
        for metric in ("temperature", "humidity"):
            by_hour[one.device_id, metric][hour].append(one.values[metric])
    assert len(by_hour) == 20
    for (_, metric), hours in by_hour.items():
        day, night = statistics.mean(hours[15]), statistics.mean(hours[3])
        assert day > night if metric == "temperature" else day < night
    means = {
        key: statistics.mean(hours[12]) for key, hours in by_hour.items() if key[1] == "temperature"
    }
    assert len({round(mean, 2) for mean in means.values()}) == 10


def test_noise_makes_neighbouring_readings_differ():
    readings, _ = lived(Options(trouble=0, devices=1), START, 600.0)
    values = [one.values["humidity"] for one in readings]
    assert len(set(values)) > 10
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= 2
