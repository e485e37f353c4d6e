"""What a worker's partitions are like in; the gauges of it out."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP

from agents.gauges import HELD, Gauges, held_by
from agents.judge import Judge
from pipeline.metrics import WORKER
from pipeline.rules.engine import Engine, Reading
from pipeline.rules.fleet import FLEET
from pipeline.rules.lifecycle import Event
from pipeline.rules.silence import Silence
from tables.partition import Partition
from tests.agents.shell import T0, Owner

WALL = float(T0)


class Worker(Owner):
    def devices(self) -> int:
        return sum(len(partition.rows) for partition in self.owned.values())

    def wrong_clocks(self) -> int:
        return sum(len(partition.wrong_clocks) for partition in self.owned.values())


def gauge(name: str, **labels: str) -> float | None:
    return WORKER.get_sample_value(f"smart_iot_{name}", labels)


@pytest.fixture
def judged() -> Partition:
    """One in which silence is judged by the wall clock."""
    partition = Partition(1)
    partition.row("attic")
    for at in (WALL - 3600, WALL - 20):
        partition.clock.see(at, at)
    partition.clock.watching = True
    partition.clock.judged_from = WALL - 3600
    partition.reached = WALL
    return partition


def backlog(partition: Partition) -> None:
    partition.clock.resume()


def replay(partition: Partition) -> None:
    partition.clock.live = False


def unheard(partition: Partition) -> None:
    partition.reached = WALL - 11


def fleet(partition: Partition) -> None:
    silence = Silence("s", None, "offline", None, FLEET, None, WALL - 9, WALL - 9, WALL + 9)
    partition.silences.add(silence)


def grace(partition: Partition) -> None:
    partition.clock.judged_from = WALL - 59


def test_where_nothing_holds_it_silence_is_judged(judged: Partition) -> None:
    assert held_by(judged, WALL) is None


@pytest.mark.parametrize("why", [backlog, replay, unheard, fleet, grace], ids=HELD)
def test_what_holds_judgement_is_told_by_its_name(judged: Partition, why: Any) -> None:
    why(judged)
    assert held_by(judged, WALL) == why.__name__


def test_where_there_is_no_device_nobody_is_held_back() -> None:
    partition = Partition(1)
    partition.clock.watching = True
    assert held_by(partition, WALL) is None


def test_a_worker_shows_its_partitions_and_after_a_rebalance_only_its_own(
    judged: Partition,
) -> None:
    worker: Any = Worker(1, 2)
    worker.owned[1] = judged
    judged.mark_dirty(judged.row("attic"))
    judged.standing.opened("a", "danger", "threshold")
    judged.standing.opened("b", "warning", "offline")
    judged.row("cellar")
    worker.sources[TP("readings", 2)].position = 5
    gauges = Gauges(worker)
    gauges.show({TP("readings", 2): 12, TP("smart-iot-forwarded", 1): 3}, WALL)
    assert gauge("partitions") == 2
    assert gauge("dirty_rows") == 1
    assert gauge("devices", state="offline") == 1
    assert gauge("devices", state="online") == 1
    assert gauge("open_alerts", severity="danger") == 1
    assert gauge("open_alerts", severity="info") == 0
    assert gauge("lag_records", topic="readings", partition="2") == 7
    assert gauge("lag_records", topic="forwarded", partition="1") == 3
    assert gauge("judgement_held_partitions", reason="backlog") == 1  # the other one's
    one = Worker(1)
    worker.owned, worker.sources = one.owned, one.sources
    gauges.show({}, WALL)
    assert gauge("partitions") == 1
    assert gauge("open_alerts", severity="danger") == 0
    assert gauge("lag_records", topic="readings", partition="2") is None


def test_a_partition_that_is_taken_over_counts_the_alerts_that_are_open_there(
    judged: Partition,
) -> None:
    judge = Judge(Engine(), wake=lambda: None)
    events: list[Event] = []
    hot = Reading("attic", None, WALL, {"temperature": 40.0})
    judge.engine.reading(judged.row("attic").device, hot, WALL, WALL, events)
    assert [event.event for event in events] == ["fired"]
    judge.take_up(judged)
    assert judge.adopt_some(judged) is False
    assert +judged.standing.by_severity == {"danger": 1}
