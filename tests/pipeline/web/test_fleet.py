"""Rows of the device table in, newest values and status out."""

from __future__ import annotations

import pytest
from msgspec import to_builtins

from pipeline.rows import PARTITION_KEY, Row, encode
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.web.fleet import Fleet

T0 = 1_700_000_000.0


def device(gap: float = 10.0, readings: int = 9, **values: float) -> Device:
    """Its last reading is of T0."""
    made = Device("attic")
    values = values or {"temperature": 21.5}
    for number in range(readings):
        at = T0 - (readings - 1 - number) * gap
        Engine().reading(made, Reading("attic", None, at, dict(values)), at, 0.0)
    return made


def row(of: Device, generation: int = 1, applied: int = 1) -> bytes:
    return Row(of, [applied, -1, -1]).packed(generation)


def clock(at: float, live: bool) -> bytes:
    made = PartitionClock()
    for _ in range(3):
        made.see(at, wall=at if live else at + 1e6)
    return encode([1, 1, [1, -1], made.pack(), 0])


def shown(fleet: Fleet, wall: float = T0) -> dict[str, object]:
    latest = fleet.get("attic")
    assert latest is not None
    return fleet.item(latest, wall)


def test_an_item_is_the_devices_newest_values_their_time_and_its_status() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(temperature=21.5, co2=480.0)))
    assert shown(fleet) == {
        "device_id": "attic",
        "temperature": 21.5,
        "co2": 480.0,
        "timestamp": "2023-11-14T22:13:20.000Z",
        "status": "online",
    }


@pytest.mark.parametrize(
    ("gap", "readings", "silent", "status"),
    [
        (10, 9, 10, "online"),
        (10, 9, 15, "online"),
        (10, 9, 15.1, "late"),
        (600, 9, 890, "online"),
        (600, 9, 901, "late"),
        (1, 9, 9.9, "online"),  # a row is up to a flush and a poll old
        (1, 9, 10.1, "late"),
        (10, 1, 59, "online"),  # no cadence is known yet
        (10, 1, 61, "late"),
    ],
)
def test_a_device_is_late_once_it_is_silent_for_longer_than_one_and_a_half_of_its_cadence(
    gap: float, readings: int, silent: float, status: str
) -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(gap, readings)))
    assert shown(fleet, T0 + silent)["status"] == status


def test_a_device_is_offline_while_its_alert_of_that_name_is_open() -> None:
    engine, silent = Engine(), device()
    assert [event.rule for event in engine.settle(silent, T0 + 1_000, 0.0)] == ["offline"]
    fleet = Fleet()
    fleet.apply(0, b"attic", row(silent, applied=1))
    assert shown(fleet, T0)["status"] == "offline"
    engine.reading(silent, Reading("attic", None, T0 + 2_000, {"co2": 1.0}), T0 + 2_000, 0.0)
    fleet.apply(0, b"attic", row(silent, applied=2))
    assert shown(fleet, T0 + 2_000)["status"] == "online"


def test_a_device_that_is_too_hot_is_not_offline() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(temperature=41.0)))
    assert shown(fleet)["status"] == "online"


def test_recorded_data_is_judged_by_its_own_time_and_live_data_by_the_wall_clock() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device()))
    fleet.apply(0, PARTITION_KEY, clock(T0 + 5, live=False))
    assert shown(fleet, T0 + 1e6)["status"] == "online"
    fleet.apply(1, PARTITION_KEY, clock(T0 + 500, live=False))  # another's is no matter of its
    assert shown(fleet, T0 + 1e6)["status"] == "online"
    fleet.apply(0, PARTITION_KEY, clock(T0 + 5, live=True))
    assert shown(fleet, T0 + 100)["status"] == "late"


@pytest.mark.parametrize(
    ("second", "wins"),
    [((1, 20), True), ((2, 5), True), ((1, 10), True), ((1, 9), False), ((0, 99), False)],
)
def test_a_row_of_an_owner_that_was_over_loses_against_a_newer_one(
    second: tuple[int, int], wins: bool
) -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(temperature=1.0), 1, 10))
    fleet.apply(0, b"attic", row(device(temperature=2.0), *second))
    assert shown(fleet)["temperature"] == (2.0 if wins else 1.0)


def test_a_deleted_or_retired_device_is_gone() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device()))
    fleet.apply(0, b"attic", None)
    assert (len(fleet), fleet.all()) == (0, [])
    retired = device()
    fleet.apply(0, b"attic", row(retired))
    retired.retire()
    fleet.apply(0, b"attic", row(retired, applied=2))
    assert fleet.all() == []


def test_reserved_rows_are_no_devices() -> None:
    fleet = Fleet()
    fleet.apply(0, PARTITION_KEY, clock(T0, live=True))
    fleet.apply(0, b"*fleet", b"whatever")
    fleet.apply(0, PARTITION_KEY, None)
    assert fleet.all() == []


def test_a_metric_that_is_named_like_a_field_of_ours_gives_way_to_it() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(status=5.0, co2=1.0)))
    assert shown(fleet)["status"] == "online"
    assert shown(fleet)["co2"] == 1.0


def test_the_list_of_devices_tells_what_each_measures_and_how_often() -> None:
    fleet = Fleet()
    fleet.apply(0, b"attic", row(device(humidity=50.0, temperature=20.0)))
    (latest,) = fleet.all()
    assert to_builtins(fleet.card(latest, T0)) == {
        "device_id": "attic",
        "status": "online",
        "last_seen": "2023-11-14T22:13:20.000Z",
        "cadence": 10.0,
        "metrics": ["humidity", "temperature"],
        "clock_offset": None,
    }


@pytest.mark.parametrize(
    ("behind", "shown"),
    [
        (0.0, None),
        (200.0, None),  # that much is believed
        (6 * 3_600.0, 21_600.0),
        (-86_400.0, -86_400.0),  # ahead
        (3_600.12345, 3_600.123),
    ],
)
def test_a_device_whose_clock_is_wrong_is_listed_with_how_much_it_is_behind(
    behind: float, shown: float | None
) -> None:
    wrong = Device("attic")
    for at in (T0, T0 + 10, T0 + 20):
        Engine().reading(wrong, Reading("attic", at - behind, at, {"co2": 480.0}), at, 0.0)
    fleet = Fleet()
    fleet.apply(0, b"attic", row(wrong))
    (latest,) = fleet.all()
    assert fleet.card(latest, T0).clock_offset == shown
