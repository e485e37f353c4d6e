"""Whoever's time has come is taken once, the earlier second first, and no more than asked for."""

from __future__ import annotations

import random

import pytest

from pipeline.rows import NEVER, Row
from tables.partition import new_row
from tables.plan import Plan


def noted(plan: Plan, device_id: str, when: float) -> Row:
    row = new_row(device_id)
    plan.note(row, when)
    return row


def planned(*entries: tuple[float, str]) -> Plan:
    plan = Plan()
    for when, device_id in entries:
        noted(plan, device_id, when)
    return plan


def taken(plan: Plan, horizon: float, at_most: int = 10) -> list[str]:
    return [row.device.id for row in plan.take(horizon, at_most)]


def test_what_is_due_is_taken_once_the_earlier_second_first() -> None:
    plan = planned((12.5, "late"), (3.2, "early"), (7.0, "between"))
    assert taken(plan, 12.5) == ["early", "between", "late"]
    assert taken(plan, 12.5) == []


def test_what_is_later_in_the_same_second_waits() -> None:
    plan = planned((3.9, "after"), (3.1, "before"))
    assert taken(plan, 3.5) == ["before"]
    noted(plan, "since", 3.6)
    assert sorted(taken(plan, 3.9)) == ["after", "since"]


def test_a_row_is_taken_when_it_last_said_and_not_before() -> None:
    plan = Plan()
    row = noted(plan, "attic", 3.0)
    plan.note(row, 9.0)
    assert taken(plan, 8.0) == []
    plan.note(row, 5.0)
    assert taken(plan, 8.0) == ["attic"]
    plan.note(row, 20.0)
    plan.note(row, NEVER)
    assert taken(plan, 100.0) == []
    assert row.due == NEVER


def test_what_should_have_been_long_ago_or_always_is_taken_at_once() -> None:
    plan = planned((float("-inf"), "always"), (-3.5, "ago"))
    assert sorted(taken(plan, 0.0)) == ["ago", "always"]


def test_no_more_are_taken_than_asked_for_and_none_is_lost() -> None:
    plan = planned(*((float(number // 4), str(number)) for number in range(20)))
    found = [device_id for _ in range(4) for device_id in taken(plan, 100.0, 6)]
    assert found == sorted(found, key=lambda device_id: int(device_id) // 4)
    assert len(set(found)) == 20
    assert taken(plan, 100.0) == []


def test_one_look_goes_through_so_many_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tables.plan.MOVES", 4)
    plan = Plan()
    for row in [noted(plan, device_id, 1.0) for device_id in "012345"]:
        plan.note(row, 3.0)
    assert taken(plan, 2.0) == []
    assert sorted(taken(plan, 3.0) + taken(plan, 3.0)) == list("012345")


def test_a_row_that_is_forgotten_is_never_taken() -> None:
    plan = Plan()
    gone = noted(plan, "gone", 3.0)
    plan.forget(gone)
    plan.forget(gone)
    noted(plan, "other", 3.5)
    assert taken(plan, 100.0) == ["other"]


def test_however_rows_are_noted_each_is_taken_by_the_first_look_after_its_time() -> None:
    draw = random.Random(3)
    plan, rows = Plan(), [new_row(str(number)) for number in range(50)]
    wanted: dict[str, float] = {}
    for tick in range(400):
        horizon = tick / 3
        for row in draw.sample(rows, 10):
            when = horizon + draw.choice([-1.0, 0.5, draw.uniform(0, 30)])
            plan.note(row, when)
            wanted[row.device.id] = when
        come = {device_id for device_id, when in wanted.items() if when <= horizon}
        assert sorted(taken(plan, horizon, 100)) == sorted(come)
        for device_id in come:
            del wanted[device_id]
