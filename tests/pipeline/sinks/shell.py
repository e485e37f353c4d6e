"""Records as an archive reads them, without a broker: what they say, put together to batches."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any, NamedTuple

from pipeline.records import iso
from pipeline.rules.lifecycle import NAMESPACE
from pipeline.sinks.entries import entries_of
from pipeline.sinks.sink import EVENT, OPEN, READING, WINDOW, Batch, Refused, Sink, Source, Span

T0 = 1_764_000_000.0
CLUSTER = "cluster"
TOPICS = {READING: "readings", EVENT: "alerts", OPEN: "alerts-open", WINDOW: "windows"}


class Record(NamedTuple):
    """What aiokafka hands over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def record(
    kind: str, offset: int, value: Any, *, key: str = "k", at: float = T0, partition: int = 0
) -> Record:
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(TOPICS[kind], partition, offset, round(at * 1000), key.encode(), raw)


def reading(offset: int, device_id: str = "attic", *, at: float = T0, **fields: Any) -> Record:
    return record(READING, offset, {"device_id": device_id, **fields}, key=device_id, at=at)


def event_of(
    device_id: str = "attic", seq: int = 1, *, started_at: float = T0, **more: Any
) -> dict[str, Any]:
    event = {
        "alert_id": str(uuid.uuid5(NAMESPACE, f"{device_id}|{started_at}")),
        "seq": seq,
        "device_id": device_id,
        "rule": "temperature-high",
        "event": "fired",
        "severity": "danger",
        "status": "active",
        "reason": "threshold",
        "metric": "temperature",
        "started_at": iso(started_at),
        "resolved_at": None,
        "detected_at": iso(started_at),
    }
    return {**event, **more}


def window_of(device_id: str = "attic", **more: Any) -> dict[str, Any]:
    window = {
        "device_id": device_id,
        "metric": "temperature",
        "start": iso(T0),
        "end": iso(T0 + 300),
        "seconds": 300,
        "revision": 1,
        "count": 30,
        "mean": 21.5,
        "min": 20.0,
        "max": 23.0,
        "last": 22.0,
        "unit": "°C",
    }
    return {**window, **more}


class Writing:
    """An archive's part: remembers where its partitions stand, and what was refused."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.stands: dict[Source, int | None] = {}
        self.refused: list[Refused] = []

    def batch(self, *records: Record, anew: bool = False) -> Batch:
        """Records of one kind each, in the order of their offsets."""
        batch = Batch()
        for kind in TOPICS:
            some = [one for one in records if one.topic == TOPICS[kind]]
            entries, refused = entries_of(kind, some, UTC)  # type: ignore[arg-type]
            batch.entries += entries
            batch.refused += refused
        for one in records:
            source = (one.topic, one.partition)
            begin = self.stands.get(source)
            batch.spans.setdefault(source, Span(begin, 0, anew)).end = one.offset + 1
        return batch

    async def write(self, *records: Record, at: float = T0, anew: bool = False) -> list[str]:
        """Why some were refused."""
        return await self.put(self.batch(*records, anew=anew), at)

    async def put(self, batch: Batch, at: float = T0) -> list[str]:
        self.refused = []
        await self.sink.write(CLUSTER, batch, self.refuse, at)
        self.stands |= {source: span.end for source, span in batch.spans.items()}
        return [one.why for one in self.refused]

    async def refuse(self, refused: Sequence[Refused]) -> None:
        self.refused += refused

    async def progress(self, kinds: Iterable[str]) -> dict[str, int]:
        sources = [(TOPICS[kind], 0) for kind in kinds]
        return {key[0]: at for key, at in (await self.sink.progress(CLUSTER, sources)).items()}
