"""Record times in, a partition's time out: tables of histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules import PartitionClock

H = 3_600.0
NOW = 1_795_341_600.0
AGES = 1e9  # a wall clock so far ahead that the partition is a replay
UNKNOWN = float("-inf")


def ats(times: list[float], wall: float = AGES) -> list[float]:
    clock = PartitionClock()
    return [clock.see(time, wall) for time in times]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 10, 5, 20], [0, 10, 10, 20]),  # a maximum
        ([0, 1, 2, 2 + H], [0, 1, 2, 2 + H]),  # an hour is no jump
        ([0, 1, 2, 3 + H], [0, 1, 2, 2]),  # one record proves nothing
        ([0, 1, 2, 9 * H, 9 * H, 5], [0, 1, 2, 2, 2, 5]),  # nor do two
        ([0, 1, 2, 19 * H, 8 * H, 17 * H], [0, 1, 2, 2, 2, 8 * H]),  # three: the smallest,
        ([0, 1, 2, 9 * H, 8 * H, 8.5 * H], [0, 1, 2, 2, 2, 9 * H]),  # and what is no jump from it
        ([0, 1, 2, 9 * H, 5, 9 * H, 9 * H], [0, 1, 2, 2, 5, 5, 5]),  # a row, not a sum
        ([0, 1, 2, 9 * H, 9 * H, 9 * H, 9 * H + 1], [0, 1, 2, 2, 2, 9 * H, 9 * H + 1]),
        ([9 * H, 0, 1], [9 * H, 0, 1]),  # the first one was wrong
        ([9 * H, 9 * H, 0, 1], [9 * H, 9 * H, 0, 1]),
        ([9 * H, 9 * H, 9 * H, 0], [9 * H, 9 * H, 9 * H, 9 * H]),  # no longer provisional
        ([0, 9 * H, 1, 2], [0, 0, 1, 2]),
        ([H, 0], [H, H]),  # an hour behind is not far behind
    ],
)
def test_the_clock_is_a_maximum_that_no_single_record_can_move_by_more_than_an_hour(
    times: list[float], expected: list[float]
) -> None:
    assert ats(times) == expected


EVERY_TWO = [2 * H * n for n in range(30)]
BURSTS = [2 * H * n + second for n in range(30) for second in range(3)]
JITTER = [(H * n) + (7 * n) % 5 for n in range(200)]  # an hour, give or take some seconds


@pytest.mark.parametrize(
    ("times", "first"), [(EVERY_TWO, 3), (BURSTS, 9), (JITTER, 5)], ids=["one", "burst", "jitter"]
)
def test_who_sends_every_hour_or_less_often_is_followed_once_that_is_proved(
    times: list[float], first: int
) -> None:
    assert ats(times)[first:] == times[first:]


@pytest.mark.parametrize("step", [H, H + 1, 2 * H])
def test_who_is_back_after_an_outage_is_followed_from_the_third_record_on(step: float) -> None:
    before = [step * n for n in range(30)]
    after = [before[-1] + 32 * H + step * n for n in range(30)]
    assert ats([*before, *after])[len(before) + 2 :] == after[2:]


@pytest.mark.parametrize("wrong", [[5 * H], [50 * H, 50 * H]])
def test_what_is_longer_than_the_usual_pause_proves_nothing_alone(wrong: list[float]) -> None:
    usual = EVERY_TWO[:20]
    last = usual[-1]
    found = ats([*usual, *(last + ahead for ahead in wrong), last + 2 * H])
    assert found[len(usual) :] == [*([last] * len(wrong)), last + 2 * H]


def test_a_pause_is_usual_until_a_record_falls_back_behind_it() -> None:
    last = EVERY_TWO[-1]
    found = ats([*EVERY_TWO, last + 4 * H, last + 2 * H, last + 8 * H])
    assert found[-3:] == [last + 4 * H, last + 4 * H, last + 4 * H]


def test_a_pause_is_usual_until_there_was_none_for_long() -> None:
    last = EVERY_TWO[-1]
    often = [last + minute * 60.0 for minute in range(60 * 100)]
    found = ats([*EVERY_TWO, *often, often[-1] + 2 * H])
    assert found[-1] == often[-1]


def test_one_pause_is_not_usual_yet() -> None:
    """A night, and a wrong record by day."""
    night = [0, 1, 2, 9 * H, 9 * H, 9 * H, 9 * H + 60]
    assert ats([*night, 12 * H])[-1] == 9 * H + 60


def test_a_row_of_a_time_that_knew_no_pauses_is_read() -> None:
    clock = PartitionClock()
    for time in EVERY_TWO:
        clock.see(time, AGES)
    again = PartitionClock.unpack(clock.pack()[:6])
    assert again.see(EVERY_TWO[-1] + 10, AGES) == EVERY_TWO[-1] + 10


@given(st.lists(st.floats(0, 1e6), min_size=4), st.floats(2e6, AGES / 2))
def test_one_wrong_record_among_honest_ones_changes_nothing(
    times: list[float], wrong: float
) -> None:
    honest = sorted(times)
    clock, other = PartitionClock(), PartitionClock()
    for time in honest[:3]:
        clock.see(time, AGES)
        other.see(time, AGES)
    other.see(wrong, AGES)
    for time in honest[3:]:
        if time - clock.clock <= H:
            assert clock.see(time, AGES) == other.see(time, AGES)


def test_a_replay_is_not_live_and_its_horizon_is_its_own() -> None:
    clock = PartitionClock()
    assert clock.horizon(NOW, at_end=True) == UNKNOWN
    clock.see(1_000, NOW)
    clock.caught_up(NOW)
    assert not clock.live
    assert clock.judged_from == UNKNOWN
    assert clock.horizon(NOW, at_end=True) == 1_000


def test_a_clock_that_comes_within_a_minute_of_the_wall_is_live_and_stays_so() -> None:
    clock = PartitionClock()
    clock.see(NOW - 60.1, NOW)
    assert not clock.live
    clock.see(NOW - 60, NOW)
    assert (clock.live, clock.judged_from) == (True, NOW)
    clock.see(NOW - 30, NOW + 5_000)
    assert (clock.live, clock.judged_from) == (True, NOW)


def test_a_live_clock_follows_the_wall_only_at_the_end_of_what_was_sent() -> None:
    clock = PartitionClock()
    clock.see(NOW, NOW)
    assert clock.horizon(NOW + 100, at_end=True) == NOW  # not watching yet
    clock.caught_up(NOW + 1)
    assert clock.horizon(NOW + 100, at_end=True) == NOW + 100
    assert clock.horizon(NOW + 100, at_end=False) == NOW
    clock.resume()
    assert clock.horizon(NOW + 100, at_end=True) == NOW


def test_silence_counts_from_when_the_backlog_was_read() -> None:
    clock = PartitionClock()
    clock.see(NOW, NOW)
    clock.resume()
    clock.caught_up(NOW + 500)
    assert clock.judged_from == NOW + 500


def test_a_gap_in_the_backlog_was_an_outage_of_ingest_and_not_of_the_devices() -> None:
    clock = PartitionClock()
    clock.see(NOW, NOW)
    clock.resume()
    clock.see(NOW + 60, NOW + 900)
    assert clock.judged_from == NOW
    clock.see(NOW + 121, NOW + 900)
    assert clock.judged_from == NOW + 121


def test_a_gap_while_we_watch_is_the_devices_own() -> None:
    clock = PartitionClock()
    clock.see(NOW, NOW)
    clock.caught_up(NOW)
    clock.see(NOW + 900, NOW + 900)
    assert clock.judged_from == NOW


def test_what_the_wall_clock_vouches_for_no_old_record_takes_the_place_of() -> None:
    """Somebody uploads a file of last year beside the first reading of today."""
    clock = PartitionClock()
    clock.see(NOW, NOW)
    assert clock.see(NOW - 1e7, NOW + 600) == NOW
    assert clock.see(NOW + 600, NOW + 600) == NOW + 600
    assert clock.live


def alive(at: float) -> PartitionClock:
    """A partition that is read as its readings come."""
    clock = PartitionClock()
    for second in range(3):
        clock.see(at - 2 + second, at - 2 + second)
    clock.caught_up(at)
    return clock


@pytest.mark.parametrize(
    ("record", "wall", "expected"),
    [  # after two hours in which nobody sent
        (2 * H, 2 * H, 2 * H),
        (2 * H - 50, 2 * H, 2 * H - 50),
        (1.5 * H, 2 * H, 1.5 * H),  # measured when nothing could be sent, and it has passed
        (2 * H + 50, 2 * H, 2 * H + 50),
        (2 * H + 61, 2 * H, 2 * H),  # of what hasn't passed the wall clock knows better
        (9 * H, 2 * H, 2 * H),
        (1e10, 2 * H, 2 * H),
    ],
)
def test_the_wall_clock_vouches_for_a_live_partition_that_was_quiet_for_hours(
    record: float, wall: float, expected: float
) -> None:
    clock = alive(NOW)
    assert clock.see(NOW + record, NOW + wall) == NOW + expected


def test_no_number_of_records_ahead_of_the_wall_clock_moves_a_live_partition() -> None:
    clock = alive(NOW)
    assert [clock.see(NOW + 2 * H + n, NOW + n) for n in range(5)] == [NOW + n for n in range(5)]


def test_a_backlog_of_a_live_partition_believes_no_single_jump() -> None:
    clock = alive(NOW)
    clock.resume()
    assert clock.see(NOW + 5 * H, NOW + 9 * H) == NOW
    assert clock.see(NOW + 10, NOW + 9 * H) == NOW + 10


def test_a_replay_that_a_wrong_first_record_made_live_is_a_replay_again() -> None:
    clock = PartitionClock()
    clock.see(NOW + 1e8, NOW)
    assert clock.live
    clock.see(1_000, NOW)
    assert (clock.live, clock.judged_from, clock.clock) == (False, UNKNOWN, 1_000)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6))), st.floats(0, 1e6))
def test_a_clock_that_was_packed_and_unpacked_goes_on_as_the_other(
    seen: list[tuple[float, float]], last: float
) -> None:
    clock = PartitionClock()
    for time, wall in seen:
        clock.see(time, wall)
    again = PartitionClock.unpack(clock.pack())
    assert again.pack() == clock.pack()
    for time in (last, last + 2 * H, last + 2 * H, last + 2 * H):
        assert again.see(time, last) == clock.see(time, last)
    assert again.pack() == clock.pack()
    assert not again.watching


def test_a_packed_clock_of_another_version_is_refused() -> None:
    row = PartitionClock().pack()
    with pytest.raises(ValueError, match="version 99"):
        PartitionClock.unpack([99, *row[1:]])
