"""A timer nominates the devices whose time has come, and nobody twice."""

from __future__ import annotations

import pytest

from agents.checks import AGAIN, WAIT, plan, send_checks
from agents.checks import nominate as nominated
from agents.judge import Judge
from pipeline.rules.engine import Engine, Reading
from tables.partition import Partition
from tests.agents.shell import Batches, Producer, partition

T0 = 1_700_000_000.0


def nominate(engine: Engine, owned: Partition, reached: float) -> list[str]:
    """All that was sent before `reached` is applied."""
    owned.reached = reached
    return nominated(engine, owned)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def heard(engine: Engine, owned: Partition, device_id: str, *times: float) -> None:
    for at in times:
        owned.clock.see(at, wall=at)
        row = owned.row(device_id)
        reading = Reading(device_id, None, at, {"temperature": 20.0})
        engine.reading(row.device, reading, at, owned.clock.judged_from)
        plan(engine, owned, row)


@pytest.fixture
def owned(engine: Engine) -> Partition:
    """attic reports every 10 s and cellar every 100 s; caught up and live."""
    made = partition()
    heard(engine, made, "attic", *(T0 + 10 * n for n in range(6)))
    heard(engine, made, "cellar", *(T0 + 100 * n for n in range(6)))
    made.clock.caught_up(T0 + 500)
    return made


def test_nobody_is_nominated_before_its_limit_has_passed(engine, owned):
    assert nominate(engine, owned, T0 + 559) == []


def test_a_device_is_nominated_when_its_own_limit_has_passed_and_its_fleet_was_waited_for(
    engine, owned
):
    assert nominate(engine, owned, T0 + 560) == []
    assert owned.silent == {"attic": (T0 + 560, T0 + 560)}
    assert nominate(engine, owned, T0 + 560 + WAIT) == ["attic"]
    assert nominate(engine, owned, T0 + 801) == ["attic"]
    assert sorted(nominate(engine, owned, T0 + 801 + WAIT)) == ["attic", "cellar"]


def test_a_nominated_device_is_not_nominated_again_at_once_but_later_in_case_it_was_lost(
    engine, owned
):
    nominate(engine, owned, T0 + 560)
    assert nominate(engine, owned, T0 + 560 + WAIT) == ["attic"]
    assert nominate(engine, owned, T0 + 561 + WAIT) == []
    assert nominate(engine, owned, T0 + 560 + WAIT + AGAIN) == ["attic"]


def test_a_reading_puts_the_nomination_off(engine, owned):
    heard(engine, owned, "attic", T0 + 555)
    assert nominate(engine, owned, T0 + 600) == []
    assert owned.silent == {}
    nominate(engine, owned, T0 + 615)
    assert list(owned.silent) == ["attic"]


def test_a_device_that_reports_more_often_than_before_is_missed_sooner(engine, owned):
    heard(engine, owned, "cellar", *(T0 + 500 + 2 * n for n in range(1, 12)))
    nominate(engine, owned, T0 + 522 + 60)
    assert "cellar" in owned.silent


def test_a_partition_that_comes_back_to_us_still_misses_its_devices(engine, owned):
    again = owned.reopened()
    judge = Judge(engine, lambda: None)
    judge.take_up(again)
    assert not judge.adopt_some(again)
    nominate(engine, again, T0 + 560)
    assert list(again.silent) == ["attic"]


def test_a_backlog_is_judged_by_its_own_time(engine, owned):
    owned.clock.resume()
    assert nominate(engine, owned, T0 + 1e6) == []
    heard(engine, owned, "loft", T0 + 505)
    assert nominate(engine, owned, T0 + 1e6) == []


def test_a_partition_that_was_never_live_is_not_judged_by_the_wall_clock(engine):
    replay = partition()
    for at in range(6):
        replay.clock.see(T0 + at, wall=T0 + 1e7)
        row = replay.row("attic")
        reading = Reading("attic", None, T0 + at, {"temperature": 20.0})
        engine.reading(row.device, reading, T0 + at, replay.clock.judged_from)
        plan(engine, replay, row)
    replay.clock.caught_up(T0 + 1e7)
    assert nominate(engine, replay, T0 + 1e7) == []


def test_devices_of_a_replay_wait_for_no_fleet(engine):
    replay = partition()
    for at in (0, 1, 2, 3, 4, 5, 600):
        replay.clock.see(T0 + at, wall=T0 + 1e7)
        row = replay.row("attic" if at < 600 else "loft")
        reading = Reading(row.device.id, None, T0 + at, {"temperature": 20.0})
        engine.reading(row.device, reading, T0 + at, replay.clock.judged_from)
        plan(engine, replay, row)
    assert nominate(engine, replay, T0 + 1e7) == ["attic"]
    assert replay.silent == {}


async def test_checks_go_to_the_partition_of_their_devices(engine, owned):
    producer = Producer([])
    nominate(engine, owned, T0 + 560)
    owned.reached = T0 + 560 + WAIT
    given_away = partition()
    given_away.closed = True
    await send_checks(Batches(producer), "checks", engine, [given_away, owned])
    assert [sent[:4] for sent in producer.sent] == [("checks", b"attic", None, owned.number)]
