"""A changelog and the open alerts in, the lines of an export out.

Of the records of a device's row the one that a worker would take counts (`rows.wins`). Workers may
run meanwhile: each row is whole, and says which offsets are applied to it. Of an open alert the
event counts that its row knows as the last one, though the topic may have a later one by then;
what `alerts-open` has lost is looked for in `alerts`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.about import VERSION
from pipeline.exchange.form import FORM, End, Head, Held, Line, Own
from pipeline.exchange.place import Place, Unusable
from pipeline.home import home_of
from pipeline.looking import read
from pipeline.rows import IMPORT_KEY, PARTITION_KEY, PartitionRow, Row, decode, wins
from pipeline.rules.fleet import FLEET
from pipeline.settings import Settings

log = logging.getLogger(__name__)

Put = Callable[[Line], None]


class Told(msgspec.Struct, frozen=True):
    """What must be known of an event."""

    alert_id: str
    seq: int


@dataclass(slots=True)
class Left:
    """What was exported: for people."""

    devices: int = 0
    alerts: int = 0
    silences: int = 0
    undelivered: int = 0
    """Events that no topic has yet: their rows carry them."""
    untold: int = 0
    """Open alerts of which neither `alerts-open` nor `alerts` has anything."""
    strangers: int = 0
    """Rows in a partition that isn't their device's home: they are left out."""
    unjudged: int = 0
    """Readings that no worker has judged."""
    workers: int = 0
    """That ran meanwhile."""


_told: Final = msgspec.json.Decoder(Told)


async def export(settings: Settings, put: Put, advance: Callable[[int, int], None]) -> Left:
    """Unusable, in words, where there is no state to be had; `advance` is told how many records
    of how many are read."""
    async with Place.of(settings) as place:
        await place.see()
        left = Left()
        put(await _head(place))
        changelog = [TopicPartition(place.names.changelog, n) for n in range(place.partitions)]
        begins = await place.looking.beginning_offsets(changelog)
        ends = await place.looking.end_offsets(changelog)
        done, size = 0, sum(ends.values()) - sum(begins.values())
        applied = {}
        for tp in changelog:
            rows = await rows_of(place.looking, tp)
            if IMPORT_KEY in rows:
                raise Unusable(f"an import into {tp.topic} isn't finished: this is half a state")
            applied[tp.partition] = _leave_own(tp.partition, rows, put, left)
            await _leave_devices(place, tp.partition, rows, put, left)
            done += ends[tp] - begins[tp]
            advance(done, size)
        left.unjudged = await _unjudged(place, applied)
        left.workers = await place.workers()
        put(End(left.devices, left.alerts))
        return left


async def _head(place: Place) -> Head:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    prefix, topics = place.settings.topic_prefix, await place.identities()
    return Head(FORM, VERSION, now, place.cluster, prefix, place.partitions, topics)


async def _unjudged(place: Place, applied: Mapping[int, int]) -> int:
    """Those that wait in `readings`, and those on their way to another partition."""
    names = place.names
    forwarded = dict.fromkeys(applied, 0) | await place.committed(names.forwarded)
    waiting = await place.beyond(names.readings, {n: at + 1 for n, at in applied.items()})
    return waiting + await place.beyond(names.forwarded, forwarded)


async def rows_of(looking: AIOKafkaConsumer, tp: TopicPartition) -> dict[bytes, bytes]:
    """Key to the row that holds, as a worker would see it. NewerState where that is newer."""
    begin = (await looking.beginning_offsets([tp]))[tp]
    end = (await looking.end_offsets([tp]))[tp]
    found: dict[bytes, bytes | None] = {}
    async for records in read(looking, tp, begin, end):
        for record in records:
            if wins(record.value, found.get(record.key)):
                found[record.key] = record.value
    return {key: value for key, value in found.items() if value is not None}


def _leave_own(number: int, rows: dict[bytes, bytes], put: Put, left: Left) -> int:
    """The last reading that is applied."""
    own = rows.pop(PARTITION_KEY, None)
    if own is None:
        return -1
    content = PartitionRow.unpacked(decode(own))
    left.silences = max(left.silences, len(content.silences))
    put(Own(number, own))
    return content.applied[0]


async def _leave_devices(
    place: Place, number: int, rows: Mapping[bytes, bytes], put: Put, left: Left
) -> None:
    seqs: dict[str, int] = {}  # of each open alert, the last one
    alerts: dict[str, list[str]] = {}  # of each device, its open ones
    waiting: set[str] = set()  # those that a row itself is going to tell of
    for key, value in rows.items():
        row = Row.unpacked(key.decode(), decode(value))
        if home_of(row.device.id, place.partitions) != number:
            left.strangers += 1
            continue
        episodes = row.device.open_alerts()
        seqs.update((one.alert_id, one.seq) for one in episodes)
        alerts[row.device.id] = [one.alert_id for one in episodes]
        left.undelivered += len(row.outbox)
        waiting.update(event.alert_id for event in row.outbox)
    names = place.names
    told = await _events(place.looking, TopicPartition(names.alerts_open, number), seqs)
    if missing := {one: seqs[one] for one in seqs.keys() - told.keys() - waiting}:
        told |= await _events(place.looking, TopicPartition(names.alerts, number), missing)
    left.untold += len(seqs.keys() - told.keys() - waiting)
    for device_id in sorted(alerts):
        events = [msgspec.Raw(told[one]) for one in alerts[device_id] if one in told]
        put(Held(device_id, number, rows[device_id.encode()], events))
        left.devices += device_id != FLEET
        left.alerts += len(alerts[device_id])


async def _events(
    looking: AIOKafkaConsumer, tp: TopicPartition, seqs: Mapping[str, int]
) -> dict[str, bytes]:
    """The last event of each open alert, up to the seq that its row knows."""
    if not seqs:
        return {}
    begin = (await looking.beginning_offsets([tp]))[tp]
    end = (await looking.end_offsets([tp]))[tp]
    found: dict[str, tuple[int, bytes]] = {}
    async for records in read(looking, tp, begin, end):
        for record in records:
            told = _event(record.value)
            if told is not None:
                known = found.get(told.alert_id, (0, b""))[0]
                if known <= told.seq <= seqs.get(told.alert_id, 0):
                    found[told.alert_id] = (told.seq, record.value)
    return {alert_id: value for alert_id, (_, value) in found.items()}


def _event(value: bytes | None) -> Told | None:
    try:
        return _told.decode(value) if value else None
    except msgspec.DecodeError as error:
        log.warning("no alert event in alerts-open: %s", error)
        return None
