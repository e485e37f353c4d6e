"""Positions and ends of the sources in; the process ended when nothing moves though it should.

A consumer can stop consuming, and a rebalance can fail to bring partitions back, without an error
that anybody sees. Ending the process is the cure: it starts well again, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Final

from faust.types import TP

from agents.ownership import Ownership
from pipeline.streams import App, end_process

LOOK_EVERY: Final = 10.0  # seconds
PATIENCE: Final = 90.0  # seconds that nothing may move; a flush alone may take 60


class Progress:
    """Positions and ends in, whether a source has stood still for too long out."""

    def __init__(self) -> None:
        self._moved: dict[TP, tuple[int, float]] = {}

    def stuck(
        self,
        positions: Mapping[TP, int],
        ends: Mapping[TP, int],
        now: float,
        waiting: Collection[TP] = (),
    ) -> bool:
        """What is `waiting` for its turn may stand still as long as something else moves."""
        moving = False
        for tp, position in positions.items():
            known, _ = self._moved.get(tp, (-1, now))
            moving = moving or position != known
            if position != known or position >= (ends.get(tp) or 0):
                self._moved[tp] = (position, now)
        self._moved = {tp: moved for tp, moved in self._moved.items() if tp in positions}
        still = {tp for tp, (_, since) in self._moved.items() if now - since > PATIENCE}
        return bool(still.difference(waiting)) or (bool(still) and not moving)


class Idle:
    """Whether it has been waiting for too long for partitions that a rebalance took."""

    def __init__(self) -> None:
        self._since: float | None = None

    def too_long(self, waiting: bool, now: float) -> bool:
        if not waiting:
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since > PATIENCE


async def mind_the_sources(app: App, ownership: Ownership) -> None:
    """Until the app stops."""
    progress, idle = Progress(), Idle()
    while not app.should_stop:
        await asyncio.sleep(LOOK_EVERY)
        sources = list(ownership.sources.values())
        if not sources:
            progress = Progress()
            if idle.too_long(ownership.is_waiting(), time.monotonic()):
                end_process(f"no partitions came back for {PATIENCE:.0f} s after a rebalance")
            continue
        positions = {source.tp: ownership.read_to(source) for source in sources}
        waiting = {source.tp for source in sources if source.chunks}
        ends = await app.consumer.highwaters(*positions)
        if progress.stuck(positions, ends, time.monotonic(), waiting):
            end_process(f"nothing was read for {PATIENCE:.0f} s, though there is")
