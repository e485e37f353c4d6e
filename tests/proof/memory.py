"""Workers in; how much memory each of their processes holds, and whether it grows, out."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from tests.proof.worker import Worker

EVERY = 2.0  # seconds between two looks
# Seconds until a process has seen all devices and filled its buffers: the largest is that of the
# relay, which remembers 100,000 alerts. Under full load it is full in two minutes.
WARM_UP = 120.0
FLAT = 1.1  # times what it was


class Growth(NamedTuple):
    """Of one process after its warm-up: medians of the first third and the last, and the slope;
    and the medians of each twelfth of its life, warm-up and all."""

    name: str
    seconds: float
    first_mb: float
    last_mb: float
    mb_per_hour: float
    course_mb: list[float]

    def __str__(self) -> str:
        grown = f"{self.first_mb:>8.1f} MB -> {self.last_mb:.1f} MB ({self.mb_per_hour:+.1f} MB/h)"
        return f"{self.name:12}{self.seconds:>8.0f} s{grown}"

    def is_flat(self) -> bool:
        return self.last_mb <= self.first_mb * FLAT


class Memory:
    def __init__(self, warm_up: float = WARM_UP) -> None:
        self.warm_up = warm_up  # seconds
        self._seen: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    @contextlib.asynccontextmanager
    async def of(self, workers: Callable[[], Mapping[str, Worker]]) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._look_for_ever(workers))
        try:
            yield
        finally:
            looking.cancel()

    async def _look_for_ever(self, workers: Callable[[], Mapping[str, Worker]]) -> None:
        while True:
            for name, worker in workers().items():
                if worker.runs() and (held := worker.resident()):  # 0: it is just ending
                    self._seen[name, worker.pid].append((time.monotonic(), held / 2**20))
            await asyncio.sleep(EVERY)

    def processes(self) -> int:
        return len(self._seen)

    def growth(self) -> list[Growth]:
        """Of those that lived for twice their warm-up, the longest life first."""
        found = [
            growth(name, seen, self.warm_up)
            for (name, _), seen in self._seen.items()
            if seen[-1][0] - seen[0][0] > 2 * self.warm_up
        ]
        return sorted(found, key=lambda one: -one.seconds)


def growth(name: str, seen: list[tuple[float, float]], warm_up: float) -> Growth:
    warm = [(at, megabytes) for at, megabytes in seen if at - seen[0][0] > warm_up]
    times, held = zip(*warm, strict=True)
    third, twelfth = len(held) // 3, len(seen) // 12
    course = [megabytes for _, megabytes in seen]
    return Growth(
        name,
        round(times[-1] - times[0]),
        round(statistics.median(held[:third]), 1),
        round(statistics.median(held[-third:]), 1),
        round(statistics.linear_regression(times, held).slope * 3600, 1),
        [
            round(statistics.median(course[at * twelfth : (at + 1) * twelfth]), 1)
            for at in range(12)
        ],
    )
