"""A record on its way: where it arrived first, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import ConsumerRecord
from mypy_extensions import mypyc_attr

from pipeline.records import Rejected
from pipeline.rows import Place, Row
from pipeline.rules.engine import Reading


class Origin(NamedTuple):
    """Where a forwarded reading came from."""

    topic: str
    partition: int
    place: Place
    timestamp: int  # ms

    def headers(self) -> list[tuple[str, bytes]]:
        epoch, offset = self.place
        return [
            ("topic", self.topic.encode()),
            ("partition", b"%d" % self.partition),
            ("epoch", b"%d" % epoch),
            ("offset", b"%d" % offset),
            ("timestamp", b"%d" % self.timestamp),
        ]

    @classmethod
    def of(cls, record: ConsumerRecord) -> Origin:
        """The origin that a forwarded record names; Rejected if it names none, and isn't ours."""
        headers = dict(record.headers)
        try:
            return cls(
                headers["topic"].decode(),
                int(headers["partition"]),
                (int(headers["epoch"]), int(headers["offset"])),
                int(headers["timestamp"]),
            )
        except (KeyError, ValueError):
            raise Rejected("no_origin") from None


@mypyc_attr(acyclic=True)
class Item:
    """`place`, `partition` and `timestamp` (ms) are the origin's; `home` is the partition of the
    reading's device, `row` the device's where that was known as the record came, `refused` why
    single values were left out of the reading. Without one, `rejected` is why there is none. `turn`
    is when its turn comes, by its source's clock."""

    __slots__ = (
        "home", "partition", "place", "reading", "record", "refused", "rejected", "row",
        "timestamp", "topic", "turn",
    )  # fmt: skip

    def __init__(
        self, topic: str, partition: int, place: Place, timestamp: int, record: ConsumerRecord
    ) -> None:
        self.topic: Final = topic
        self.partition: Final = partition
        self.place: Final = place
        self.timestamp: Final = timestamp
        self.record: Final = record
        self.reading: Reading | None = None
        self.row: Row | None = None
        self.home = -1
        self.turn = 0.0
        self.refused: Sequence[str] = ()
        self.rejected = ""

    def origin(self) -> Origin:
        return Origin(self.topic, self.partition, self.place, self.timestamp)

    def is_foreign(self) -> bool:
        return self.reading is not None and self.home != self.partition
