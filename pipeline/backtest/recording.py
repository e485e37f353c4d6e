"""A batch of recorded objects in; readings, each with its record's time, or Rejected out.

`Batch` is what every source gives (`files`, `topic`). A line of a file has no record, so the time
of its arrival is what its field `arrived_at` says, or else the reading's own; in whole
milliseconds, as those of Kafka's records are.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import tzinfo
from typing import Any, Final, NamedTuple

from pipeline.records import Rejected, parse_time, reading_of
from pipeline.rules import Reading


class Unreadable(Exception):
    """What was recorded can't be read on, or not at all; says why."""


class Record(NamedTuple):
    """Where a record of a topic stands, and when it arrived."""

    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"partition {self.partition}, offset {self.offset}"


Place = int | Record  # a line's number, or a record


class Batch(NamedTuple):
    """Objects in the order of their arrival, each with its place."""

    objects: Sequence[dict[str, Any] | Rejected]
    places: Sequence[Place]
    read: int
    """How much of the source has been read by now, in the unit of its size."""


class Reader:
    """`known` are ids of devices that have been read before."""

    def __init__(
        self, named: frozenset[str], naive_timezone: tzinfo, known: Container[str]
    ) -> None:
        self._named: Final = named
        self._zone: Final = naive_timezone
        self._known: Final = known

    def read(
        self, fields: dict[str, Any] | Rejected, place: Place
    ) -> tuple[Reading, Sequence[str]]:
        """The reading, and why single values were left out of it."""
        if isinstance(fields, Rejected):
            raise fields
        device_id = fields.get("device_id")
        is_known = type(device_id) is str and device_id in self._known
        if type(place) is Record:
            record_time = place.timestamp_ms / 1000
            return reading_of(fields, record_time, self._named, self._zone, is_known)
        arrived_at = fields.pop("arrived_at", None)
        reading, refused = reading_of(fields, 0.0, self._named, self._zone, is_known)
        arrival = reading.time if arrived_at is None else self._arrival(arrived_at)
        if arrival is None:
            raise Rejected("no_time", "neither timestamp nor arrived_at")
        reading.record_time = round(arrival * 1000) / 1000
        return reading, refused

    def _arrival(self, claim: Any) -> float:
        try:
            return parse_time(claim, self._zone)
        except ValueError as error:
            raise Rejected("bad_arrived_at", str(error)) from None
