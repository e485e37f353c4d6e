"""Rows of the device table in, the newest values and the status of every device out. No I/O.

A device is `offline` while its alert of that name is open: the worker has judged it. It is `late`
once it has been silent for longer than 1.5 times its own cadence, and for 10 s at least (a row is
up to a flush and a poll old); with no cadence known yet, once it has been silent for a minute.
Silence is measured by the wall clock where the device's partition is live, else (recorded data is
being replayed) by the partition's own clock.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta, Struct

from pipeline.records import iso
from pipeline.rows import PARTITION_KEY, Row, applied_of, clock_of, decode, rank, silences_of
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import UNKNOWN, Device
from pipeline.rules.silence import Silence
from pipeline.shapes import DeviceId, Time, one_of

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.newest import Known

LATE_FACTOR: Final = 1.5  # of the device's cadence
LATE_FLOOR: Final = 10.0  # seconds
LATE_UNKNOWN: Final = 60.0  # seconds, where no cadence is known yet
SHARED: Final = 10_000  # sets of metrics that are kept once for all devices

VALUES: Final = 8  # where they begin among a device's numbers

Rank = tuple[float, ...]  # whole numbers, far below 2**53
DeviceStatus = Annotated[str, one_of("online", "late", "offline")]


class Latest(Struct, gc=False):
    """What is served of a device, and the rank of the row that it comes from. There may be a
    million: numbers lie in one array, names are shared, and garbage is never looked for in it."""

    device_id: str
    partition: int
    metrics: tuple[str, ...]
    numbers: array[float]  # time, when last seen, cadence, what its clock is behind; rank; values
    offline: bool

    @property
    def time(self) -> float:
        return self.numbers[0]

    @property
    def last_seen(self) -> float:
        return self.numbers[1]

    @property
    def cadence(self) -> float:
        return self.numbers[2]

    @property
    def clock_offset(self) -> float:
        return self.numbers[3]

    @property
    def rank(self) -> Rank:
        return tuple(self.numbers[4:VALUES])

    @property
    def values(self) -> dict[str, float]:
        return dict(zip(self.metrics, self.numbers[VALUES:], strict=True))

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
        self._metrics: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Names of one device to the same names: a fleet's devices have few different ones."""

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
        self._metrics.clear()

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
            metrics=sorted(latest.metrics),
            clock_offset=round(latest.clock_offset, 3) or None,
        )

    def _tick(self, partition: int, content: list[Any]) -> None:
        known, ours = self._clocks.get(partition), _rank(content)
        if known is None or ours >= known[0]:
            self._clocks[partition] = (ours, clock_of(content))
            self._silences[partition] = [Silence.unpack(row) for row in silences_of(content)]

    def _device(self, partition: int, device_id: str, value: bytes | None) -> None:
        if value is None:
            self._devices.pop(device_id, None)
            return
        content = decode(value)
        known, ours = self._devices.get(device_id), _rank(content)
        if known is not None and ours < known.rank:
            return  # of an owner that was over when it wrote
        device = Row.unpacked(device_id, content).device
        if device.time == UNKNOWN:  # retired
            self._devices.pop(device_id, None)
        else:
            self._devices[device_id] = self._latest(partition, ours, device)

    def _latest(self, partition: int, rank: Rank, device: Device) -> Latest:
        values = device.values
        metrics = tuple(values)
        if len(self._metrics) < SHARED:
            self._metrics.setdefault(metrics, metrics)
        return Latest(
            device.id,
            partition,
            self._metrics.get(metrics, metrics),
            array(
                "d",
                (
                    device.time,
                    device.last_seen,
                    device.cadence(),
                    device.clock_offset(),
                    *rank,
                    *values.values(),
                ),
            ),
            any(episode.kind == "offline" for episode in device.open_alerts()),
        )

    def _now(self, latest: Latest, wall: float) -> float:
        _, clock = self._clocks.get(latest.partition, (None, None))
        return wall if clock is None or clock.live else clock.clock


def _rank(content: list[Any]) -> Rank:
    return (rank(content)[0], *applied_of(content))  # older rows know of fewer offsets


def message(
    device_id: str, values: dict[str, float], time: float, status: str, **more: str
) -> dict[str, Any]:
    """A reading as it is served; a metric that is named like a field of ours gives way to it."""
    shown: dict[str, Any] = {"device_id": device_id, **values}
    shown |= {"device_id": device_id, "timestamp": iso(time), "status": status, **more}
    return shown
