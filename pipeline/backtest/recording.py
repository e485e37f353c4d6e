"""A batch of recorded objects in; readings, each with its record's time, or Rejected out.

`Batch` is what every source gives (`files`, `topic`). A line of a file has no record, so its time of
arrival is what its field `arrived_at` says, or else the reading's own; whole milliseconds, as those
of Kafka's records are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from pipeline.records import Rejected, parse_time, reading_of
from pipeline.rules import Reading

Found = dict[str, Any] | Rejected


class Record(NamedTuple):
    """Where a record of a topic stands, and when it arrived (ms)."""

    partition: int
    offset: int
    timestamp: int

    def __str__(self) -> str:
        return f"partition {self.partition}, offset {self.offset}"


class Batch(NamedTuple):
    """Objects in the order of their arrival; beside each its place, a line's number or a record."""

    objects: Sequence[Found]
    places: Sequence[int] | Sequence[Record]
    read: int
    """How much of the source has been read, in the unit of its size."""
