"""Readings in the order of their arrival in, the alert events of a worker that reads them out.

What `agents/judge.py` does with a backlog, without a broker: a clock for each partition, every
device at home in one of them, and the same engine. The recording is a replay from beginning to end:
the wall clock is never near, so time is the records' own, and its end is nobody's outage.

What a worker settles by checks is settled here when the device's next reading comes, and at the end
(`settle`) up to its partition's clock. The events are the same, in the same order for each device.
"""

from __future__ import annotations

from typing import Final

from pipeline.home import home_of
from pipeline.rules import Device, Engine, Event, PartitionClock, Reading, Rulebook

WALL: Final = float("inf")  # no recording is of now
DISORDER: Final = 300.0  # seconds behind what came before; more is no order of arrival


class Replay:
    """Judges by `rulebook`; `devices` are all that were heard of, each with its home's clock,
    `disordered` counts readings whose turn would have been long before."""

    def __init__(self, rulebook: Rulebook, partitions: int) -> None:
        self.engine: Final = Engine(rulebook)
        self.devices: Final[dict[str, tuple[Device, PartitionClock]]] = {}
        self.clocks: Final = [PartitionClock() for _ in range(partitions)]
        self.disordered = 0

    def reading(self, reading: Reading, events: list[Event]) -> str:
        """The engine's verdict; its events, also those before a failure, are added. Refused where
        the device has too many metrics."""
        known = self.devices.get(reading.device_id)
        if known is None:
            known = self._meet(reading.device_id)
        device, clock = known
        at = clock.see(reading.record_time, WALL)
        if at - reading.record_time > DISORDER:
            self.disordered += 1
        return self.engine.reading(device, reading, at, clock.judged_from, events)[0]

    def pass_time(self, partition: int, record_time: float) -> None:
        """What is no reading proves that time has passed where it arrived."""
        self.clocks[partition].see(record_time, WALL)

    def settle(self) -> list[Event]:
        """What is due by the end, in the order of time."""
        events: list[Event] = []
        for device, clock in self.devices.values():
            events += self.engine.settle(device, clock.clock, clock.judged_from)
        events.sort(key=lambda event: event.detected_at)
        return events

    def _meet(self, device_id: str) -> tuple[Device, PartitionClock]:
        clock = self.clocks[home_of(device_id, len(self.clocks))]
        known = self.devices[device_id] = (Device(device_id), clock)
        return known
