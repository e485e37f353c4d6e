"""Where the topics end in; what waits for a database out, in the metrics, and what doesn't."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from math import nan
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from pipeline import metrics
from pipeline.looking import consumer
from pipeline.sinks.sink import Source
from pipeline.streams import App

log = logging.getLogger(__name__)

LOOK_WITHIN: Final = 10.0  # seconds


class Lag:
    """Of the archive of this name."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name
        self._before: dict[Source, int] = {}

    def unknown(self) -> None:
        """Until the database has said how far it is: it may be nothing, or all that Kafka has."""
        metrics.ARCHIVE_LAG.labels(self._name).set(nan)

    async def look(self, written: Mapping[Source, int]) -> list[Source]:
        """Note what waits. Those of which all is written that they had at the look before."""
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                ends = await self._ends(written)
        except (KafkaError, TimeoutError) as error:
            log.warning("Kafka doesn't say where its topics end: %r", error)
            return []
        lag = sum(max(0, ends[source] - at) for source, at in written.items())
        metrics.ARCHIVE_LAG.labels(self._name).set(lag)
        before, self._before = self._before, ends
        return [source for source, at in written.items() if at >= before.get(source, at + 1)]

    async def _ends(self, sources: Mapping[Source, int]) -> dict[Source, int]:
        found = await self._app.consumer.highwaters(*map(TP._make, sources)) if sources else {}
        return {source: found.get(TP(*source)) or 0 for source in sources}


async def ends_of(app: App, sources: Sequence[Source]) -> dict[Source, int]:
    """With a consumer of its own: the app's isn't assigned to them yet."""
    looking = consumer(app.settings)
    await looking.start()
    try:
        ends = await looking.end_offsets([TopicPartition(*source) for source in sources])
    finally:
        await looking.stop()
    return {(tp.topic, tp.partition): end for tp, end in ends.items()}
