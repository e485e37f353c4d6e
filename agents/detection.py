"""Readings, checks and commands in, alerts out: the one task that changes the state of our devices.

Everything that concerns our partitions' devices comes through this agent: readings by way of the
`intake`, where each waits for its turn and is brought to its home, checks straight to the `judge`,
and so do `commands`.
What they change is noted as dirty, and acknowledged by the flush that makes it durable (`writer`).
A wrong reading goes to `readings-rejected` with its reason; so does one on which our core fails.
Anything else that goes wrong ends the process without committing: whatever leaves an agent's body
would be acknowledged by Faust, and lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, cast

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faust import Stream
from faust.exceptions import ProducerSendError
from faust.types import TP, EventT, StreamT

from agents.checks import INTERVAL, send_checks
from agents.commands import Commands, forget_the_past
from agents.fleet import FLEET_KEY, FleetWatch
from agents.gauges import Gauges
from agents.intake import Intake
from agents.judge import Judge
from agents.ownership import Ownership
from agents.reach import Reach
from agents.rekeying import Forwarder
from agents.reloading import Reloading, engine_of
from agents.standstill import mind_the_sources
from agents.writer import Closed, Writer
from pipeline.batches import Batches
from pipeline.garbage import keep
from pipeline.rules.faults import RulesError
from pipeline.rulesource import RulesFile
from pipeline.streams import App, app, end_process, sources, supervised
from pipeline.transport import CHUNK_RECORDS
from tables.devices import Table, devices

log = logging.getLogger(__name__)

REST = 3.0  # times as long as a flush took, until the next one;
LONGEST = 10.0  # seconds at most
SOON = 0.05  # seconds that an event waits for others to be announced with, at most
ASLEEP = 5.0  # seconds since a look that the broker answered, of which there is one a second


class Detection:
    """The pure engine, fed from Kafka."""

    def __init__(self, app: App, table: Table, rules: RulesFile) -> None:
        """RulesError where the rules are wrong."""
        self.app = app
        self.batches = Batches(app.settings)
        self.writer = Writer(app, table, self.batches)
        self.judge = Judge(engine_of(rules.read(), app.settings), self.writer.wake)
        self.ownership = Ownership(app, table, self.writer)
        self.reloading = Reloading(
            app.settings, rules, self.judge, lambda: self.ownership.owned.values()
        )
        self.commands = Commands(self.judge, self.reloading.commanded)
        forwarder = Forwarder(self.batches, app.names.forwarded)
        self.intake = Intake(app, self.ownership, self.judge, self.writer, forwarder)
        self.ownership.settle = self.intake.settle
        self.reach = Reach(app, self.ownership)
        self.gauges = Gauges(self.ownership)
        self.fleet = FleetWatch(app, self.ownership, self.judge, self.reach)
        self.beat: Callable[[], None] = lambda: None  # the watchdog's sign of life

    def positioned(self, positions: Mapping[TP, int]) -> None:
        """The sources go on from these offsets."""
        self.ownership.positioned(positions)
        for partition in self.ownership.owned.values():
            self.judge.take_up(partition)
        self.intake.begin()
        self.fleet.begin()

    async def release(self) -> None:
        """Write everything: nothing is ours any more. At the end of the process nothing more is
        sent either."""
        await self.ownership.release()
        if self.app.should_stop:
            await self.batches.stop()

    # -- one chunk

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        tp = TP(event.message.topic, event.message.partition)
        partition = self.ownership.owned.get(tp.partition)
        if partition is None:
            return  # given away meanwhile: its next owner reads it
        if tp in self.ownership.sources:
            if len(cast(list[ConsumerRecord], event.value)) == CHUNK_RECORDS:
                keep()  # of a backlog: what is on its way is as much as is looked at for garbage
            await self.intake.take(self.ownership.sources[tp], event)
            return
        for record in cast(list[ConsumerRecord], event.value):
            if partition.closed:
                return
            if tp.topic == self.app.names.commands:
                await given_way(self.commands.take(partition, record))
            elif record.key == FLEET_KEY:
                self.fleet.take(partition, record)
            else:
                self.judge.check(partition, record)
        partition.pending.append(event)

    # -- the flush

    async def flush_for_ever(self) -> None:
        """Announce at once when an event waits; write all that has changed once in a while.

        Both leave the rest of the time to the readings: under load, more of what a device sends is
        then one row, and more events are one batch.
        """
        loop, interval = asyncio.get_running_loop(), self.app.settings.flush_interval
        flush_at = announce_at = loop.time() + interval
        while not self.app.should_stop:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(flush_at):
                    await self.writer.wanted.wait()
                    await asyncio.sleep(announce_at - loop.time())
            began, owned = loop.time(), self.ownership.owned.values()
            self.writer.wanted.clear()
            if began < flush_at:
                await self._written(self.writer.announce(owned))
            else:
                await self._written(self.writer.flush(owned))
                rest = min(REST * (loop.time() - began), LONGEST)
                flush_at = max(began + interval, loop.time() + rest)
            announce_at = loop.time() + min(REST * (loop.time() - began), SOON)
            self.beat()

    async def _written(self, flush: Coroutine[None, None, None]) -> None:
        try:
            await flush
        except Closed as closed:
            log.warning("%s", closed)
        except (KafkaError, ProducerSendError, TimeoutError) as error:
            end_process(f"state or alerts can't be written: {error!r}")

    # -- the look at what is due

    async def look_for_ever(self) -> None:
        """See how far everything is heard, and send checks for what may be due."""
        try:
            while not self.app.should_stop:
                await asyncio.sleep(INTERVAL)
                await self.look(self.wall())
        finally:
            await self.reach.stop()

    async def adopt_rules(self) -> None:
        """Judge again, in slices, what was judged by other rules before."""
        for partition in list(self.ownership.owned.values()):
            while self.judge.adopt_some(partition):  # noqa: ASYNC110  (a slice at a time)
                await asyncio.sleep(0)

    async def look(self, wall: float) -> None:
        await self.adopt_rules()
        await self.intake.look()
        await self.reach.look(wall)
        self.ownership.catch_up(wall)
        for partition in list(self.ownership.owned.values()):
            await given_way(forget_the_past(self.judge.engine, partition, partition.horizon()))
        await self.fleet.look(wall)
        owned = self.ownership.owned.values()
        await send_checks(self.batches, self.app.names.checks, self.judge.engine, owned)

    async def show_for_ever(self) -> None:
        """Apart from the look, which waits for Kafka."""
        while not self.app.should_stop:
            self.gauges.show(self.reach.ends, time.time())
            await asyncio.sleep(INTERVAL)

    def wall(self) -> float:
        """The time. If it leapt (the machine slept, its clock was set), or the broker was away,
        silence counts anew: nobody can have been heard."""
        wall = time.time()
        if not -ASLEEP < wall - self.reach.answered_at < ASLEEP:
            for partition in self.ownership.owned.values():
                if partition.clock.watching:
                    partition.clock.caught_up(wall)
        return wall


async def given_way(steps: Iterator[None]) -> None:
    """All of them, with a turn of the event loop between two."""
    for _ in steps:
        await asyncio.sleep(0)


try:
    detection = Detection(app, devices, RulesFile(app.settings))
except RulesError as error:
    sys.exit(str(error))


@app.agent(sources, name="detection", concurrency=1)
async def detect(stream: StreamT[Any]) -> None:
    try:
        async for event in cast(Stream[Any], stream).noack().events():
            await detection.take(event)
    except Exception:
        log.exception("detection failed")
        end_process("detection failed")


async def flush() -> None:
    await supervised(detection.flush_for_ever())


async def look() -> None:
    await supervised(detection.look_for_ever())


async def tell() -> None:
    await supervised(detection.show_for_ever())


async def mind() -> None:
    await supervised(mind_the_sources(app, detection.ownership))


async def listen() -> None:
    """SIGHUP is the terminal's way, and systemd's, to have the rules read anew."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, detection.reloading.asked)
    await supervised(detection.reloading.watch())


app.task(flush)
app.task(look)
app.task(tell)
app.task(mind)
app.task(listen)
