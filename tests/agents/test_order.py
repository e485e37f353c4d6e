"""Whose turn it is: the oldest reading's, as far as nothing older can come."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP

from agents.item import Item
from agents.order import Chunk, Order, Source, earliest
from tables.partition import READINGS
from tests.agents.shell import T0, Event, Owner, Record

WALL = T0 + 1e7


class Sources(Owner):
    """Partitions 0 and 1, whose readings are found mixed; `taken` is what was taken up so far."""

    def __init__(self, *, mixed: bool = True) -> None:
        super().__init__(0, 1)
        self.order = Order(self.read_to, self.end_of)
        self.taken: list[tuple[int, float]] = []
        for owned in self.owned.values():
            owned.applied[READINGS] = 0  # they have been read before
        self.order.begin(self.all())
        if mixed:
            self.order.came(self.readings(0), mixed=True)

    def all(self) -> list[Source]:
        return list(self.sources.values())

    def readings(self, number: int) -> Source:
        return self.sources[TP("readings", number)]

    def arrive(self, number: int, *times: float, topic: str = "readings") -> None:
        source = self.sources[TP(topic, number)]
        items = []
        for offset, at in enumerate(times, source.position):
            where = (topic, number, (0, offset), round((T0 + at) * 1000))
            items.append(Item(*where, Record(offset, b"")))  # type: ignore[arg-type]
        event: Any = Event([])
        source.put(Chunk(event, items), WALL)
        self.order.came(source, mixed=False)

    def go_on(self) -> list[tuple[int, float]]:
        """Take up what can be; (partition, time) of each."""
        found = []
        while ready := self.order.ready(self.all()):
            source, until = earliest(ready)
            origins = [item.origin() for item in source.take(until, 500)]
            found += [(origin.partition, origin.timestamp / 1000 - T0) for origin in origins]
            source.pop_taken()
        return found

    def ending(self, **ends: int) -> None:
        self.ends = {TP("readings", int(name[1:])): end for name, end in ends.items()}


@pytest.fixture
def sources() -> Sources:
    return Sources()


def test_sources_are_taken_up_in_the_order_of_their_record_times(sources):
    sources.arrive(0, 1, 4, 5)
    sources.arrive(1, 2, 3, 6)
    assert sources.go_on() == [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (1, 6)]


def test_a_source_that_is_not_at_its_end_is_waited_for(sources):
    sources.ending(p0=2, p1=1)
    sources.arrive(0, 1, 4)
    assert sources.go_on() == []
    sources.arrive(1, 2)
    assert sources.go_on() == [(0, 1), (1, 2), (0, 4)]


def test_a_source_at_its_end_holds_nothing_up(sources):
    sources.ending(p0=1, p1=0)
    sources.arrive(0, 1)
    assert sources.go_on() == [(0, 1)]


def test_nothing_is_waited_for_where_every_reading_arrives_at_home():
    sources = Sources(mixed=False)
    sources.ending(p0=1, p1=9)
    sources.arrive(0, 4)
    assert sources.go_on() == [(0, 4)]


def test_what_nobody_has_ever_read_may_be_mixed_until_its_backlog_is_read():
    sources = Sources(mixed=False)
    sources.owned[0].applied[READINGS] = -1
    sources.readings(1).backlog_end = 1
    sources.order.begin(sources.all())
    sources.arrive(0, 4)
    assert sources.go_on() == []
    sources.arrive(1, 2)
    assert sources.go_on() == [(1, 2), (0, 4)]
    sources.order.look(sources.all())
    sources.ending(p1=9)
    sources.arrive(0, 5)
    assert sources.go_on() == [(0, 5)]


def test_what_does_not_come_is_waited_for_no_more_until_something_of_it_does(sources):
    sources.ending(p0=9, p1=9)
    sources.arrive(0, 1)
    assert sources.order.give_up(sources.all()) == [TP("readings", 1)]
    assert sources.go_on() == [(0, 1)]
    sources.arrive(1, 2)
    sources.arrive(0, 3)
    assert sources.go_on() == [(1, 2)], "it comes again, so the rest of it is waited for again"


def test_what_an_inbox_held_when_it_became_ours_comes_before_all_readings(sources):
    inbox = sources.sources[TP("smart-iot-forwarded", 0)]
    inbox.backlog_end = 1
    sources.arrive(1, 1)
    assert sources.go_on() == []
    assert sources.order.give_up(sources.all()) == [], "it can't be done without"
    sources.arrive(0, 7, topic="smart-iot-forwarded")
    assert sources.go_on() == [(0, 7), (1, 1)]


def test_a_record_time_that_goes_back_holds_nothing_up_and_nothing_is_overtaken(sources):
    """Within a partition the order stays, whatever the times in it claim."""
    sources.arrive(0, 100, 5, 101)
    sources.arrive(1, 99, 102)
    assert sources.go_on() == [(1, 99), (0, 100), (0, 5), (0, 101), (1, 102)]


def test_one_record_from_the_future_does_not_hold_its_partition_up(sources):
    sources.arrive(0, 1, 2, 3, 1e6, 5)
    sources.arrive(1, 4, 6)
    assert sources.go_on() == [(0, 1), (0, 2), (0, 3), (0, 1e6), (1, 4), (0, 5), (1, 6)]


def test_taking_a_chunk_up_in_part_leaves_the_rest_in_place(sources):
    sources.arrive(0, 1, 2, 3)
    source = sources.readings(0)
    assert len(list(source.take(float("inf"), 2))) == 2
    assert (source.position, source.pop_taken()) == (2, None)
    assert len(list(source.take(float("inf"), 2))) == 1
    assert source.position == 3
    assert source.pop_taken() is not None
