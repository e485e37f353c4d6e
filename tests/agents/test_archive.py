"""Chunks in; batches in order, acknowledged once the database has them, whatever befalls it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from math import isnan
from typing import Any

import pytest
from faust.types import TP

from agents import archive as module
from agents.archive import Archive
from pipeline.metrics import ARCHIVE
from pipeline.settings import Settings
from pipeline.sinks.sink import (
    READING,
    Batch,
    Refuse,
    Refused,
    SinkRejected,
    SinkUnavailable,
    Source,
    stands,
)
from pipeline.supervisor import Pauses
from tests.agents.shell import App as Shell
from tests.pipeline.sinks.shell import Record, reading, record

READINGS = TP("readings", 0)
SOURCE = ("readings", 0)


class Kept:
    """A database in memory. `away` is how often it doesn't answer; `poison` are offsets that it
    refuses."""

    takes = (READING,)

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.stored: dict[Source, int | None] = {}
        self.anew: list[Source] = []
        self.away = 0
        self.poison: set[int] = set()
        self.tries = 0
        self.current_of: list[Source] = []
        self.tidied: list[int | Exception] = []

    def _answer(self) -> None:
        self.tries += 1
        if self.away:
            self.away -= 1
            raise SinkUnavailable("away")

    async def migrate(self) -> str:
        return "nothing to do"

    async def progress(self, cluster: str, sources: Collection[Source]) -> Mapping[Source, int]:
        self._answer()
        return {one: at for one in sources if (at := self.stored.get(one)) is not None}

    async def write(self, cluster: str, batch: Batch, refuse: Refuse, at: float) -> None:
        self._answer()
        spans = {str(source): span for source, span in batch.spans.items()}
        assert not stands(spans, {str(source): at for source, at in self.stored.items()})
        self.anew += [source for source, span in batch.spans.items() if span.anew]
        refused = [Refused(one, "poison") for one in batch.entries if one.offset in self.poison]
        if batch.refused or refused:
            await refuse(batch.refused + refused)
        self.offsets += [one.offset for one in batch.entries if one.offset not in self.poison]
        self.stored |= {source: span.end for source, span in batch.spans.items()}

    async def current(self, cluster: str, stands: Mapping[Source, int]) -> None:
        self._answer()
        self.current_of += stands

    async def tidy(self, at: float) -> int:
        done = self.tidied.pop(0)
        if isinstance(done, Exception):
            raise done
        return done

    async def close(self) -> None:
        pass


class Consumer:
    def __init__(self) -> None:
        self.gone_to: dict[TP, int] = {}
        self.ends: dict[TP, int] = {}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.ends[tp] for tp in tps}

    def go_to(self, positions: Mapping[TP, int]) -> None:
        self.gone_to |= positions


class App(Shell):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = Settings(**settings)
        self.consumer = Consumer()  # type: ignore[assignment]
        self.consumer_generation_id = 1


@dataclasses.dataclass
class Message:
    topic: str
    partition: int
    offset: int
    generation_id: int = 1


class Event:
    def __init__(self, records: Sequence[Record], generation: int = 1) -> None:
        last = records[-1]
        self.message = Message(last.topic, last.partition, last.offset, generation)
        self.value = records
        self.acked = False

    def ack(self) -> None:
        self.acked = True


def chunk(*offsets: int, generation: int = 1) -> Any:
    return Event([reading(offset, temperature=20) for offset in offsets], generation)


def made(sink: Kept, **settings: Any) -> Archive:
    archive = Archive(App(**settings), "mongo", {"readings": READING})  # type: ignore[arg-type]
    archive.sink = sink
    return archive


async def assigned(archive: Archive, committed: int = 0, end: int = 1_000) -> None:
    archive._ends = {SOURCE: end}
    await archive.restore(frozenset({READINGS}))
    archive.positioned({READINGS: committed})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", Pauses(first=0.01, longest=0.02))

    async def ends(app: Any, sources: Sequence[Source]) -> dict[Source, int]:
        return dict.fromkeys(sources, 1_000)

    monkeypatch.setattr(module, "ends_of", ends)


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
async def archive(sink: Kept) -> Archive:
    archive = made(sink)
    await assigned(archive)
    return archive


async def test_chunks_are_acknowledged_once_they_are_written(archive, sink):
    first, second = chunk(0, 1), chunk(2)
    await archive.take(first)
    await archive.take(second)
    assert not first.acked
    await archive.flush()
    assert sink.offsets == [0, 1, 2]
    assert first.acked
    assert second.acked
    assert sink.stored == {SOURCE: 3}


@pytest.mark.parametrize(
    ("stored", "committed", "goes_to", "anew"),
    [
        (5, 5, {}, False),
        (5, 9, {READINGS: 5}, False),  # the database was set back
        (9, 5, {READINGS: 9}, False),  # a crash came before the commit
        (None, 9, {READINGS: 0}, True),  # it was emptied
        (2_000, 9, {READINGS: 0}, True),  # the topic was made anew
    ],
)
async def test_what_the_database_says_is_where_it_goes_on(sink, stored, committed, goes_to, anew):
    sink.stored = {SOURCE: stored}
    archive = made(sink)
    await assigned(archive, committed)
    assert archive.app.consumer.gone_to == goes_to
    await archive.take(chunk(next(iter(goes_to.values()), committed)))
    await archive.flush()
    assert bool(sink.anew) is anew


async def test_a_database_that_is_away_holds_the_source_and_gets_the_same_batch_later(sink):
    archive = made(sink, archive_rows=2)
    await assigned(archive)
    sink.away = 3
    writing = asyncio.create_task(archive.write_for_ever())
    for start in range(0, 10, 2):
        await asyncio.wait_for(archive.take(chunk(start, start + 1)), 5)
    while len(sink.offsets) < 10:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    writing.cancel()
    assert sink.offsets == list(range(10))
    assert archive.problem is None


async def test_no_more_is_gathered_than_a_batch_while_another_is_tried(sink):
    archive = made(sink, archive_rows=2)
    await assigned(archive)
    sink.away = 1_000_000
    writing = asyncio.create_task(archive.write_for_ever())
    await archive.take(chunk(0, 1))
    await asyncio.sleep(0.02)
    await archive.take(chunk(2, 3))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(archive.take(chunk(4, 5)), 0.1)
    assert "mongo can't be written: away" in str(archive.problem)
    writing.cancel()


async def test_what_has_waited_for_long_enough_is_written_though_it_is_little(sink):
    archive = made(sink, archive_wait=0.05)
    await assigned(archive)
    writing = asyncio.create_task(archive.write_for_ever())
    await archive.take(chunk(0))
    await asyncio.sleep(0.02)
    assert sink.offsets == []
    await asyncio.sleep(0.1)
    assert sink.offsets == [0]
    writing.cancel()


@pytest.mark.parametrize(("rows", "size"), [(2, 1_000_000), (1_000_000, 50)])
async def test_as_many_records_or_bytes_as_a_batch_holds_are_written_at_once(
    sink, monkeypatch, rows, size
):
    monkeypatch.setattr(module, "MOST_BYTES", size)
    archive = made(sink, archive_rows=rows, archive_wait=1_000.0)
    await assigned(archive)
    writing = asyncio.create_task(archive.write_for_ever())
    await archive.take(chunk(0))  # 41 bytes
    await asyncio.sleep(0.05)
    assert sink.offsets == []
    await archive.take(chunk(1))
    await asyncio.sleep(0.05)
    assert sink.offsets == [0, 1]
    writing.cancel()


async def test_what_is_given_away_is_written_before_and_what_cant_be_is_left_to_its_next_owner(
    archive, sink
):
    first, second = chunk(0), chunk(1)
    await archive.take(first)
    await archive.release()
    assert first.acked
    await assigned(archive)
    await archive.take(second)
    sink.away = 1_000_000
    await asyncio.wait_for(archive.release(), 1)  # without a second try
    assert not second.acked
    assert sink.offsets == [0]


async def test_a_batch_that_is_given_up_takes_what_came_after_it_along(sink):
    archive = made(sink, archive_rows=1)
    await assigned(archive)
    sink.away = 1_000_000
    writing = asyncio.create_task(archive.write_for_ever())
    chunks = [chunk(0), chunk(1)]
    for one in chunks:
        await archive.take(one)
        await asyncio.sleep(0.02)
    await archive.release()
    sink.away = 0
    await assigned(archive)
    await archive.take(chunk(0, 1))
    await asyncio.sleep(0.1)
    assert sink.offsets == [0, 1]
    assert not any(one.acked for one in chunks)
    writing.cancel()


async def test_a_chunk_of_an_assignment_that_is_over_is_left_out(archive, sink):
    await archive.take(chunk(7, generation=0))
    await archive.take(chunk(0))
    await archive.flush()
    assert sink.offsets == [0]


async def test_what_is_refused_is_told_before_the_progress_goes_on(archive, sink):
    sink.poison = {1}
    told: list[Any] = []
    send = archive.app.producer.send

    async def sending(*what: Any) -> Any:
        told.append((what[0], dict(what[5]), dict(sink.stored)))
        return await send(*what)

    archive.app.producer.send = sending
    await archive.take(chunk(0, 1, 2))
    await archive.flush()
    ((topic, headers, stored),) = told
    assert topic == "readings-rejected"
    assert headers == {
        "reason": b"sink_rejected",
        "topic": b"readings",
        "partition": b"0",
        "offset": b"1",
        "sink": b"mongo",
        "detail": b"poison",
    }
    assert stored == {}
    assert sink.offsets == [0, 2]


async def test_records_that_say_nothing_for_us_move_the_progress_all_the_same(archive, sink):
    await archive.take(Event([record(READING, 0, b"?"), record(READING, 1, None)]))
    await archive.flush()
    assert (sink.offsets, sink.stored) == ([], {SOURCE: 2})


async def test_an_archive_waits_at_its_start_for_a_database_that_is_away(sink):
    sink.away = 3
    archive = made(sink)
    await asyncio.wait_for(assigned(archive), 5)
    assert sink.tries == 4


async def test_what_waits_isnt_said_to_be_nothing_before_the_database_says_how_far_it_is(
    sink, monkeypatch
):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    archive = made(sink)
    archive.app.consumer.ends[READINGS] = 7  # type: ignore[attr-defined]
    looking = asyncio.create_task(archive.look_for_ever())
    sink.away = 1_000_000
    assigning = asyncio.create_task(assigned(archive))
    await asyncio.sleep(0.05)
    assert isnan(waiting())
    sink.away = 0
    await assigning
    await asyncio.sleep(0.05)
    assert waiting() == 7
    looking.cancel()


def waiting() -> float:
    lag = ARCHIVE.get_sample_value("smart_iot_archive_lag_records", {"sink": "mongo"})
    assert lag is not None
    return lag


async def test_a_partition_is_current_once_all_is_written_that_it_had_at_the_look_before(
    sink, monkeypatch
):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.02)
    archive = made(sink)
    await assigned(archive)
    ends = archive.app.consumer.ends  # type: ignore[attr-defined]
    ends[READINGS] = 2
    looking = asyncio.create_task(archive.look_for_ever())
    await asyncio.sleep(0.1)
    assert sink.current_of == []  # two of its readings wait
    await archive.take(chunk(0, 1))
    await archive.flush()
    await asyncio.sleep(0.1)
    assert set(sink.current_of) == {SOURCE}
    sink.away = 1
    await asyncio.sleep(0.1)
    assert not looking.done()  # whoever writes says that the database is away
    ends[READINGS] = 9
    await asyncio.sleep(0.1)
    sink.current_of.clear()
    await asyncio.sleep(0.1)
    assert sink.current_of == []
    looking.cancel()


async def test_whatever_hinders_the_tidying_it_goes_on_later_and_until_nothing_is_left(
    archive, sink, monkeypatch
):
    monkeypatch.setattr(module, "TIDY_EVERY", 0.01)
    monkeypatch.setattr(module, "TIDY_PAUSE", 0.0)
    sink.tidied = [SinkUnavailable("away"), SinkRejected("a foreign key"), 2_000, 7, *[0] * 1_000]
    tidying = asyncio.create_task(archive.tidy_for_ever())
    while len(sink.tidied) >= 1_000:
        assert not tidying.done()
        await asyncio.sleep(0.01)
    tidying.cancel()
