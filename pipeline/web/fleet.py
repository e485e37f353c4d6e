"""Rows of the device table in, the newest values and the status of every device out. No I/O.

A device is `offline` while its alert of that name is open: the worker has judged it. It is `late`
once it has been silent for longer than 1.5 times its own cadence, and for 10 s at least (a row is
up to a flush and a poll old); with no cadence known yet, once it has been silent for a minute.
Silence is measured by the wall clock where the device's partition is live, else (recorded data is
being replayed) by the partition's own clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct

from pipeline.records import iso
from pipeline.rows import PARTITION_KEY, Row, clock_of, decode, rank, silences_of
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import UNKNOWN
from pipeline.rules.silence import Silence
from pipeline.shapes import DeviceId, Time, one_of

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.newest import Known

LATE_FACTOR: Final = 1.5  # of the device's cadence
LATE_FLOOR: Final = 10.0  # seconds
LATE_UNKNOWN: Final = 60.0  # seconds, where no cadence is known yet

Rank = tuple[int, list[int]]
DeviceStatus = Annotated[str, one_of("online", "late", "offline")]


class Latest:
    """What is served of a device, and the rank of the row that it comes from."""

    __slots__ = (
        "cadence", "clock_offset", "device_id", "last_seen", "offline", "partition", "rank", "time",
        "values",
    )  # fmt: skip

    def __init__(self, partition: int, device_id: str, content: list[Any]) -> None:
        device = Row.unpacked(device_id, content).device
        self.device_id = device_id
        self.partition = partition
        self.rank: Rank = rank(content)
        self.time = device.time
        self.values = device.values
        self.last_seen = device.last_seen
        self.cadence = device.cadence()
        self.clock_offset = device.clock_offset()
        self.offline = any(episode.kind == "offline" for episode in device.open_alerts())

    def status(self, now: float) -> str:
        return status_of(self.offline, now - self.last_seen, self.cadence)


def status_of(offline: bool, silent: float, cadence: float) -> str:
    if offline:
        return "offline"
    limit = max(LATE_FACTOR * cadence, LATE_FLOOR) if cadence else LATE_UNKNOWN
    return "late" if silent > limit else "online"


class Card(Struct, frozen=True):
    """What is known of a device beside its values."""

    device_id: DeviceId
    status: DeviceStatus
    last_seen: Annotated[Time, Meta(description="when its newest reading came")]
    cadence: Annotated[float | None, Meta(description="seconds from one reading to the next")]
    metrics: list[str]
    clock_offset: Annotated[
        float | None,
        Meta(description="seconds that its clock is behind (below 0: ahead); null: it is right"),
    ]


class Fleet:
    """The newest row of every device. As large as the device table."""

    def __init__(self) -> None:
        self._devices: dict[str, Latest] = {}
        self._clocks: dict[int, tuple[Rank, PartitionClock]] = {}
        self._silences: dict[int, list[Silence]] = {}

    def __len__(self) -> int:
        return len(self._devices)

    def all(self) -> list[Latest]:
        return list(self._devices.values())

    def get(self, device_id: str) -> Latest | None:
        return self._devices.get(device_id)

    def clear(self) -> None:
        self._devices.clear()
        self._clocks.clear()
        self._silences.clear()

    def silences(self) -> list[Silence]:
        """Each once, though every partition keeps it."""
        kept = [silence for silences in self._silences.values() for silence in silences]
        return list({silence.id: silence for silence in kept}.values())

    def apply(self, partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the changelog. Whatever decoding raises where it is no row of ours."""
        if key == PARTITION_KEY:
            if value is not None:
                self._tick(partition, decode(value))
        elif not key.startswith(b"*"):
            self._device(partition, key.decode(), value)

    def item(self, latest: Latest, wall: float) -> dict[str, Any]:
        """An item of `latest_all`."""
        return message(
            latest.device_id, latest.values, latest.time, latest.status(self._now(latest, wall))
        )

    def item_of(self, known: Known, wall: float) -> dict[str, Any]:
        """An item of a device that Redis knows; its cadence is what we know of it, if we do."""
        ours = self._devices.get(known.device_id)
        now, cadence = (self._now(ours, wall), ours.cadence) if ours else (wall, 0.0)
        status = status_of(known.offline, now - known.at, cadence)
        return message(known.device_id, known.values, known.time, status)

    def card(self, latest: Latest, wall: float) -> Card:
        return Card(
            device_id=latest.device_id,
            status=latest.status(self._now(latest, wall)),
            last_seen=iso(latest.last_seen),
            cadence=latest.cadence or None,
            metrics=sorted(latest.values),
            clock_offset=round(latest.clock_offset, 3) or None,
        )

    def _tick(self, partition: int, content: list[Any]) -> None:
        known = self._clocks.get(partition)
        if known is None or rank(content) >= known[0]:
            self._clocks[partition] = (rank(content), clock_of(content))
            self._silences[partition] = [Silence.unpack(row) for row in silences_of(content)]

    def _device(self, partition: int, device_id: str, value: bytes | None) -> None:
        if value is None:
            self._devices.pop(device_id, None)
            return
        content = decode(value)
        known = self._devices.get(device_id)
        if known is not None and rank(content) < known.rank:
            return  # of an owner that was over when it wrote
        latest = Latest(partition, device_id, content)
        if latest.time == UNKNOWN:  # retired
            self._devices.pop(device_id, None)
        else:
            self._devices[device_id] = latest

    def _now(self, latest: Latest, wall: float) -> float:
        _, clock = self._clocks.get(latest.partition, (None, None))
        return wall if clock is None or clock.live else clock.clock


def message(
    device_id: str, values: dict[str, float], time: float, status: str, **more: str
) -> dict[str, Any]:
    """A reading as it is served; a metric that is named like a field of ours gives way to it."""
    shown: dict[str, Any] = {"device_id": device_id, **values}
    shown |= {"device_id": device_id, "timestamp": iso(time), "status": status, **more}
    return shown
