"""Records of one chunk in, what they say out: entries, and those that are none of ours.

A reading that can't be used is left out without a word: the worker that judges it sends it to
`readings-rejected`, and once is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import Any, NamedTuple

import msgspec
from aiokafka import ConsumerRecord

from pipeline.records import Rejected, objects, reading_of
from pipeline.rules.engine import Reading
from pipeline.sinks.sink import EVENT, LONGEST_WHY, OPEN, READING, WINDOW, Entry, Refused

Found = tuple[list[Entry], list[Refused]]


class Sent(NamedTuple):
    """A reading as it came, and as it is understood."""

    fields: dict[str, Any]
    reading: Reading


class Event(msgspec.Struct):
    """What is looked up of an alert event; the rest of it is kept as it came."""

    alert_id: str
    seq: int
    device_id: str
    rule: str
    event: str
    severity: str
    status: str
    started_at: datetime
    resolved_at: datetime | None
    detected_at: datetime


class Window(msgspec.Struct):
    device_id: str
    metric: str
    start: datetime
    end: datetime
    seconds: int
    revision: int
    count: int
    mean: float
    min: float
    max: float
    last: float
    unit: str | None


def entries_of(kind: str, records: Sequence[ConsumerRecord], naive_timezone: tzinfo) -> Found:
    if kind == READING:
        return list(_readings(records, naive_timezone)), []
    return _decoded(kind, records)


def _readings(records: Sequence[ConsumerRecord], naive_timezone: tzinfo) -> Iterable[Entry]:
    found = objects([record.value or b"" for record in records])
    for record, fields in zip(records, found, strict=True):
        if isinstance(fields, Rejected):
            continue
        try:
            arrived_at = record.timestamp / 1000
            reading, _ = reading_of(dict(fields), arrived_at, frozenset(), naive_timezone)
        except Rejected:
            continue
        yield _entry(READING, record, Sent(fields, reading))


def _decoded(kind: str, records: Sequence[ConsumerRecord]) -> Found:
    entries: list[Entry] = []
    refused: list[Refused] = []
    for record in records:
        try:
            entries.append(_entry(kind, record, _DECODE[kind](record)))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            refused.append(Refused(_entry(kind, record, None), f"no {kind}: {error}"[:LONGEST_WHY]))
    return entries, refused


def _entry(kind: str, record: ConsumerRecord, content: object) -> Entry:
    where = (record.topic, record.partition, record.offset)
    return Entry(kind, *where, record.timestamp, record.key, record.value, content)


def _from_value(decode: Callable[[bytes], Any], record: ConsumerRecord) -> Any:
    return decode(record.value or b"")


def _open(record: ConsumerRecord) -> Event | None:
    """None where its alert is resolved."""
    if b"|" not in (record.key or b""):
        raise ValueError("its key names no device and rule")
    return None if record.value is None else _decode_event(record.value)


_decode_event = msgspec.json.Decoder(Event).decode
_DECODE: dict[str, Callable[[ConsumerRecord], Any]] = {
    EVENT: partial(_from_value, _decode_event),
    WINDOW: partial(_from_value, msgspec.json.Decoder(Window).decode),
    OPEN: _open,
}
