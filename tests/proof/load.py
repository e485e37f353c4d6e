"""A history in, published as fast as the workers take it (or a rate allows), a little ahead of
them; how far they have committed it, out. So there is always something to do, and never hours of
it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.proof.kafka import Sent, committed, send

SLICE = 250
LOOK_EVERY = 0.5  # seconds


class Load:
    """A context manager; `finish` ends it and waits until all is committed."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        readings: Iterator[Sent],
        *,
        ahead: int = 4_000,
        rate: float = float("inf"),
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._readings = readings
        self._ahead = ahead
        self._pause = SLICE / rate
        self._tasks: list[asyncio.Task[None]] = []
        self._enough = asyncio.Event()
        self.sent = 0
        self.committed = 0

    @property
    def lag(self) -> int:
        return self.sent - self.committed

    async def look(self) -> int:
        """How many readings are committed."""
        self.committed = sum((await committed(self._bootstrap, self._prefix)).values())
        return self.committed

    async def beyond(self, mark: int, within: float = 90.0) -> None:
        """Wait until more is committed than that."""
        await self._until(lambda: self.committed > mark, within)

    async def finish(self, within: float) -> None:
        self._enough.set()
        await self.all(within)

    async def all(self, within: float) -> None:
        """Wait until the whole history is published, and committed."""
        await self._until(lambda: self._tasks[0].done() and self.lag == 0, within)

    async def _until(self, true: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while not true():
            for task in self._tasks:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, f"{self.lag} readings wait, after {within:.0f} s"
            await asyncio.sleep(0.1)

    async def _publish(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, enable_idempotence=True)
        async with producer:
            while not self._enough.is_set() and (some := list(islice(self._readings, SLICE))):
                topic = self._prefix + "readings"
                await asyncio.gather(*[await send(producer, topic, one) for one in some])
                self.sent += len(some)
                await asyncio.sleep(self._pause)
                while self.lag > self._ahead and not self._enough.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def _look_for_ever(self) -> None:
        while True:
            with contextlib.suppress(KafkaError, OSError):  # the broker may be away
                await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._publish()),
            asyncio.create_task(self._look_for_ever()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
