"""Kafka records in, one Faust message per chunk of them out; commits only follow acks.

Theory of operation. Faust delivers record by record, a task pair each, and its bookkeeping around a
rebalance loses records. This transport (scheme `batch://`, found by Faust through its entry point)
stands on the stock aiokafka driver and changes seven things:

1. Chunks. For a topic whose schema is `Chunks`, one message carries consecutive records of one
   partition: `value` is the list, `offset` that of the last one. All that Faust does per message
   happens once a chunk, and the partition stays the right one for table writes.
2. Nothing is dropped on the way. aiokafka is given a frozen set of partitions to fetch (Faust hands
   over its live set, which means "all" once it is empty). What was fetched is delivered a chunk of
   each partition in turn, so that none runs ahead of the others by a whole fetch; what is paused
   meanwhile waits, at most one fetch of each partition, and is delivered once it may go on.
3. A commit covers the longest acked prefix of what was delivered, in order of delivery. Faust's own
   rule takes any jump in offsets for a compacted gap and commits over it.
4. What was delivered is forgotten whenever positions are set back (`perform_seek`), also for
   partitions that have no committed offset yet: those go back to the beginning.
5. Before partitions are given away, and before a stop, the app's `release` writes what is dirty, in
   a bounded time, and says how far that goes, within a chunk too; Faust would wait for its streams
   without limit. Where a rebalance meets a stop, Faust cuts the connection, and the stop then waits
   for its commit in vain: here the rebalance waits for the stop to have written and committed.
6. `read_to` says how far a partition is read, behind offsets too that hold no record (transaction
   markers, what retention deleted): an end that only a record could show would never be reached.
   Once all that was delivered is acked a commit goes as far, so that others can see it too.
7. What is paused stays so. Faust un-pauses it as soon as its own queue has room again, and what is
   ahead of the others would be read without limit.

After a recovery the order is: set positions, clear the queues and let the flow run, then un-pause
the sources (stock Faust lets it run and un-pauses first, and clears what it has fetched by then).
Until the positions are set nothing is taken from aiokafka, nor delivered: a fetch that a rebalance
has overtaken would move one of them, and a recovery that another rebalance has overtaken lets the
flow run in the midst of that one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

import aiokafka
from aiokafka import ConsumerRecord
from aiokafka.errors import IllegalStateError
from faust import Schema
from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.recovery import Recovery as FaustRecovery
from faust.tables.recovery import ServiceStopped
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from pipeline.settings import Settings

CHUNK_RECORDS = 500  # a chunk is processed without a pause: at 10 µs a record, 5 ms
FETCH_WAIT_MS = 500  # how long the broker may hold a fetch that has nothing to give
IMPATIENT = 0.05  # seconds that we wait for it where others wait, here or in front of a full queue


class Releasing(Protocol):
    """What this transport asks of the app besides being Faust's."""

    settings: Settings

    async def release(self) -> None:
        """Write what is dirty, within a deadline; from then on own nothing."""

    async def restore(self, assigned: frozenset[TP]) -> None:
        """Make the state of the assigned partitions complete; sources are still paused."""

    def positioned(self, positions: Mapping[TP, int]) -> None:
        """The sources go on from these offsets."""


class Chunks(Schema[None, list[ConsumerRecord]]):
    """The schema of a topic that wants chunks: key None, value the list of records, undecoded."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> list[ConsumerRecord]:
        return cast(list[ConsumerRecord], message.value)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # Faust hard-codes 1,500
        return consumer

    async def pause_natively(self, tps: Iterable[TP]) -> None:
        """Stop aiokafka's own prefetching; Faust's pause only hides what it brings."""
        await self.call_thread(self._pause_natively, [driver.ensure_aiokafka_TP(tp) for tp in tps])

    async def _fetch_records(  # type: ignore[override]
        self, consumer: Any, active_partitions: set[TP], **how: Any
    ) -> Any:
        """Note how far aiokafka has read, in the same step as it hands over the records; and give
        them back while the flow is stopped, as nobody takes them."""
        records = await super()._fetch_records(consumer, active_partitions, **how)
        if not self.consumer.flow_active:
            for tp, fetched in records.items():
                with suppress(IllegalStateError):  # no longer ours
                    consumer.seek(tp, fetched[0].offset)
            return {}
        subscription = consumer._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        fetched_to = {}
        for tp in active_partitions:
            state = assignment and assignment.state_value(driver.ensure_aiokafka_TP(tp))
            if state and state.has_valid_position:
                fetched_to[tp] = state._position
        cast(Consumer, self.consumer).fetched_to = fetched_to
        return records

    async def _pause_natively(self, tps: list[aiokafka.TopicPartition]) -> None:
        self._ensure_consumer().pause(*tps)


class Fetched(NamedTuple):
    """What a fetch brought of a partition, and isn't delivered yet."""

    chunks: deque[list[ConsumerRecord]]
    is_chunked: bool
    read_to: int | None  # behind all of it, where that is known


class Consumer(driver.Consumer):
    _thread: ConsumerThread
    _delivered: defaultdict[TP, deque[ConsumerMessage]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._fetched: dict[TP, Fetched] = {}  # and not delivered yet
        self._positioned_in = -1  # the consumer's last generation for which positions were set
        self._go_to: dict[TP, int] = {}
        self._delivered = defaultdict(deque)
        self._delivered_to: dict[TP, int] = {}
        self._read_to: dict[TP, int] = {}
        self._settled_to: dict[TP, int] = {}
        self.fetched_to: dict[TP, int] = {}
        self._emptying = asyncio.Lock()
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- fetching

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        active = (active_partitions or set()) - self._fetched.keys()  # a copy, not the live one
        if not active:  # to aiokafka the empty set means "all"
            await asyncio.sleep(min(timeout, IMPATIENT))
            return {}
        return await super()._getmany(active, timeout)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Messages of what was fetched; for chunked topics a message is a chunk."""
        if self._next() is None:
            await self._fetch(timeout)
        while (tp := self._next()) is not None:
            yield tp, self._deliver(tp)

    async def _fetch(self, timeout: float) -> None:
        self.fetched_to = {}
        if self._fetched or self._buffered_partitions:
            timeout = min(timeout, IMPATIENT)
            if self.flow_active and not self._get_active_partitions():
                await asyncio.sleep(timeout)  # Faust would sleep for a second
                return
        records, _ = await self._wait_next_records(timeout)
        if self.should_stop or not self.flow_active:
            return  # positions are set anew before it goes on
        records, fetched_to = records or {}, self.fetched_to
        self._read_to |= {tp: at for tp, at in fetched_to.items() if tp not in records}
        chunked = self._chunked_topics()
        for tp, fetched in records.items():
            chunks = slices(fetched, CHUNK_RECORDS if tp.topic in chunked else 1)
            self._fetched[tp] = Fetched(deque(chunks), tp.topic in chunked, fetched_to.get(tp))

    def _next(self) -> TP | None:
        """Whose turn it is of what was fetched."""
        return next(filter(self._may_deliver, self._fetched), None)

    def _deliver(self, tp: TP) -> ConsumerMessage:
        fetched = self._fetched.pop(tp)
        message = self._message_of(tp, fetched.chunks.popleft(), chunked=fetched.is_chunked)
        self._delivered[tp].append(message)
        self._delivered_to[tp] = message.offset + 1
        if fetched.chunks:
            self._fetched[tp] = fetched  # behind the others
        elif fetched.read_to is not None:
            self._read_to[tp] = fetched.read_to
        self._read_offset.pop(tp, None)  # our rows recognise repeats, even of a new topic
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        return message

    def read_to(self, tp: TP, taken: int) -> int:
        """The next offset for a stream that has taken all below `taken`: behind transaction markers
        and deleted records too, which are never delivered."""
        if taken < self._delivered_to.get(tp, 0):
            return taken
        return max(taken, self._read_to.get(tp, 0))

    def _chunked_topics(self) -> set[str]:
        return {
            name
            for channel in self.app.topics
            if isinstance(channel.schema, Chunks)
            for name in channel.topics
        }

    def _may_deliver(self, tp: TP) -> bool:
        """What another generation has fetched is forgotten as positions are set in this one."""
        if not self.flow_active or self._positioned_in != self.app.consumer_generation_id:
            return False
        is_read = tp in self._active_partitions or tp in self._buffered_partitions
        return is_read and tp not in self._paused_partitions

    def on_buffer_drop(self, tp: TP) -> None:
        """Faust reads on in what has room again in its queue, also where that is paused."""
        super().on_buffer_drop(tp)
        self._get_active_partitions().difference_update(self._paused_partitions)

    def _message_of(self, tp: TP, chunk: list[ConsumerRecord], *, chunked: bool) -> ConsumerMessage:
        message: Any = self._to_message(tp, chunk[-1])
        if chunked:
            message.key, message.value, message.headers = None, chunk, None
        return cast(ConsumerMessage, message)

    # -- acknowledging

    def ack(self, message: Message) -> bool:
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        tps = self._delivered.keys() | self._read_to.keys() | self._settled_to.keys()
        return (tp for tp in tps if not topics or tp in topics or tp.topic in topics)

    def settled(self, positions: Mapping[TP, int]) -> None:
        """All below these is done, of chunks too that are taken up in part, and no more will be:
        called by the app's `release`, for the last commit."""
        self._settled_to |= positions

    def _new_offset(self, tp: TP) -> int | None:
        if tp in self._settled_to:
            return self._settled_to[tp]
        delivered, offset = self._delivered[tp], None
        while delivered and delivered[0].acked:
            offset = delivered.popleft().offset + 1
        if not delivered and tp in self._read_to:
            return max(offset or 0, self._read_to[tp])
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to note: a commit follows what was delivered, not how offsets are numbered."""

    # -- positions

    async def perform_seek(self) -> None:
        """Set every source to its committed offset, or to its beginning where there is none."""
        generation = self.app.consumer_generation_id
        sources = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        committed = {driver_tp(tp): at for tp, at in (await self.seek_to_committed()).items()}
        fresh = [tp for tp in sources if not committed.get(tp)]
        if fresh:
            await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, fresh))
        self._fetched.clear()
        self._delivered.clear()
        self._delivered_to.clear()
        self._read_to.clear()
        self._settled_to.clear()
        self._unacked_messages.clear()
        self._read_offset.clear()
        self._committed_offset.clear()
        self._committed_offset.update({tp: committed[tp] for tp in sources - set(fresh)})
        positions = {tp: await self.position(tp) for tp in sources}
        self._go_to.clear()
        cast(Releasing, self.app).positioned({tp: at or 0 for tp, at in positions.items()})
        go_to = {tp: at for tp, at in self._go_to.items() if tp in sources}
        if go_to:
            with suppress(IllegalStateError):  # they are no longer ours: the next owner reads them
                await self._thread.seek_wait(go_to)
        self._positioned_in = generation

    def go_to(self, positions: Mapping[TP, int]) -> None:
        """Read on from these instead, as far as they are ours: for the app when it is `positioned`.
        One that is no more becomes the first that is."""
        self._go_to |= positions

    def verify_event_path(self, now: float, tp: TP) -> None:
        if not self._is_changelog_tp(tp):  # those are paused for good: no fetch is missing
            super().verify_event_path(now, tp)

    async def pause_changelogs(self) -> None:
        tps = [tp for tp in self.assignment() if self._is_changelog_tp(tp)]
        if tps:
            await self._thread.pause_natively(tps)

    # -- giving partitions away

    async def wait_empty(self) -> None:
        async with self._emptying:  # a stop can meet a rebalance: the second finds nothing left
            await cast(Releasing, self.app).release()
            self._unacked_messages.clear()
            await self.commit_and_end_transactions()
            self._fetched.clear()
            self._delivered.clear()
            self._read_to.clear()
            self._settled_to.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        if self.app.should_stop:
            await self.wait_empty()

    def close(self) -> None:
        """Called when a rebalance meets a stop, and left to the stop, which closes in order."""


class Producer(driver.Producer):
    def _settings_extra(self) -> Mapping[str, Any]:
        return cast(Releasing, self.app).settings.delivery()


class Transport(driver.Transport):
    Consumer = Consumer
    Producer = Producer


class Recovery(FaustRecovery):
    """Faust's life of a rebalance, with the app restoring the tables itself.

    The app reads a changelog in batches, up to the broker's end of it, and compares generations;
    Faust's own loop takes one record at a time, swallows errors, and waits for ever for a last
    record that compaction took away.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """TimeoutError where Faust, to which a timeout looks like a stop, would recover no more."""
        try:
            await super()._wait(coro, timeout=timeout)
        except ServiceStopped:
            if self.should_stop:
                raise
            raise TimeoutError("the broker doesn't answer while the state is restored") from None

    def need_recovery(self) -> bool:
        return False

    async def _build_highwaters(self, *_: Any) -> None:
        """Not needed: the app asks for the ends itself."""

    async def _build_offsets(self, *_: Any) -> None:
        """Not needed: the app knows its offsets."""

    async def _seek_offsets(self, *_: Any) -> None:
        """Not needed: the app reads changelogs with a consumer of its own."""

    async def _resume_streams(self, generation_id: int = 0) -> None:
        """Of an app without tables: stock Faust un-pauses first here too."""
        await self.on_recovery_completed(generation_id)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        app: Any = self.app
        consumer = cast(Consumer, app.consumer)
        consumer.stop_flow()
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        if app.consumer_generation_id != generation_id:
            self.log.info("Rebalanced again before the state was restored")
            return
        assigned = frozenset(consumer.assignment())
        sources = {tp for tp in assigned if not self._is_changelog_tp(tp)}
        await self._wait(consumer.pause_changelogs())
        await self._wait(app.restore(assigned))
        if sources:
            await self._wait(consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout)
        if app.consumer_generation_id != generation_id:
            self.log.info("Rebalanced again while the state was restored")
            return
        self.completed.set()
        app.flow_control.resume()  # clears the queues
        consumer.resume_flow()
        consumer.resume_partitions(sources)
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        self.log.info("Worker ready")


class TableManager(FaustTableManager):
    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast(Recovery, self._recovery)


def slices(records: list[ConsumerRecord], size: int) -> Iterator[list[ConsumerRecord]]:
    return (records[i : i + size] for i in range(0, len(records), size))


def driver_tp(tp: Any) -> TP:
    return tp if isinstance(tp, TP) else TP(tp.topic, tp.partition)
