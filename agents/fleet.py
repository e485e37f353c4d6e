"""Devices that fell silent in; one alert for many that did together, and the quiet it brings, out.

Each partition counts its silent devices. When its count changes it is sent, on the checks topic, to
the home of `*fleet`: the owner of that partition alone decides (`pipeline.rules.fleet`), and the
alert is written and announced as a device's is, in the row `*fleet`. The word of a device's own
silence waits a moment for that (`checks.WAIT`).

What it then holds back is a silence like anybody's, over the rule of silence and under the alert's
id, sent through `commands` to every partition and ended when the alert is. So it survives whatever
a silence survives: which ones hold is looked up in the home's own, and what is missing is sent.

Counts aren't stored. Whoever gets partitions sends theirs anew, those of an older generation are
dropped, and nothing is decided before there is one of every partition, and before it is known
whether anything arrives. A new owner gives every device its time again, but whoever is held back by
the alert and was not heard since is counted as what it is: a kill brings nobody back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from agents.judge import Judge
from agents.ownership import Ownership
from agents.reach import Reach
from pipeline import commands
from pipeline.commands import EVERYBODY, Command, Quiet, Unsilence
from pipeline.home import home_of
from pipeline.rules.engine import UNKNOWN, Device
from pipeline.rules.fleet import FLEET, NOBODY, RULE, Count, count, decide
from pipeline.rules.lifecycle import Episode
from pipeline.streams import App, end_process
from tables.partition import CHECKS, Partition

log = logging.getLogger(__name__)

FLEET_KEY: Final = FLEET.encode()
HELD_FOR: Final = 365 * 86_400.0  # seconds; every silence has an end
AGAIN: Final = 5.0  # seconds after which a command that nobody has read is sent again

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(tuple[int, int, list[Any]]).decode


class FleetWatch:
    """`begin` with every assignment, then `take` what others count and `look` once a second."""

    def __init__(self, app: App, ownership: Ownership, judge: Judge, reach: Reach) -> None:
        self._app = app
        self._ownership = ownership
        self._judge = judge
        self._reach = reach
        self._counts: dict[int, Count] = {}
        self._sent: dict[int, list[Any]] = {}
        self._asked: dict[str, float] = {}  # command to when it was sent

    def begin(self) -> None:
        self._counts.clear()
        self._sent.clear()
        self._asked.clear()

    # -- what is counted

    def take(self, partition: Partition, record: ConsumerRecord) -> None:
        """Note the count of one partition."""
        if record.offset <= partition.applied[CHECKS]:
            return
        partition.applied[CHECKS] = record.offset
        try:
            generation, number, packed = decode(record.value or b"")
            counted = Count(*packed)
        except (msgspec.MsgspecError, TypeError) as error:
            log.warning("not a count of ours: %s", error)
            return
        if generation == self._app.consumer_generation_id:
            self._counts[number] = counted

    async def look(self, wall: float) -> None:
        """Send what has changed; decide by what arrives; hold back, and let out."""
        home = home_of(FLEET, self._app.partition_count)
        sent = [(self._app.names.checks, FLEET_KEY, value, home) for value in self._news()]
        partition = self._ownership.owned.get(home)
        if partition is not None and not partition.closed:
            self._judge.settle(partition, partition.fleet, partition.horizon())
            self._decide(partition, wall)
            sent += self._orders(partition, wall)
        try:
            waiting = [
                await self._app.producer.send(topic, key, value, number, None, None)
                for topic, key, value, number in sent
            ]
            await asyncio.gather(*waiting)
        except KafkaError as error:
            end_process(f"what the fleet is to know can't be sent: {error!r}")

    def _news(self) -> Iterator[bytes]:
        for partition in self._ownership.owned.values():
            if not partition.clock.watching or partition.reached == UNKNOWN:
                continue  # what it has not read yet isn't silence
            if partition.number not in self._sent:
                self._recall(partition)
            packed = _count(partition).pack()
            if packed != self._sent.get(partition.number):
                self._sent[partition.number] = packed
                yield encode((self._app.consumer_generation_id, partition.number, packed))

    def _recall(self, partition: Partition) -> None:
        """Count whom the fleet's alert holds back as silent, told or not: their time has begun anew
        with us, though not their silence."""
        held = {silence.id for silence in partition.silences if silence.by == FLEET}
        if not held or not partition.clock.live:
            return
        horizon = partition.horizon()
        found = {
            row.device.id: (horizon, due)
            for row in partition.rows.values()
            if (due := self._silent_since(row.device, held)) <= horizon
        }
        others = {key: value for key, value in partition.silent.items() if key not in found}
        partition.silent = others | found  # in the order in which they were found

    def _silent_since(self, device: Device, held: Collection[str]) -> float:
        for episode in device.open_alerts():
            if episode.kind == "offline" and episode.silenced_by in held:
                return episode.started_ms / 1000
        return self._judge.engine.silent_at(device, UNKNOWN)

    # -- what follows

    def _decide(self, partition: Partition, wall: float) -> None:
        if len(self._counts) < self._app.partition_count:
            return
        row = partition.fleet
        arriving = self._reach.arrives(wall)
        if arriving is None:
            return
        if events := decide(row.device, self._counts.values(), arriving, wall):
            self._judge.decided(partition, row, events)

    def _orders(self, partition: Partition, wall: float) -> Iterator[tuple[str, bytes, bytes, int]]:
        """What every partition must be told, because our own doesn't know it."""
        episode = next(iter(partition.fleet.device.open_alerts()), None)
        missing = list(self._missing(partition, episode, wall))
        self._asked = {one.command_id: self._asked.get(one.command_id, 0.0) for one in missing}
        for command in missing:
            if wall - self._asked[command.command_id] >= AGAIN:
                self._asked[command.command_id] = wall
                value = commands.encode(command)
                for number in range(self._app.partition_count):
                    yield self._app.names.commands, EVERYBODY, value, number

    def _missing(
        self, partition: Partition, episode: Episode | None, wall: float
    ) -> Iterator[Command]:
        held = {silence.id for silence in partition.silences if silence.by == FLEET}
        rule = self._judge.engine.rulebook.offline_name
        if episode is not None and rule and episode.alert_id not in held:
            yield _hold(episode, rule, wall)
        for alert_id in held:
            if episode is None or episode.alert_id != alert_id:
                yield Unsilence(f"{alert_id}-end", FLEET, _moment(wall), alert_id)


def _count(partition: Partition) -> Count:
    if not partition.clock.live:
        return NOBODY
    return count(len(partition.rows), partition.silent, partition.horizon())


def _hold(episode: Episode, rule: str, wall: float) -> Quiet:
    starts_at = episode.started_ms / 1000 - 1.0  # rounded, it may be later than it fell due
    return Quiet(
        episode.alert_id,
        FLEET,
        _moment(wall),
        episode.alert_id,
        starts_at=_moment(starts_at),
        ends_at=_moment(starts_at + HELD_FOR),
        rule=rule,
        comment=f"{RULE}: told as one",
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
