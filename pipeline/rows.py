"""A device's state in, the bytes of its row in the device table out, and back.

Written by the worker's table, read by it and by every web view: the changelog is where a view gets
the newest values from. A row carries its owner's generation and the offsets that are applied to it;
of two rows of a device, the one with the higher rank (both together) is the newer, and a later one
on a tie.

Of readings that arrived in other partitions than the device's own (`agents/rekeying.py`) a row says
which it has seen that the partition's own row, as last written, doesn't cover: that one, the last
of every cut, says the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from mypy_extensions import mypyc_attr

from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device
from pipeline.rules.version import refuse_newer

PARTITION_KEY: Final = b"*partition"  # no device id starts with a star
IMPORT_KEY: Final = b"*import"  # stands there as long as an import isn't finished
# Rises with whatever is packed into a row, a device's own version too: a worker is refused by the
# `*partition` row of a newer one, before it has touched anything. The first three places stay.
# 1 knew nothing of readings that arrive in other partitions, 2 nothing of commands
VERSION: Final = 3
NEVER: Final = float("inf")
NOTHING: Final = (-1, -1, -1)  # applied, of each consumed topic

# Where a reading stood in its partition: epoch (a topic that is recreated counts anew), offset.
Place = tuple[int, int]
NOWHERE: Final[Place] = (-1, -1)

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def decode(value: bytes) -> Any:
    """The content of a row. NewerState where a newer smart-iot has written it."""
    _check(value)
    return _decode(value)


def _check(value: bytes) -> None:
    refuse_newer("a row", value[1], VERSION)  # a short list that begins with a small number


def wins(value: bytes | None, known: bytes | None) -> bool:
    """Whether a record of the changelog takes the place of the one before it. NewerState too."""
    if value is None:
        return True
    _check(value)
    return known is None or rank(_decode(value)) >= rank(decode(known))


@mypyc_attr(acyclic=True)
class Row:
    """A device, the last offset of each consumed topic that is applied to it, and the events it has
    decided that nobody has yet. Every reading looks here: three numbers lie nearer than a list.
    Most devices of a million have no event that waits, and keep no list for it.

    Not stored: whether it is among its partition's `dirty` ones, or in a cut that is being written;
    when it is `due` a look, and the second it is `noted` for (`tables/plan.py`); and whether it is
    `gone`, so that whoever holds it asks for the device's row anew."""

    __slots__ = (
        "applied_check", "applied_command", "applied_reading", "device", "dirty", "due", "foreign",
        "gone", "noted", "outbox",
    )  # fmt: skip

    def __init__(
        self,
        device: Device,
        applied: list[int],
        outbox: tuple[Outgoing, ...] = (),
        foreign: dict[int, Place] | None = None,
    ) -> None:
        self.device = device
        self.applied = applied
        self.outbox = outbox
        self.foreign = foreign  # partition to the last place there that is applied
        self.dirty = False
        self.gone = False
        self.due = NEVER
        self.noted = NEVER

    @property
    def applied(self) -> list[int]:
        return [self.applied_reading, self.applied_check, self.applied_command]

    @applied.setter
    def applied(self, offsets: list[int]) -> None:
        self.applied_reading, self.applied_check, self.applied_command = offsets

    def is_over(self) -> bool:
        """Retired, and nothing is left to say: the row can be deleted."""
        return self.device.retired and not self.outbox

    def leave_to_partition(self, covered: Mapping[int, Place]) -> None:
        """The partition's own row is written after this one: we needn't say what that covers.

        A row stays ahead for a while where an owner's last cut broke off between the two.
        """
        if self.foreign is not None:
            ahead = {
                origin: place
                for origin, place in self.foreign.items()
                if place > covered.get(origin, NOWHERE)
            }
            self.foreign = ahead or None

    def packed(self, generation: int) -> bytes:
        outbox = [event.packed() for event in self.outbox]
        return encode([VERSION, generation, self.applied, self.device.pack(), outbox, self.foreign])

    @classmethod
    def unpacked(cls, key: str, content: list[Any]) -> Row:
        _version, _generation, _applied, device, outbox, *since = content
        foreign = {number: (*place,) for number, place in since[0].items()} if any(since) else None
        return cls(
            Device.unpack(key, device),
            applied_of(content),
            tuple(Outgoing(*event) for event in outbox),
            foreign,
        )


class Outgoing:
    """A decided event on its way: its bytes for `alerts`, and what `alerts-open` needs to know.

    `since` is from when on it is on its way, for whoever measures that, and `is_due` whether its
    time had come then, instead of a reading; both are forgotten with the process."""

    __slots__ = ("alert_id", "is_due", "open", "rule", "seq", "since", "value")

    def __init__(self, rule: str, alert_id: str, seq: int, is_open: bool, value: bytes) -> None:
        self.rule = rule
        self.alert_id = alert_id
        self.seq = seq
        self.open = is_open
        self.value = value
        self.since: float | None = None
        self.is_due = False

    def packed(self) -> list[Any]:
        return [self.rule, self.alert_id, self.seq, self.open, self.value]


class PartitionRow(NamedTuple):
    """The content of a `*partition` row: what a partition remembers beside its devices."""

    generation: int
    applied: list[int]
    clock: PartitionClock
    applied_time: int  # timestamp (ms) of the applied reading: tells a recreated topic
    epoch: int  # how often the partition's readings were found recreated
    origins: dict[int, Place]  # what other partitions' readings are applied
    foreign_at: float  # its clock when the last of those was
    silences: list[Any]  # packed

    def packed(self) -> bytes:
        return encode([VERSION, *self[:2], self.clock.pack(), *self[3:]])

    @classmethod
    def unpacked(cls, content: list[Any]) -> PartitionRow:
        epoch, origins, foreign_at = content[5:8] or (0, {}, float("-inf"))
        return cls(
            content[1],
            applied_of(content),
            clock_of(content),
            content[4],
            epoch,
            {number: (*place,) for number, place in origins.items()},
            foreign_at,
            silences_of(content),
        )


def clock_of(content: list[Any]) -> PartitionClock:
    """The clock in a `*partition` row."""
    return PartitionClock.unpack(content[3])


def silences_of(content: list[Any]) -> list[Any]:
    """The silences in a `*partition` row, packed."""
    return list(content[8]) if len(content) > 8 else []


def applied_of(content: list[Any]) -> list[int]:
    """The applied offset of each consumed topic; older rows know of fewer."""
    applied: list[int] = content[2]
    return [*applied, *NOTHING[len(applied) :]]


def rank(content: list[Any]) -> tuple[int, list[int]]:
    return content[1], content[2]


def generation_of(value: bytes) -> int:
    return rank(decode(value))[0]
