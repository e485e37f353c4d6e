"""Silence counts only up to when everything has been heard, wherever it arrived."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from agents.reach import LATELY, Reach
from tables.partition import UNKNOWN
from tests.agents.shell import T0, App, Owner

OURS, OTHERS = 0, 1


class Worker(Owner):
    """Of two partitions it owns these; `committed` is what the group has, of others' too."""

    def __init__(self, *numbers: int, mixed: bool = False) -> None:
        super().__init__(*numbers)
        self.app = App()
        self.app.partition_count = 2
        self.reach = Reach(self.app, self)  # type: ignore[arg-type]
        self.committed: dict[TP, int] = {}
        self.reach._committed = self.ask  # type: ignore[method-assign]
        for owned in self.owned.values():
            owned.clock.see(T0, T0)
            owned.foreign_at = T0 if mixed else UNKNOWN

    async def ask(self) -> dict[TP, int]:
        return self.committed

    def sent(self, number: int, end: int, topic: str = "readings") -> None:
        self.app.consumer.ends[TP(topic, number)] = end

    def read(self, number: int, upto: int, topic: str = "readings") -> None:
        self.sources[TP(topic, number)].position = upto

    def forwarded(self, end: int) -> None:
        self.sent(OURS, end, "smart-iot-forwarded")

    async def look(self, at: float) -> float:
        await self.reach.look(at)
        return self.owned[OURS].reached


async def test_what_had_been_sent_at_a_look_must_be_read_before_that_time_is_reached():
    worker = Worker(OURS)
    worker.sent(OURS, 5)
    assert await worker.look(10) == UNKNOWN
    worker.sent(OURS, 9)
    worker.read(OURS, 5)
    assert await worker.look(11) == 10
    worker.read(OURS, 9)
    assert await worker.look(12) == 12


async def test_where_readings_arrive_at_home_other_partitions_hold_nothing_up():
    worker = Worker(OURS, OTHERS)
    worker.sent(OTHERS, 5)
    assert await worker.look(10) == 10


async def test_where_readings_arrive_elsewhere_every_partition_counts():
    worker = Worker(OURS, OTHERS, mixed=True)
    worker.sent(OTHERS, 5)
    assert await worker.look(10) == UNKNOWN
    worker.read(OTHERS, 5)
    assert await worker.look(11) == 11


async def test_what_another_worker_has_read_counts_once_it_is_forwarded_and_applied():
    worker = Worker(OURS, mixed=True)
    worker.sent(OTHERS, 5)
    assert await worker.look(10) == UNKNOWN
    worker.committed = {TP("readings", OTHERS): 5}
    worker.forwarded(3)
    assert await worker.look(11) == UNKNOWN, "what it forwarded isn't applied yet"
    worker.sent(OTHERS, 6)
    worker.forwarded(4)
    worker.read(OURS, 3, "smart-iot-forwarded")
    assert await worker.look(12) == 10, "one more was sent since, but not before that look"
    worker.committed = {TP("readings", OTHERS): 6}
    worker.read(OURS, 4, "smart-iot-forwarded")
    assert await worker.look(13) == 13


async def test_a_shared_partitions_silence_is_judged_no_further_than_that():
    worker = Worker(OURS, mixed=True)
    owned = worker.owned[OURS]
    owned.clock.caught_up(T0)
    await worker.look(T0 + 5)
    assert owned.horizon() == T0 + 5
    worker.sent(OTHERS, 1)
    owned.clock.see(T0 + 30, T0 + 30)
    await worker.look(T0 + 30)
    assert owned.horizon() == T0 + 5


async def test_while_the_broker_does_not_answer_nothing_is_reached(monkeypatch):
    worker = Worker(OURS)

    async def fail(*_: TP) -> dict[TP, int]:
        raise KafkaConnectionError

    monkeypatch.setattr(worker.app.consumer, "highwaters", fail)
    assert await worker.look(10) == UNKNOWN


async def test_a_look_across_a_rebalance_says_nothing(monkeypatch):
    worker = Worker(OURS)
    before = worker.owned[OURS]

    async def rebalance(*_: TP) -> dict[TP, int]:
        worker.owned = {}
        return {}

    monkeypatch.setattr(worker.app.consumer, "highwaters", rebalance)
    await worker.reach.look(10)
    assert before.reached == UNKNOWN


async def test_a_worker_without_partitions_asks_nothing(monkeypatch):
    worker = Worker()
    asked: list[tuple[TP, ...]] = []
    monkeypatch.setattr(worker.app.consumer, "highwaters", lambda *tps: asked.append(tps))
    await worker.reach.look(10)
    assert asked == []


@pytest.mark.parametrize(("every", "usual"), [(1.0, LATELY), (60.0, 180.0)])
async def test_nothing_arrives_when_nothing_has_for_longer_than_is_usual(every, usual):
    worker = Worker(OURS)
    for number in range(1, 10):
        worker.sent(OTHERS, number)
        await worker.look(number * every)
    last = 9 * every
    await worker.look(last + usual - 1)
    assert worker.reach.arrives(last + usual - 1)
    assert not worker.reach.arrives(last + usual)
    worker.sent(OTHERS, 99)
    await worker.look(last + usual)
    assert worker.reach.arrives(last + usual)


async def test_whether_anything_arrives_is_not_known_at_once():
    """A new worker can't tell whether what it finds was sent just now."""
    worker = Worker(OURS)
    assert worker.reach.arrives(T0) is None
    worker.sent(OTHERS, 1)
    await worker.look(T0)
    assert worker.reach.arrives(T0 + LATELY - 1) is None
    assert worker.reach.arrives(T0 + LATELY) is False
    worker.sent(OTHERS, 2)
    await worker.look(T0 + 1)
    assert worker.reach.arrives(T0 + 1) is True


async def test_a_worker_that_was_without_partitions_does_not_know_either():
    worker = Worker(OURS)
    for number in (1, 2):
        worker.sent(OTHERS, number)
        await worker.look(T0 + number)
    assert worker.reach.arrives(T0 + 2) is True
    owned, worker.owned = worker.owned, {}
    await worker.reach.look(T0 + 3)
    worker.owned = owned
    worker.sent(OTHERS, 3)
    await worker.look(T0 + 10_000)
    assert worker.reach.arrives(T0 + 10_000) is None


async def test_it_is_known_since_when_the_broker_has_not_answered(monkeypatch):
    worker = Worker(OURS)
    await worker.look(T0)

    async def fail(*_: TP) -> dict[TP, int]:
        raise KafkaConnectionError

    with monkeypatch.context() as away:
        away.setattr(worker.app.consumer, "highwaters", fail)
        await worker.look(T0 + 60)
        assert worker.reach.answered_at == T0
    await worker.look(T0 + 61)
    assert worker.reach.answered_at == T0 + 61
