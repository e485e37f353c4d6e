"""What our partitions are like now in; the gauges of it, for `/metrics`, out.

Nothing here goes through the devices: it is done once a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from faust.types import TP

from agents.order import Source
from agents.ownership import Ownership
from pipeline import metrics
from pipeline.rules.fleet import FLEET
from pipeline.rules.rulebook import SEVERITIES
from tables.partition import Partition

HELD: Final = ("backlog", "replay", "unheard", "fleet", "grace")
UNHEARD: Final = 10.0  # seconds that what is heard may be behind the wall clock
GRACE: Final = 60.0  # seconds: the least of what `after = "auto"` waits for a device


class Gauges:
    """Shows them, whenever it is told to."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._sources: Mapping[TP, Source] = {}

    def show(self, ends: Mapping[TP, int], wall: float) -> None:
        """`ends` is where the sources ended when we last heard of it."""
        owned = self._ownership.owned.values()
        metrics.PARTITIONS.set(len(owned))
        metrics.DIRTY_ROWS.set(sum(len(partition.dirty) for partition in owned))
        metrics.WRONG_CLOCKS.set(self._ownership.wrong_clocks())
        self._show_devices(owned)
        held = Counter(held_by(partition, wall) for partition in owned)
        for reason in HELD:
            metrics.HELD_PARTITIONS.labels(reason).set(held[reason])
        self._show_lag(ends)

    def _show_devices(self, owned: Collection[Partition]) -> None:
        offline = sum(partition.standing.offline for partition in owned)
        metrics.FLEET_DEVICES.labels("offline").set(offline)
        metrics.FLEET_DEVICES.labels("online").set(self._ownership.devices() - offline)
        standing: Counter[str] = Counter()
        for partition in owned:
            standing.update(partition.standing.by_severity)
        for severity in SEVERITIES:
            metrics.OPEN_BY_SEVERITY.labels(severity).set(standing[severity])

    def _show_lag(self, ends: Mapping[TP, int]) -> None:
        if self._sources is not self._ownership.sources:  # some are others' now
            metrics.LAG.clear()
            self._sources = self._ownership.sources
        for tp, source in self._sources.items():
            topic = "forwarded" if source.is_inbox else "readings"
            behind = max(0, ends.get(tp, 0) - max(0, self._ownership.read_to(source)))
            metrics.LAG.labels(topic, tp.partition).set(behind)


def held_by(partition: Partition, wall: float) -> str | None:
    """Why silence isn't judged there by the wall clock; None where it is, or there is nobody."""
    clock = partition.clock
    if not clock.watching:
        return "backlog"
    if not partition.rows:
        return None
    if not clock.live:
        return "replay"
    if wall - partition.horizon() > UNHEARD:
        return "unheard"
    if any(silence.by == FLEET for silence in partition.silences):
        return "fleet"
    return "grace" if wall - clock.judged_from < GRACE else None
