"""Nothing that stands still for long goes unnoticed, and nothing that may stand still is blamed."""

from __future__ import annotations

import pytest
from faust.types import TP

from agents.standstill import PATIENCE, Idle, Progress

TP0, TP1 = TP("readings", 0), TP("readings", 1)


@pytest.mark.parametrize(
    ("looks", "stuck"),
    [
        ([(0, 5, 9), (100, 5, 12)], True),  # there is something to read, and it isn't
        ([(0, 5, 9), (100, 6, 12)], False),
        ([(0, 5, 5), (100, 5, 5)], False),  # nothing comes: nothing to read
        ([(0, 5, 5), (50, 5, 5), (60, 5, 6), (100, 5, 6)], False),  # something came a while ago
        ([(0, 5, 5), (50, 5, 5), (60, 5, 6), (151, 5, 6)], True),
    ],
)
def test_a_source_that_stands_still_though_there_is_something_to_read_is_noticed(looks, stuck):
    progress = Progress()
    found = [progress.stuck({TP0: position}, {TP0: end}, at) for at, position, end in looks]
    assert found[-1] is stuck
    assert not any(found[:-1])


@pytest.mark.parametrize(("other", "stuck"), [([0, 9], False), ([9, 9], True)])
def test_what_waits_for_its_turn_may_stand_still_as_long_as_something_moves(other, stuck):
    progress, ends = Progress(), {TP0: 9, TP1: 99}
    for at, position in zip((0, 100), other, strict=True):
        found = progress.stuck({TP0: 5, TP1: position}, ends, at, waiting=[TP0, TP1])
    assert found is stuck


def test_what_does_not_wait_for_its_turn_is_stuck_though_something_else_moves():
    progress, ends = Progress(), {TP0: 9, TP1: 99}
    assert not progress.stuck({TP0: 5, TP1: 0}, ends, 0)
    assert progress.stuck({TP0: 5, TP1: 9}, ends, 100)


def test_partitions_that_do_not_come_back_after_a_rebalance_are_missed():
    idle = Idle()
    assert not idle.too_long(waiting=True, now=0)
    assert not idle.too_long(waiting=False, now=PATIENCE)
    assert not idle.too_long(waiting=True, now=PATIENCE + 1)
    assert not idle.too_long(waiting=True, now=2 * PATIENCE)
    assert idle.too_long(waiting=True, now=2 * PATIENCE + 2)
