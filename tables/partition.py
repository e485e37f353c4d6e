"""One partition while it is ours: its devices' rows, what is applied to them, and what has changed
and waits for a flush."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from faust.types import EventT

from pipeline.rejection import Rejection
from pipeline.rows import NOTHING, NOWHERE, PartitionRow, Place, Row
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device
from pipeline.rules.fleet import FLEET
from pipeline.rules.silence import Silences
from pipeline.rules.window import Closed as ClosedWindow
from tables.plan import Plan
from tables.standing import Standing

READINGS, CHECKS, COMMANDS = 0, 1, 2  # places in `applied`: one offset per consumed topic
MIXED_FOR: Final = 86_400.0  # seconds after the last reading that arrived elsewhere
UNKNOWN: Final = float("-inf")
UNKNOWN_OFFSET: Final = -1


class Partition:
    """One partition while it is ours; `closed` once it is not, and then nothing is written."""

    __slots__ = (
        "applied",
        "applied_time",
        "changelog_next",
        "clock",
        "closed",
        "confirmed_at",
        "dirty",
        "epoch",
        "fleet",
        "foreign_at",
        "generation",
        "number",
        "open_next",
        "origins",
        "pending",
        "plan",
        "reached",
        "rejected",
        "rows",
        "shared",
        "silences",
        "silent",
        "standing",
        "undelivered",
        "unflushed",
        "unjudged",
        "urgent",
        "windows",
        "wrong_clocks",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.generation = 0
        self.rows: dict[str, Row] = {}
        self.fleet = new_row(FLEET)  # of all partitions' devices; its own partition alone uses it
        self.clock = PartitionClock()
        self.applied = list(NOTHING)
        self.applied_time = -1  # timestamp (ms) of the applied reading: tells a recreated topic
        self.epoch = 0  # how often our readings were found recreated
        self.origins: dict[int, Place] = {}  # what other partitions' readings are applied here
        self.foreign_at = UNKNOWN  # our clock when the last of those was
        self.reached = UNKNOWN  # all that was sent before this (wall clock) is applied
        self.shared = False  # other workers may have readings of our devices
        self.changelog_next = 0
        self.open_next = UNKNOWN_OFFSET  # where `alerts-open` goes on if nobody else writes there
        self.confirmed_at = UNKNOWN  # when what we wrote was last the end of the changelog
        self.dirty: list[Row] = []  # each once: see `mark_dirty`
        self.urgent: dict[str, Row] = {}  # those that have events which nobody has yet
        self.rejected: list[Rejection] = []
        self.pending: list[EventT[Any]] = []  # what the next cut covers, and its acks
        self.silences = Silences()
        # devices that are offline, or about to be: when they were found so, and when it was due
        self.silent: dict[str, tuple[float, float]] = {}
        self.plan = Plan()  # when to send checks
        self.undelivered = 0  # events that wait to be written and announced
        self.unflushed = 0  # bytes of readings taken since the last cut
        self.unjudged: list[str] = []  # devices that other rules may have judged, for a sweep
        self.windows: list[ClosedWindow] = []  # closed, and not sent yet
        self.wrong_clocks: set[str] = set()  # devices whose rows say so
        self.standing = Standing()  # the open alerts, once the devices have been gone through
        self.closed = False

    def row(self, device_id: str) -> Row:
        row = self.rows.get(device_id)
        if row is None:
            row = self.rows[device_id] = new_row(device_id)
        return row

    def mark_dirty(self, row: Row) -> None:
        """It has changed: the next cut has it, or the one that it is in already."""
        if not row.dirty:
            row.dirty = True
            self.dirty.append(row)

    def delete(self, row: Row) -> None:
        del self.rows[row.device.id]
        row.gone = True
        self.plan.forget(row)
        self.wrong_clocks.discard(row.device.id)

    def note_clock(self, device: Device) -> None:
        if device.lag is not None or self.wrong_clocks:  # of most devices there is nothing to say
            if device.clock_offset():
                self.wrong_clocks.add(device.id)
            else:
                self.wrong_clocks.discard(device.id)

    def known(self, device_id: str) -> Row | None:
        return self.fleet if device_id == FLEET else self.rows.get(device_id)

    def every_row(self) -> Iterator[Row]:
        yield from self.rows.values()
        if self.fleet.device.alerts is not None:
            yield self.fleet

    def reopened(self) -> Partition:
        """The same state under a new life: what still holds the old one can change nothing."""
        fresh = Partition(self.number)
        for name in (
            *("generation", "rows", "clock", "applied", "applied_time", "epoch", "origins"),
            *("foreign_at", "changelog_next", "dirty", "urgent", "silences", "fleet", "plan"),
            "wrong_clocks",
        ):
            setattr(fresh, name, getattr(self, name))
        return fresh

    def is_mixed(self) -> bool:
        """Whether readings of our devices have been arriving in other partitions."""
        return self.clock.clock - self.foreign_at < MIXED_FOR

    def horizon(self) -> float:
        """Up to when silence can be judged: what was sent before is applied."""
        horizon = self.clock.horizon(self.reached, at_end=self.reached > self.clock.clock)
        return min(horizon, self.reached) if self.shared else horizon

    def now(self) -> float:
        """When what is no reading takes effect: nothing that was decided before is later."""
        return max(self.horizon(), self.clock.clock)

    def packed(self) -> bytes:
        return PartitionRow(
            self.generation,
            self.applied,
            self.clock,
            self.applied_time,
            self.epoch,
            self.origins,
            self.foreign_at,
            self.silences.pack(),
        ).packed()

    def read(self, content: list[Any]) -> None:
        row = PartitionRow.unpacked(content)
        self.generation = row.generation
        self.applied = row.applied
        self.clock = row.clock
        self.applied_time = row.applied_time
        self.epoch = row.epoch
        self.origins = row.origins
        self.foreign_at = row.foreign_at
        self.silences.unpack(row.silences)

    # -- which readings are applied: those that arrived here and those that arrived elsewhere

    def has_applied(self, origin: int, place: Place) -> bool:
        """Whether this is a repeat of a reading that arrived in the partition `origin`."""
        if origin == self.number:
            return place[1] <= self.applied[READINGS]
        return place <= self.origins.get(origin, NOWHERE)

    def note_applied(self, origin: int, place: Place) -> None:
        """Of what arrived here it is noted where it is read, of our devices or not."""
        if origin != self.number:
            self.origins[origin] = place
            self.foreign_at = self.clock.clock

    def row_has_applied(self, row: Row, origin: int, place: Place) -> bool:
        """The row is ahead of us where a crash came between the two."""
        if origin == self.number:
            return place[1] <= row.applied_reading
        return row.foreign is not None and place <= row.foreign.get(origin, NOWHERE)

    def note_applied_by_row(self, row: Row, origin: int, place: Place) -> None:
        if origin == self.number:
            row.applied_reading = place[1]
        elif row.foreign is None:
            row.foreign = {origin: place}
        else:
            row.foreign[origin] = place

    def forget_offsets(self, source: int) -> None:
        """That source was recreated: its offsets start anew, and so must every row's."""
        self.epoch += source == READINGS
        self.applied[source] = -1
        for row in self.every_row():
            applied = row.applied
            applied[source] = -1
            row.applied = applied
            self.mark_dirty(row)


def new_row(device_id: str) -> Row:
    return Row(Device(device_id), list(NOTHING))
