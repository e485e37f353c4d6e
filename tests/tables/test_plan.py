"""Whoever's time has come is taken once, the earlier second first, and no more than asked for."""

from __future__ import annotations

from pipeline.rows import Row
from tables.devices import new_row
from tables.plan import Plan


def note(plan: Plan, row: Row, when: float) -> Row:
    row.wake_at = when
    plan.add(row)
    return row


def planned(*entries: tuple[float, str]) -> Plan:
    plan = Plan()
    for when, device_id in entries:
        note(plan, new_row(device_id), when)
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
    note(plan, new_row("since"), 3.6)
    assert sorted(taken(plan, 3.9)) == ["after", "since"]


def test_a_row_is_taken_when_it_last_said_and_not_before() -> None:
    plan = Plan()
    row = note(plan, new_row("attic"), 3.0)
    note(plan, row, 9.0)
    assert taken(plan, 8.0) == []
    note(plan, row, 5.0)
    assert taken(plan, 8.0) == ["attic"]
    row.wake_at = float("inf")
    assert taken(plan, 100.0) == []


def test_no_more_are_taken_than_asked_for_and_none_is_lost() -> None:
    plan = planned(*((float(number // 4), str(number)) for number in range(20)))
    found = [device_id for _ in range(4) for device_id in taken(plan, 100.0, 6)]
    assert found == [str(number) for number in range(20)]
    assert list(plan) == []
