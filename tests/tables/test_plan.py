"""Whoever's time has come is taken once, the earlier second first, and no more than asked for."""

from __future__ import annotations

from tables.plan import Plan


def planned(*entries: tuple[float, str]) -> Plan:
    plan = Plan()
    for when, device_id in entries:
        plan.add(when, device_id)
    return plan


def test_what_is_due_is_taken_once_the_earlier_second_first() -> None:
    plan = planned((12.5, "late"), (3.2, "early"), (7.0, "between"))
    assert plan.take(12.5, 10) == [(3.2, "early"), (7.0, "between"), (12.5, "late")]
    assert plan.take(12.5, 10) == []


def test_what_is_later_in_the_same_second_waits() -> None:
    plan = planned((3.9, "after"), (3.1, "before"))
    assert plan.take(3.5, 10) == [(3.1, "before")]
    plan.add(3.6, "since")
    assert sorted(plan.take(3.9, 10)) == [(3.6, "since"), (3.9, "after")]


def test_no_more_are_taken_than_asked_for_and_none_is_lost() -> None:
    plan = planned(*((float(number // 4), str(number)) for number in range(20)))
    taken = [entry for _ in range(4) for entry in plan.take(100.0, 6)]
    assert sorted(taken, key=lambda entry: int(entry[1])) == taken
    assert len(taken) == 20
    assert list(plan) == []
