"""Exported rows in, what they are in another changelog out: each device in its new home.

A row says which offsets of the consumed topics are applied to it. They stay where the topic is the
very one that they are of, with as many partitions: then what came after the export is judged from
there on, and comes to the same alerts under the same ids. Else they would let new readings pass for
old ones, and are dropped; the epoch of the partitions rises, so that what may still be on its way
between them, of the old topic, can't pass for what is new either. No clock is read here.

A partition gets devices from those whose numbers leave the same remainder as its own, divided by
the greatest common divisor of both counts. Its clock is the latest of theirs: for none of its
devices does time go back. Twice as many partitions have one parent each, and so its very clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import gcd
from typing import Any, Final

from pipeline.exchange.form import Head, Held
from pipeline.home import home_of
from pipeline.rows import NOTHING, PartitionRow, Row, decode
from pipeline.rules.clock import PartitionClock
from pipeline.rules.silence import Silence

NEVER: Final = float("-inf")
CONSUMED: Final = ("readings", "smart-iot-checks", "commands")  # as a row has their offsets


class Moving:
    """`topics` are those of the new place, each with its id; `generation` is above all before."""

    def __init__(
        self,
        head: Head,
        owns: Mapping[int, PartitionRow],
        partitions: int,
        topics: Mapping[str, str],
        generation: int,
    ) -> None:
        as_many = partitions == head.partitions
        self.kept: Final = [
            as_many and topics[name] != "" and topics[name] == head.topics.get(name)
            for name in CONSUMED
        ]
        self.partitions: Final = partitions
        self.generation: Final = generation
        self._before: Final = head.partitions
        self._owns: Final = owns
        self._silences: Final = united(own.silences for own in owns.values())
        self._epoch: Final = 1 + max((own.epoch for own in owns.values()), default=-1)

    def home(self, device_id: str) -> int:
        return home_of(device_id, self.partitions)

    def row(self, held: Held) -> bytes:
        """A device's, for its new home."""
        row = Row.unpacked(held.device, decode(held.row))
        row.applied = self._offsets(row.applied)
        if not self.kept[0]:
            row.foreign = None
        return row.packed(self.generation)

    def own(self, number: int) -> PartitionRow:
        """That of a new partition."""
        found = [self._owns[old] for old in self._parents(number) if old in self._owns]
        clock = PartitionClock()
        for parent in found:
            clock.join(parent.clock)
        if len(found) == 1:
            clock = found[0].clock
        mixed = max((parent.foreign_at for parent in found), default=NEVER)
        moved = PartitionRow(
            self.generation, list(NOTHING), clock, -1, self._epoch, {}, mixed, self._silences
        )
        if self._before != self.partitions or not found:
            return moved
        was = found[0]
        moved = moved._replace(applied=self._offsets(was.applied))
        if self.kept[0]:
            moved = moved._replace(
                applied_time=was.applied_time, epoch=was.epoch, origins=was.origins
            )
        return moved

    def _offsets(self, applied: Sequence[int]) -> list[int]:
        return [
            offset if kept else nothing
            for offset, kept, nothing in zip(applied, self.kept, NOTHING, strict=True)
        ]

    def _parents(self, number: int) -> Iterator[int]:
        step = gcd(self._before, self.partitions)
        yield from range(number % step, self._before, step)


def united(every: Iterable[Sequence[Any]]) -> list[Any]:
    """Each silence once, oldest first. What one partition knows to have ended is over."""
    found: dict[str, Silence] = {}
    for packed in every:
        for row in packed:
            silence = Silence.unpack(row)
            known = found.setdefault(silence.id, silence)
            known.ends_at = min(known.ends_at, silence.ends_at)
    return [one.pack() for one in sorted(found.values(), key=lambda one: one.created_at)]
