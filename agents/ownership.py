"""Assignments in; owned partitions, complete and claimed, out; and given back in time.

Taking a partition over: bring its local store up to the end of the changelog, load its rows, look
whether its sources are still the ones whose offsets it remembers, claim it (a `*partition` row with
a higher generation than any before), and send again what an earlier owner had decided and may not
have announced. Only then do its sources run: the partition's readings, and its inbox. A partition
that comes back to us is reused as it is if its changelog ends where we left it. The changelogs of
all are read before the first is claimed: a state that is newer than we are, or only half imported,
ends the process, and stays as it was.

Giving up: one flush of everything within a deadline below the session timeout. If that fails, what
is unwritten is dropped: its readings are not acknowledged, so the next owner reads them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from faust.types import TP

from agents.order import Source
from agents.writer import SLICE, Closed, Writer, moment
from pipeline import metrics
from pipeline.garbage import keep
from pipeline.looking import consumer
from pipeline.rows import PARTITION_KEY
from pipeline.rules.version import NewerState
from pipeline.streams import App, end_process
from tables.devices import Table, UnfinishedImport
from tables.partition import CHECKS, COMMANDS, READINGS, UNKNOWN, Partition

log = logging.getLogger(__name__)

CLAIMS = 10  # attempts to claim a partition in which somebody else keeps writing
LOOK_BACK = 5.0  # seconds to wait for the one record that shows whether a topic was recreated


class Ownership:
    """The partitions that are ours; changed by rebalances only."""

    def __init__(self, app: App, table: Table, writer: Writer) -> None:
        self.app = app
        self.table = table
        self.writer = writer
        self.owned: dict[int, Partition] = {}
        self.sources: dict[TP, Source] = {}
        self._kept: dict[int, Partition] = {}
        self.restored = False
        self._restoring = False
        self.settle: Callable[[], Awaitable[None]]  # waits for what is taken up, before it is given

    # -- taking over

    async def restore(self, assigned: frozenset[TP]) -> None:
        """Own the assigned partitions. A failure ends the process: no half of a state may run."""
        self._restoring = True
        try:
            await self._restore(assigned)
        except (NewerState, UnfinishedImport) as refused:
            end_process(str(refused))
        except Exception:
            log.exception("the state can't be restored")
            end_process("the state can't be restored")
        finally:
            self._restoring = False

    async def _restore(self, assigned: frozenset[TP]) -> None:
        await self.release()
        numbers = sorted(tp.partition for tp in assigned if tp.topic == self.app.names.readings)
        with metrics.RECOVERY_SECONDS.time():
            owned, sources = await self._taken(numbers)
        self._kept.clear()
        self.owned, self.sources = owned, sources
        self.restored = True
        log.info("restored %d devices in partitions %s", self.devices(), numbers)

    async def _taken(self, numbers: Iterable[int]) -> tuple[dict[int, Partition], dict[TP, Source]]:
        owned, sources = {}, {}
        looking = consumer(self.app.settings)
        await looking.start()
        try:
            for number in numbers:  # first all of them: who can't read one must not claim another
                await self.table.recover(number, looking)
            for number in numbers:
                partition = owned[number] = await self._take(number, looking)
                for source in await self._sources(partition, looking):
                    sources[source.tp] = source
        finally:
            await looking.stop()
        return owned, sources

    async def _take(self, number: int, looking: AIOKafkaConsumer) -> Partition:
        kept = self._kept.pop(number, None)
        for _ in range(CLAIMS):
            partition, end = await self._load(number, kept, looking)
            kept = None
            partition.generation = max(
                partition.generation + 1, self.app.consumer_generation_id or 0
            )
            if await self._claim(partition, end):
                break
        else:
            raise RuntimeError(f"partition {number} is written by somebody else all the time")
        recreated = await self._notice_recreated_sources(partition, looking)
        # what comes late of a former owner: before this, it is covered by what we tell again now
        tp = TopicPartition(self.app.names.alerts_open, number)
        partition.open_next = (await looking.end_offsets([tp]))[tp]
        await self._resend(partition)
        if recreated:
            await self.writer.flush([partition])  # before a row has offsets of the new topic
        partition.clock.resume()
        return partition

    async def _resend(self, partition: Partition) -> None:
        """What an earlier owner had decided, and may not have announced."""
        waiting = [row for row in partition.every_row() if row.outbox]
        for start in range(0, len(waiting), SLICE):
            some = waiting[start : start + SLICE]
            await self.writer.tell(partition, [(row, row.outbox) for row in some])
            for row in some:
                metrics.RESENT.inc(len(row.outbox))
                row.outbox = ()
                partition.mark_dirty(row)

    async def _load(
        self, number: int, kept: Partition | None, looking: AIOKafkaConsumer
    ) -> tuple[Partition, int]:
        tp = TopicPartition(self.app.names.changelog, number)
        if kept is not None:
            end = (await looking.end_offsets([tp]))[tp]
            if end == kept.changelog_next:
                return kept.reopened(), end
        end = await self.table.recover(number, looking)
        partition = Partition(number)
        for _ in self.table.load(partition):
            keep()
            await asyncio.sleep(0)
        return partition, end

    async def _claim(self, partition: Partition, end: int) -> bool:
        """Whether our claim is the very next record; else somebody wrote, and we read again."""
        row, sent_at = partition.packed(), moment()
        sent = await self.app.producer.send(
            self.app.names.changelog, PARTITION_KEY, row, partition.number, None, None
        )
        offset: int = (await sent).offset
        if offset != end:
            return False
        self.table.write(partition.number, [(PARTITION_KEY, row)], offset)
        partition.changelog_next, partition.confirmed_at = offset + 1, sent_at
        return True

    async def _notice_recreated_sources(
        self, partition: Partition, looking: AIOKafkaConsumer
    ) -> bool:
        names, found = self.app.names, False
        for source, topic in (
            (READINGS, names.readings),
            (CHECKS, names.checks),
            (COMMANDS, names.commands),
        ):
            tp = TopicPartition(topic, partition.number)
            end = (await looking.end_offsets([tp]))[tp]
            applied = partition.applied[source]
            if applied >= end or (
                source == READINGS and await self._differs(tp, applied, partition, looking)
            ):
                log.error(
                    "%s partition %d was recreated (it ends at %d, offset %d was applied): "
                    "its old offsets are forgotten",
                    topic,
                    partition.number,
                    end,
                    applied,
                )
                metrics.RECREATED_SOURCES.inc()
                partition.generation += 1  # the claim has the old offsets: lower ones must outrank
                partition.forget_offsets(source)
                found = True
        return found

    async def _differs(
        self, tp: TopicPartition, applied: int, partition: Partition, looking: AIOKafkaConsumer
    ) -> bool:
        """Whether the record at the applied offset is not the one that we applied."""
        if applied < (await looking.beginning_offsets([tp]))[tp]:
            return False  # deleted by age: can't be told
        looking.assign([tp])
        looking.seek(tp, applied)
        try:
            record = await asyncio.wait_for(looking.getone(tp), LOOK_BACK)
        except TimeoutError:
            return False
        return bool(record.offset == applied and record.timestamp != partition.applied_time)

    async def _sources(self, partition: Partition, looking: AIOKafkaConsumer) -> list[Source]:
        names = self.app.names
        sources = []
        for topic in (names.readings, names.forwarded):
            tp = TopicPartition(topic, partition.number)
            end = (await looking.end_offsets([tp]))[tp]
            is_inbox = topic == names.forwarded
            sources.append(Source(TP(*tp), partition, end, is_inbox=is_inbox))
        return sources

    def positioned(self, positions: Mapping[TP, int]) -> None:
        wall = time.time()
        for tp, source in self.sources.items():
            source.position = positions.get(tp, 0)
        for partition in self.owned.values():
            if partition.is_mixed() and partition.clock.live:
                partition.clock.judged_from = wall  # what others haven't forwarded isn't silence
        self.catch_up(wall)

    def catch_up(self, wall: float) -> None:
        """See which backlogs are read; one can end in offsets that hold no record to show it."""
        for partition in self.owned.values():
            if not partition.clock.watching and self._has_caught_up(partition):
                partition.clock.caught_up(wall)
                log.info("partition %d has read its backlog", partition.number)

    def _has_caught_up(self, partition: Partition) -> bool:
        if partition.is_mixed():
            return partition.reached > UNKNOWN  # all readings count: see `reach`
        source = self.sources[TP(self.app.names.readings, partition.number)]
        return self.read_to(source) >= source.backlog_end

    # -- giving up

    async def release(self) -> None:
        """Write everything within the deadline; from then on nothing is ours."""
        owned, sources, devices = self.owned, self.sources, self.devices()
        self.owned, self.sources, self.restored = {}, {}, False
        if not owned:
            return
        try:
            async with asyncio.timeout(self.app.settings.flush_timeout):
                await self.settle()
                await self.writer.flush(owned.values())
                # once more, for rows whose events are out: the next owner needn't send them again
                await self.writer.flush(owned.values())
        except (TimeoutError, KafkaError, ProducerSendError, Closed) as error:
            log.error(
                "given away with unwritten state, which the next owner decides anew: %r", error
            )
        else:
            self._kept = owned
            self._settled(sources)
            log.info("gave %d devices in partitions %s away, written", devices, sorted(owned))
        finally:
            for partition in owned.values():
                partition.closed = True

    def _settled(self, sources: Mapping[TP, Source]) -> None:
        """So the next owner goes on where we have stopped, in the middle of a chunk too."""
        known = {tp: source for tp, source in sources.items() if source.position >= 0}
        self.app.consumer.settled({tp: self.read_to(one) for tp, one in known.items()})  # type: ignore[attr-defined]

    # -- questions

    def devices(self) -> int:
        return sum(len(partition.rows) for partition in self.owned.values())

    def wrong_clocks(self) -> int:
        return sum(len(partition.wrong_clocks) for partition in self.owned.values())

    def inbox(self, partition: Partition) -> Source:
        return self.sources[TP(self.app.names.forwarded, partition.number)]

    def read_to(self, source: Source) -> int:
        """The next offset, behind what holds no record and never comes; -1 before it is known."""
        if source.position < 0:
            return -1
        return self.app.consumer.read_to(source.tp, source.position)  # type: ignore[attr-defined,no-any-return]

    def end_of(self, source: Source) -> int:
        """Where the source ended when we last heard of it."""
        return self.app.consumer.highwater(source.tp) or 0

    def is_waiting(self) -> bool:
        """Whether a rebalance took our partitions, and nothing has begun to bring them back."""
        return not self.restored and not self._restoring

    def unready(self) -> str | None:
        """Why this worker isn't ready; None if it is."""
        if not self.restored:
            return "tables are being recovered"
        behind = [p.number for p in self.owned.values() if not p.clock.watching]
        return f"the backlog of partitions {behind} is being read" if behind else None
