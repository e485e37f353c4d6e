"""The batch transport, without a broker: what it delivers, what it may commit, where it goes back.

Each of the silent losses that it closes has its test here; `tests/proof` shows the same on Apache
Kafka with real crashes.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiokafka
import pytest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from pipeline.streams import app, sources
from pipeline.transport import CHUNK_RECORDS, IMPATIENT, Consumer, Recovery
from tables.devices import devices

READINGS = TP(app.names.readings, 0)
OTHER = TP(app.names.readings, 1)
CHANGELOG = TP(devices.changelog_topic_name, 0)


class Record(NamedTuple):
    """What aiokafka hands over."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 1_000
    timestamp_type: int = 0
    headers: tuple[()] = ()
    key: bytes = b"k"
    value: bytes = b"v"
    checksum: int | None = None
    serialized_key_size: int = 1
    serialized_value_size: int = 1


class Driver:
    """The consumer thread's part: serves what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.served: dict[TP, list[Record]] = {}
        self.asked: list[set[TP]] = []
        self.calls: list[Any] = []
        self.committed: dict[TP, int | None] = {}
        self.on_fetch = lambda: None

    async def getmany(self, active: set[TP], timeout: float) -> dict[TP, list[Record]]:
        self.asked.append(active)
        self.on_fetch()
        return self.served

    def highwater(self, tp: TP) -> int:
        return 1_000

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.calls.append(("seek_wait", positions))

    def assignment(self) -> set[TP]:
        return {READINGS, OTHER, CHANGELOG}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.calls.append("seek_to_committed")
        return self.committed

    async def seek_to_beginning(self, *tps: TP) -> None:
        self.calls.append(("seek_to_beginning", {tuple(tp) for tp in tps}))

    async def position(self, tp: TP) -> int:
        return self.committed.get(tp) or 0

    async def commit(self, offsets: dict[TP, int]) -> bool:
        self.calls.append(("commit", offsets))
        return True


@pytest.fixture
async def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    app.topics.add(sources)
    made = app.transport.create_consumer(
        callback=lambda _: None,
        on_partitions_revoked=None,
        on_partitions_assigned=None,
    )
    made._thread = Driver()
    made._active_partitions = {READINGS, OTHER}
    made.flow_active = True
    made._positioned_in = 7
    monkeypatch.setattr(app, "consumer_generation_id", 7, raising=False)
    monkeypatch.setattr(app, "on_positioned", lambda _: None, raising=False)
    return made


def records(tp: TP, *offsets: int) -> list[Record]:
    return [Record(tp.topic, tp.partition, offset) for offset in offsets]


async def delivered(consumer: Consumer) -> list[tuple[TP, Any]]:
    return [message async for message in consumer.getmany(timeout=0.01)]


async def test_a_message_is_a_chunk_of_one_partition_and_its_offset_is_the_last(consumer):
    count = CHUNK_RECORDS + 3
    consumer._thread.served = {READINGS: records(READINGS, *range(count))}
    (first_tp, first), (_, second) = await delivered(consumer)
    assert first_tp == READINGS
    assert [r.offset for r in first.value] == list(range(CHUNK_RECORDS))
    assert first.offset == CHUNK_RECORDS - 1
    assert second.offset == count - 1


async def test_an_empty_set_of_partitions_is_not_handed_to_aiokafka_which_takes_it_for_all(
    consumer,
):
    consumer._active_partitions = set()
    assert await consumer._getmany(set(), timeout=0.01) == {}
    assert consumer._thread.asked == []


async def test_aiokafka_gets_a_copy_of_the_set_that_a_rebalance_empties(consumer):
    consumer._thread.on_fetch = consumer._active_partitions.clear
    consumer._thread.served = {}
    await delivered(consumer)
    assert consumer._thread.asked == [{READINGS, OTHER}]


async def test_partitions_are_delivered_in_turn_though_a_fetch_brings_all_of_one_first(consumer):
    """Else one runs ahead of the others, which may have what is older, by a whole fetch."""
    consumer._thread.served = {
        OTHER: records(OTHER, *range(2 * CHUNK_RECORDS)),
        READINGS: records(READINGS, *range(3 * CHUNK_RECORDS)),
    }
    turns = [tp for tp, _ in await delivered(consumer)]
    assert turns == [OTHER, READINGS, OTHER, READINGS, READINGS]


async def test_what_was_fetched_of_a_partition_that_is_paused_meanwhile_waits_until_it_goes_on(
    consumer,
):
    count = 2 * CHUNK_RECORDS
    consumer._thread.served = {READINGS: records(READINGS, *range(count)), OTHER: records(OTHER, 7)}
    first, *_ = [
        message.offset
        async for tp, message in consumer.getmany(timeout=0.01)
        if tp == READINGS and consumer.pause_partitions([READINGS]) is None
    ]
    consumer.on_buffer_drop(READINGS)
    consumer._thread.served = {}
    assert await delivered(consumer) == []
    assert consumer._thread.asked[-1] == {OTHER}  # no more than one fetch of it waits
    consumer.resume_partitions([READINGS])
    ((_, second),) = await delivered(consumer)
    assert (first, second.offset) == (CHUNK_RECORDS - 1, count - 1)
    assert [record.offset for record in second.value] == list(range(CHUNK_RECORDS, count))
    assert consumer._thread.calls == []


async def test_what_waits_isnt_delivered_once_positions_are_set_anew(consumer):
    consumer._thread.served = {READINGS: records(READINGS, 6)}
    consumer._thread.on_fetch = lambda: consumer.pause_partitions([READINGS])
    assert await delivered(consumer) == []
    await consumer.perform_seek()
    consumer._thread.on_fetch, consumer._thread.served = (lambda: None), {}
    consumer.resume_partitions([READINGS])
    assert await delivered(consumer) == []


async def test_what_is_paused_waits_though_fausts_own_queue_was_full_before(consumer):
    consumer._thread.served = {READINGS: records(READINGS, 5)}
    consumer.on_buffer_full(READINGS)
    consumer._thread.on_fetch = lambda: consumer.pause_partitions([READINGS])
    assert await delivered(consumer) == []


async def test_a_fetch_that_a_stop_of_the_flow_has_overtaken_brings_nothing(consumer):
    """Nor may a commit go as far as it went: what was delivered before is forgotten by then."""
    consumer._thread.served = {READINGS: records(READINGS, 5)}
    consumer._thread.on_fetch = lambda: (
        setattr(consumer, "fetched_to", {OTHER: 9}),
        consumer.stop_flow(),
    )
    assert await delivered(consumer) == []
    consumer.resume_flow()
    consumer._thread.on_fetch, consumer._thread.served = (lambda: None), {}
    assert await delivered(consumer) == []
    assert consumer._new_offset(OTHER) is None


async def test_the_app_can_go_to_other_positions_when_it_is_told_of_them(consumer):
    """In the consumer's own thread: it may just be reading one of them."""
    gone = TP(READINGS.topic, 7)
    app.on_positioned = lambda _: consumer.go_to({OTHER: 30, gone: 3})
    await consumer.perform_seek()
    assert consumer._thread.calls[-1] == ("seek_wait", {OTHER: 30})
    app.on_positioned = lambda _: None
    await consumer.perform_seek()
    assert consumer._thread.calls[-1] != ("seek_wait", {OTHER: 30})


async def test_nothing_is_taken_while_positions_are_set(consumer, monkeypatch):
    """It would be in nobody's hands, and the position already behind it."""
    tp = aiokafka.TopicPartition(*READINGS)
    fetched, seeks = {tp: records(READINGS, 5, 6)}, []

    async def fetch(*_: Any) -> dict[Any, list[Record]]:
        return fetched

    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetch)
    stock = SimpleNamespace(
        seek=lambda *to: seeks.append(to), _subscription=SimpleNamespace(subscription=None)
    )
    thread = consumer._new_consumer_thread()
    assert await thread._fetch_records(stock, {READINGS}) == fetched
    consumer.stop_flow()
    assert await thread._fetch_records(stock, {READINGS}) == {}
    assert seeks == [(tp, 5)]


async def test_what_is_paused_stays_so_when_fausts_own_queue_has_room_again(consumer):
    consumer.on_buffer_full(OTHER)
    consumer.pause_partitions([OTHER])
    consumer.on_buffer_drop(OTHER)
    await delivered(consumer)
    consumer.resume_partitions([OTHER])
    await delivered(consumer)
    assert consumer._thread.asked == [{READINGS}, {READINGS, OTHER}]


async def test_what_was_fetched_before_a_rebalance_is_neither_delivered_nor_sought_to(
    consumer, monkeypatch
):
    consumer._thread.served = {READINGS: records(READINGS, *range(2 * CHUNK_RECORDS))}
    got = []
    async for _, message in consumer.getmany(timeout=0.01):
        got.append(message)
        monkeypatch.setattr(app, "consumer_generation_id", 8)
    assert len(got) == 1
    assert consumer._thread.calls == []


async def test_nothing_is_delivered_in_a_generation_before_its_positions_are_set(
    consumer, monkeypatch
):
    """A recovery can end in the midst of the next rebalance, and lets the flow run."""
    monkeypatch.setattr(app, "consumer_generation_id", 8)
    consumer._thread.served = {READINGS: records(READINGS, 5)}
    assert await delivered(consumer) == []
    await consumer.perform_seek()
    assert len(await delivered(consumer)) == 1


async def test_what_has_room_again_in_fausts_queue_does_not_wait_for_an_idle_fetch(consumer):
    waited: list[float] = []

    async def getmany(active: set[TP], timeout: float) -> dict[TP, list[Record]]:
        waited.append(timeout)
        return {}

    consumer._thread.getmany = getmany
    consumer.on_buffer_full(READINGS)
    assert [message async for message in consumer.getmany(timeout=1.0)] == []
    consumer.on_buffer_full(OTHER)  # now nothing can be fetched at all
    async with asyncio.timeout(0.5):
        assert [message async for message in consumer.getmany(timeout=1.0)] == []
    consumer.on_buffer_drop(READINGS)
    consumer.on_buffer_drop(OTHER)
    assert [message async for message in consumer.getmany(timeout=1.0)] == []
    assert waited == [IMPATIENT, 1.0]


async def test_a_recreated_topic_whose_offsets_start_anew_is_delivered(consumer):
    consumer._read_offset[READINGS] = 5_000
    consumer._thread.served = {READINGS: records(READINGS, 0, 1)}
    assert len(await delivered(consumer)) == 1
    assert consumer._read_offset[READINGS] is None  # Faust drops what is below it


async def test_how_far_a_partition_is_read_counts_offsets_that_hold_no_record(consumer):
    """Transaction markers, and what retention deleted, are passed without being delivered."""
    consumer._thread.served = {READINGS: records(READINGS, 0, 1)}
    consumer._thread.on_fetch = lambda: setattr(consumer, "fetched_to", {READINGS: 3, OTHER: 9})
    await delivered(consumer)
    assert consumer.read_to(OTHER, 0) == 9
    assert consumer.read_to(READINGS, 1) == 1  # the stream hasn't taken what was delivered
    assert consumer.read_to(READINGS, 2) == 3


async def test_only_the_longest_acked_prefix_is_committed_and_a_jump_in_offsets_is_no_gap(consumer):
    consumer._thread.served = {READINGS: records(READINGS, *range(3))}
    ((_, first),) = await delivered(consumer)
    consumer._thread.served = {READINGS: records(READINGS, 700, 701)}  # 3 to 699 compacted away
    ((_, second),) = await delivered(consumer)
    consumer.ack(second)
    assert consumer._new_offset(READINGS) is None
    consumer.ack(first)
    assert consumer._new_offset(READINGS) == 702
    assert consumer._new_offset(READINGS) is None


async def test_a_commit_goes_behind_offsets_that_hold_no_record_once_all_before_them_is_acked(
    consumer,
):
    """Else other workers would wait for what the committed offset says is still to come."""
    consumer._thread.served = {READINGS: records(READINGS, 0, 1)}
    consumer._thread.on_fetch = lambda: setattr(consumer, "fetched_to", {READINGS: 3, OTHER: 9})
    ((_, message),) = await delivered(consumer)
    assert set(consumer._filter_tps_with_pending_acks()) == {READINGS, OTHER}
    assert consumer._new_offset(READINGS) is None
    consumer.ack(message)
    assert consumer._new_offset(READINGS) == 3
    assert consumer._new_offset(OTHER) == 9


async def test_a_seek_goes_to_committed_offsets_or_the_beginning_and_forgets_what_was_delivered(
    consumer,
):
    consumer._thread.served = {READINGS: records(READINGS, *range(50, 53))}
    ((_, message),) = await delivered(consumer)
    consumer._thread.committed = {READINGS: 50, OTHER: None, CHANGELOG: 12}
    positions = {}
    app.on_positioned = positions.update
    await consumer.perform_seek()
    assert consumer._thread.calls == [
        "seek_to_committed",
        ("seek_to_beginning", {tuple(OTHER)}),
    ]
    assert positions == {READINGS: 50, OTHER: 0}
    consumer.ack(message)  # an ack from before the seek moves nothing
    assert consumer._new_offset(READINGS) is None


async def test_partitions_are_given_away_only_after_the_app_has_written(consumer, monkeypatch):
    consumer._thread.served = {READINGS: records(READINGS, 0, 1)}
    ((_, message),) = await delivered(consumer)
    monkeypatch.setattr(app, "consumer_generation_id", 7)

    async def write_and_ack() -> None:
        consumer._thread.calls.append("release")
        consumer.ack(message)

    monkeypatch.setattr(app, "on_release", write_and_ack, raising=False)

    async def nothing_to_flush() -> None:
        pass

    monkeypatch.setattr(app.producer, "flush", nothing_to_flush)
    await consumer.wait_empty()
    assert consumer._thread.calls == ["release", ("commit", {READINGS: 2})]
    assert not consumer.unacked


async def test_of_a_chunk_that_is_done_in_part_that_part_is_committed_when_it_is_given_away(
    consumer, monkeypatch
):
    consumer._thread.served = {READINGS: records(READINGS, 0, 1, 2)}

    async def release() -> None:
        consumer.settled({READINGS: 2})
        await delivered(consumer)  # what still comes counts no more

    monkeypatch.setattr(app, "on_release", release, raising=False)
    await delivered(consumer)
    await consumer.wait_empty()
    assert consumer._thread.calls == [("commit", {READINGS: 2})]
    consumer._thread.served = {READINGS: records(READINGS, 2)}
    ((_, message),) = await delivered(consumer)
    consumer.ack(message)
    assert consumer._new_offset(READINGS) == 3


async def test_a_rebalance_that_meets_a_stop_waits_until_all_is_written(consumer, monkeypatch):
    writing, calls = asyncio.Event(), []

    async def write() -> None:
        calls.append("begin")
        await writing.wait()
        calls.append("end")

    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(app, "on_release", write, raising=False)
    monkeypatch.setattr(app.producer, "flush", nothing)
    monkeypatch.setattr(consumer, "_on_partitions_revoked", nothing)
    monkeypatch.setattr(type(app), "should_stop", True)
    stopping = asyncio.create_task(consumer.wait_empty())
    revoking = asyncio.create_task(consumer.on_partitions_revoked({READINGS}))
    await asyncio.sleep(0.01)
    assert (calls, revoking.done()) == (["begin"], False)
    writing.set()
    await asyncio.gather(stopping, revoking)
    assert calls == ["begin", "end"] * 2


async def test_after_a_recovery_positions_come_first_then_the_queues_then_the_sources(monkeypatch):
    calls: list[str] = []

    class Recorder:
        """Stands for the consumer, the flow control and the fetcher at once: names in order."""

        def __getattr__(self, name: str) -> Any:
            def call(*_: Any) -> Any:
                calls.append(name)
                return Done()

            return call

    class Done:
        """May be awaited, and need not."""

        def __await__(self) -> Any:
            yield from ()

    everything = Recorder()

    class Tables(dict[str, Any]):
        changelog_topics = frozenset({app.names.changelog})
        on_actives_ready = on_standbys_ready = staticmethod(lambda: None)

    class App:
        consumer_generation_id = 3
        conf = app.conf
        consumer = flow_control = _fetcher = on_rebalance_complete = everything
        on_rebalance_end = staticmethod(lambda: None)
        restore = everything.restore
        in_recovery = False

    monkeypatch.setattr(Recorder, "assignment", lambda _: {READINGS, CHANGELOG}, raising=False)
    recovery = Recovery(App, Tables())
    await recovery.on_recovery_completed(generation_id=3)
    order = ["stop_flow", "pause_changelogs", "restore", "perform_seek", "resume", "resume_flow"]
    assert [call for call in calls if call in [*order, "resume_partitions"]] == [
        *order,
        "resume_partitions",
    ]
    calls.clear()
    await recovery.on_recovery_completed(generation_id=2)  # of a rebalance that is over
    assert "resume_partitions" not in calls
    calls.clear()
    await recovery._resume_streams(generation_id=3)  # of an app without tables
    assert [call for call in calls if call in order] == order


async def test_a_broker_that_does_not_answer_in_time_is_an_error_and_no_end_of_recovering():
    class App:
        conf = app.conf
        in_recovery = False

    recovery = Recovery(App, {})
    with pytest.raises(TimeoutError):
        await recovery._wait(asyncio.sleep(5), timeout=0.01)


async def test_a_changelog_that_is_paused_for_good_is_not_reported_as_stuck(consumer):
    looked_at: list[TP] = []
    consumer._thread.verify_event_path = lambda _, tp: looked_at.append(tp)
    for tp in (READINGS, CHANGELOG):
        consumer.verify_event_path(0.0, tp)
    assert looked_at == [READINGS]
