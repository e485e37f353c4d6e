"""Claims far from their arrival in; a wrong clock or an upload, told apart by how they go on."""

from __future__ import annotations

import pytest

from tests.pipeline.rules.history import History, after

HOUR = 3_600.0
Told = list[tuple[float, float]]  # at, claimed


def right(until: float = 30) -> History:
    """A device whose clock was right."""
    told = History()
    for at in range(0, int(until) + 1, 10):
        told.reading(at, at)
    return told


def verdicts(told: History, history: Told) -> list[str]:
    return [told.reading(at, claimed) for at, claimed in history]


def test_a_clock_that_falls_back_is_found_out_within_three_readings() -> None:
    told = right()
    late = 105 * 24 * HOUR
    history = [(at, at - late) for at in range(40, 90, 10)]
    assert verdicts(told, history) == ["backfill", "backfill", "judged", "judged", "judged"]
    assert told.device.clock_offset() == late
    assert told.device.time == after(80)  # judged at arrival


def test_an_upload_of_what_was_kept_is_not_judged_as_now() -> None:
    told = right()
    history = [(2 * HOUR, 60.0 * step) for step in range(1, 100)]
    assert set(verdicts(told, history)) == {"backfill"}
    assert told.reading(2 * HOUR + 10, 2 * HOUR + 10) == "judged"
    assert told.device.clock_offset() == 0


def test_an_upload_that_takes_its_time_is_not_judged_either() -> None:
    told = right()
    history = [(2 * HOUR + step, 60.0 * step) for step in range(1, 60)]
    assert set(verdicts(told, history)) == {"backfill"}


def test_an_upload_between_readings_of_now_is_not_judged() -> None:
    told = right()
    for step in range(20):
        at = 2 * HOUR + step * 10
        assert told.reading(at, at) == "judged"
        assert told.reading(at + 1, 60.0 * step) == "backfill"


def test_an_upload_from_the_newest_to_the_oldest_is_not_judged() -> None:
    told = right()
    history = [(2 * HOUR + step, 6_000 - 60.0 * step) for step in range(20)]
    assert set(verdicts(told, history)) == {"backfill"}


def test_a_pause_within_an_upload_makes_no_clock_of_it() -> None:
    told = right()
    part = [(3 * HOUR + step, 60.0 * step) for step in range(5)]
    rest = [(3 * HOUR + 1_000 + step, 300 + 60.0 * step) for step in range(5)]
    assert set(verdicts(told, part + rest)) == {"backfill"}


def test_a_clock_that_stands_still_is_a_wrong_one() -> None:
    told = right()
    history = [(at, -9 * HOUR) for at in (40.0, 50.0, 60.0, 70.0)]
    assert verdicts(told, history) == ["backfill", "backfill", "judged", "judged"]


@pytest.mark.parametrize("offset", [-6 * HOUR, 4e8])
def test_a_clock_that_was_never_right_is_judged_at_arrival_from_the_first_reading(
    offset: float,
) -> None:
    told = History()
    assert set(verdicts(told, [(at, at + offset) for at in range(0, 100, 10)])) == {"judged"}
    assert told.device.clock_offset() == -offset
    assert told.device.time == after(90)


def test_a_new_device_that_uploads_is_found_out_once_its_claims_gain_on_time() -> None:
    history = [(3 * HOUR + step, 60.0 * step) for step in range(60)]
    got = verdicts(History(), history)
    assert got[0] == "judged"
    assert set(got[10:]) == {"backfill"}


def test_of_a_forgotten_devices_upload_the_first_minutes_are_judged_as_a_new_ones() -> None:
    told = right()
    week = 7 * 24 * HOUR
    told.settle(week + 100)
    assert told.device.retired
    history = [(2 * week + step, 60.0 * step) for step in range(2, 60)]
    said = verdicts(told, history)
    assert said == ["judged"] * 6 + ["backfill"] * 52, "five minutes are the skew"
    assert told.reading(2 * week + 100, 2 * week + 100) == "judged"
    assert told.device.clock_offset() == 0


def test_a_future_stamp_poisons_nothing() -> None:
    told = right()
    assert told.reading(40, 4e8) == "judged"
    assert told.reading(50, 50) == "judged"
    assert (told.device.time, told.device.clock_offset()) == (after(50), 0)


def test_a_slow_drift_of_a_wrong_clock_is_followed() -> None:
    told = History()
    history = [(at, at - HOUR - at / 50) for at in range(0, 100_000, 60)]
    assert set(verdicts(told, history)) == {"judged"}
    assert told.device.clock_offset() == pytest.approx(HOUR + 2_000, abs=20)


def test_a_wrong_clock_that_is_put_right_is_believed_again() -> None:
    told = History()
    verdicts(told, [(at, at - HOUR) for at in range(0, 50, 10)])
    assert told.reading(60, 58) == "judged"
    assert (told.device.time, told.device.clock_offset()) == (after(58), 0)


# -- cadence


def test_a_device_that_sends_many_times_a_second_learns_its_cadence() -> None:
    told = History()
    at = 0.0
    for _ in range(8):  # eight silences of five minutes, between which it sends at 5 Hz
        for step in range(400):
            told.reading(at + step / 5)
        at += 80 + 300
    for step in range(6_000):
        told.reading(at + step / 5)
    assert told.device.cadence() == 1
    assert told.due() == pytest.approx(at + 5_999 / 5 + 60)


def test_a_burst_does_not_change_the_cadence_of_an_hourly_device() -> None:
    told = History()
    for hour in range(5):
        for step in range(100):
            told.reading(hour * HOUR + step / 5)
    assert told.device.cadence() == pytest.approx(HOUR - 99 / 5)


def test_an_upload_teaches_no_cadence() -> None:
    told = History()
    for at in range(0, 601, 60):
        told.reading(at, at)
    for step in range(2_000):
        told.reading(8_000 + step / 5, 700 + step)
    assert told.device.cadence() == 60


@pytest.mark.parametrize("off", [-299.0, -300.0, -301.0, 299.0, 300.0, 301.0])
def test_a_clock_at_the_edge_of_what_is_believed_is_taken_for_one_thing(off: float) -> None:
    """With the network's jitter its claims would be believed by turns."""
    told = right()
    jitter = [-2.0, 1.0, 2.0, -1.0, 0.0]
    history = [(at, at + off + jitter[at // 10 % 5]) for at in range(40, 2_000, 10)]
    said = verdicts(told, history)
    assert set(said[40:]) == {"judged"}
    assert told.device.time == after(1_990)  # at arrival


def test_a_repeat_teaches_nothing_of_the_clock() -> None:
    """An old reading that comes three times, for want of an acknowledgement, is no wrong clock."""
    told = right()
    for at in (7_200, 7_210, 7_220):
        told.reading(at, 60, sequence=9)
    assert told.reading(7_221, 70, sequence=10) == "backfill"
    assert told.device.clock_offset() == 0
