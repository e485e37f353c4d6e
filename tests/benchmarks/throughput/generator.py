"""A seed in, readings out: the same bytes for the same seed, whatever the machine.

Devices are drawn at random, each sending every few seconds in the mean; of the readings a share is
too hot, so that each of those fires an alert which the device's next one resolves. All other values
are ordinary. Times are long past, and only rise.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.home import home_of
from pipeline.records import iso

START = 1_735_689_600.0  # 2025-01-01T00:00:00Z, where a window of 5 minutes begins
CHUNK = 10_000
HUMIDITIES = [f"{tenths / 10}" for tenths in range(400, 601)]
BATTERIES = [f"{percent}" for percent in range(40, 101)]
ORDINARY = [f"{tenths / 10}" for tenths in range(180, 281)]
TOO_HOT = "36.5"


class Job(NamedTuple):
    """What is sent. The mean gap is far below the minute after which a device is offline."""

    devices: int = 100_000
    readings: int = 6_000_000
    hot: float = 0.01
    every: float = 5.0  # seconds between two readings of a device, in the mean
    seed: int = 7


class Record(NamedTuple):
    partition: int  # at home under Kafka's own partitioner
    key: bytes
    value: bytes
    timestamp: int  # ms


def records(job: Job, partitions: int) -> Iterator[Record]:
    draw = random.Random(job.seed)
    names = [f"device-{number}" for number in range(job.devices)]
    keys = [name.encode() for name in names]
    homes = [home_of(name, partitions) for name in names]
    for first in range(0, job.readings, CHUNK):
        size = min(CHUNK, job.readings - first)
        drawn = zip(
            draw.choices(range(job.devices), k=size),
            _temperatures(draw, job.hot, size),
            draw.choices(HUMIDITIES, k=size),
            draw.choices(BATTERIES, k=size),
            _times(first, size, job.every / job.devices),
            strict=True,
        )
        for number, temperature, humidity, battery, (ms, text) in drawn:
            value = (
                f'{{"device_id":"{names[number]}","temperature":{temperature},'
                f'"humidity":{humidity},"battery":{battery},"timestamp":"{text}"}}'
            )
            yield Record(homes[number], keys[number], value.encode(), ms)


def _temperatures(draw: random.Random, hot: float, size: int) -> Sequence[str]:
    drawn = draw.choices(ORDINARY, k=size)
    for place in draw.sample(range(size), round(size * hot)):
        drawn[place] = TOO_HOT
    return drawn


def _times(first: int, size: int, step: float) -> Iterator[tuple[int, str]]:
    """In milliseconds, and as ISO 8601 text."""
    known, text = -1, ""
    for place in range(first, first + size):
        ms = round((START + place * step) * 1000)
        second, rest = divmod(ms, 1000)
        if second != known:
            known, text = second, iso(second)[:-4]
        yield ms, f"{text}{rest:03}Z"
