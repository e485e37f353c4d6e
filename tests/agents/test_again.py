"""Readings that are read again, after crashes that left any part of the rows behind, in; what must
hold of the rows and the events in them.

The guards are those of the real partition, rows and judge. No event is announced here, so a row's
outbox holds all that its device ever decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from faust.types import TP
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.intake import Intake
from agents.judge import Judge
from pipeline.home import home_of
from pipeline.rows import PARTITION_KEY, Row, decode
from pipeline.rules.engine import Engine
from tables.partition import Partition
from tests.agents.shell import T0, App, Event, Owner, Record, reading, written
from tests.pipeline.rules.test_properties import BOOK

HOME, ELSEWHERE = 1, 4
WALL = T0 + 1e7  # of long ago: a replay
NAMES = [f"d{n}" for n in range(60)]
AT_HOME = ["attic", *(name for name in NAMES if home_of(name, 8) == HOME)][:3]
AT_ELSEWHERE = [name for name in NAMES if home_of(name, 8) == ELSEWHERE][:1]

Stored = dict[bytes, bytes]


class Read(NamedTuple):
    """A record, and the partition that it is in."""

    number: int
    record: Record


class Said(NamedTuple):
    device: str
    arrives: int
    pause: float
    values: dict[str, float]


def history(said: Sequence[Said]) -> list[Read]:
    at, offsets, found = float(T0), Counter[int](), []
    for one in said:
        at += one.pause
        record = reading(offsets[one.arrives], one.device, at=at, **one.values)
        found.append(Read(one.arrives, record))
        offsets[one.arrives] += 1
    return found


HISTORIES = st.lists(
    st.builds(
        Said,
        st.sampled_from([*AT_HOME, *AT_ELSEWHERE]),
        st.sampled_from([HOME, HOME, ELSEWHERE]),
        st.sampled_from([0.0, 0.5, 10.0, 61.0, 3_600.0, 20_000.0]),
        st.dictionaries(
            st.sampled_from(["temperature", "humidity"]),
            st.sampled_from([-127.0, 20.0, 29.0, 31.0, 36.0, 50.0]),
            min_size=1,
        ),
    ),
    min_size=1,
    max_size=30,
).map(history)

ALL = 5
KEPT = st.integers(0, ALL)
LIVES = st.lists(st.tuples(st.integers(1, 30), KEPT, KEPT), min_size=1, max_size=4)
"""How much of the history a worker gets to, and how many rows of each partition's flush are
written when it crashes; the partition's own is the last."""


class Worker:
    """A life of the owner of two partitions, from what is stored of them."""

    def __init__(self, stored: dict[int, Stored]) -> None:
        self.stored = stored
        self.owner = Owner(HOME, ELSEWHERE)
        judge = Judge(Engine(BOOK, window=60.0), lambda: None)
        for number, owned in self.owner.owned.items():
            load(owned, stored[number])
            owned.generation += 1
            stored[number][PARTITION_KEY] = owned.packed()  # its claim
            for row in owned.rows.values():
                if row.outbox:  # which it would announce, and clear
                    owned.mark_dirty(row)
            owned.clock.resume()
            judge.take_up(owned)
            while judge.adopt_some(owned):
                pass
        self.intake = Intake(App(), self.owner, judge, None, None)  # type: ignore[arg-type]
        self.intake.begin()

    def read(self, history: Sequence[Read]) -> None:
        for number, record in history:
            source = self.owner.sources[TP("readings", number)]
            self.intake.put(source, Event([record]), WALL)  # type: ignore[arg-type]
            while self.intake.take_up(WALL):
                pass

    def flush(self, *kept: int) -> None:
        """So many rows of each partition's get through."""
        for (number, owned), many in zip(self.owner.owned.items(), kept, strict=True):
            for key, value in written(owned).rows[:many]:
                assert value is not None
                self.stored[number][key] = value

    def crash(self, *kept: int) -> Worker:
        """In the middle of a flush; the next owner."""
        self.flush(*kept)
        return Worker(self.stored)

    def rows(self) -> dict[int, Any]:
        """All that there is in the end, as the last cut would leave it."""
        found: dict[int, Any] = {}
        for number, owned in self.owner.owned.items():
            for row in owned.rows.values():
                row.leave_to_partition(owned.origins)
            owned.generation = 0
            rows = {key: decode(row.packed(0)) for key, row in sorted(owned.rows.items())}
            found[number] = [decode(owned.packed()), rows]
        return found

    def events(self) -> dict[str, list[tuple[str, int]]]:
        return {
            device: [(event.alert_id, event.seq) for event in row.outbox]
            for owned in self.owner.owned.values()
            for device, row in owned.rows.items()
        }


def load(partition: Partition, stored: Stored) -> None:
    for key, value in stored.items():
        if key == PARTITION_KEY:
            partition.read(decode(value))
        else:
            partition.rows[key.decode()] = Row.unpacked(key.decode(), decode(value))


def begun() -> Worker:
    return Worker({HOME: {}, ELSEWHERE: {}})


HOT = history([Said("attic", arrives, 1.0, {"temperature": 36.0}) for arrives in (1, 4, 4, 1) * 4])


@settings(max_examples=100)
@given(HISTORIES, LIVES)
@example(HOT, [(16, ALL, ALL)])
@example(HOT, [(16, 1, ALL)])  # a row is ahead of its partition
@example(HOT, [(16, 1, 0), (26, ALL, ALL)])  # and stays so beyond the next flush
@example(HOT, [(8, ALL, ALL), (16, 1, 0), (12, 0, ALL)])
def test_readings_that_are_read_again_after_crashes_give_the_rows_and_events_of_one_reading(
    read: list[Read], lives: list[tuple[int, int, int]]
) -> None:
    once, worker = begun(), begun()
    once.read(read)
    for upto, *kept in lives:
        worker.read(read[: upto // 2])
        worker.flush(ALL, ALL)
        worker.read(read[:upto])  # from the start, as after a rebalance that left it what it had
        worker = worker.crash(*kept)
    worker.read(read)
    for events in worker.events().values():
        assert len({*events}) == len(events)
    assert worker.events() == once.events()
    assert worker.rows() == once.rows()


def test_the_histories_of_this_have_events_of_every_kind_of_rule() -> None:
    """Else it would say little."""
    said = [Said("attic", 1, 15.0, {"temperature": 36.0, "humidity": 50.0})] * 8
    said += [Said("attic", 4, 3_600.0, {"temperature": -127.0})] * 5
    worker = begun()
    worker.read(history(said))
    (row,) = (row for owned in worker.owner.owned.values() for row in owned.rows.values())
    assert {event.rule for event in row.outbox} >= {"heat", "impossible", "stuck", "offline"}
