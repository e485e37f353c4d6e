"""Where the sources end and how far they are read in; up to when all that was sent is applied, out.

Silence is evidence only as far as everything has been heard. A look notes the time and where the
sources end; once all is applied up to there, silence up to that time can be judged
(`Partition.reached`). For a partition whose devices' readings arrive there its own readings count.
Where they arrive elsewhere all readings do, those of other workers' partitions too: what was sent
is committed there once it is forwarded, and applied here once the inbox is read up to where it
ended after that.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping
from statistics import median
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.types import TP

from agents.ownership import Ownership
from pipeline.streams import App
from tables.partition import Partition

log = logging.getLogger(__name__)

LATELY: Final = 30.0  # seconds at the least
GAPS: Final = 8  # between arrivals, of which the median is what is usual
NEVER: Final = float("inf")


class Look(NamedTuple):
    at: float
    ends: Mapping[TP, int]
    inbox_end: int | None = None  # where the inbox ended once the others had forwarded it all


class Reach:
    """`look` now and then, `stop` in the end. The broker has `answered_at` the last time."""

    def __init__(self, app: App, ownership: Ownership) -> None:
        self.answered_at = 0.0
        self._app = app
        self._ownership = ownership
        self._looks: dict[int, Look] = {}
        self.ends: Mapping[TP, int] = {}  # of what we read, when it was last heard
        self._sent: Mapping[TP, int] = {}  # where all readings end,
        self._sent_at = NEVER  # and since when
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._admin: AIOKafkaAdminClient | None = None

    async def look(self, wall: float) -> None:
        """While the broker doesn't answer nothing is known, and no silence is judged."""
        names, owned = self._app.names, self._ownership.owned
        if not owned:
            self._looks.clear()
            self._sent, self._sent_at = {}, NEVER
            self._gaps.clear()
            self.answered_at = wall
            return
        readings = [TP(names.readings, number) for number in range(self._app.partition_count)]
        inboxes = [TP(names.forwarded, number) for number in owned]
        others = [tp for tp in readings if tp.partition not in owned]
        mixed = any(partition.is_mixed() for partition in owned.values())
        try:
            committed = await self._committed() if others and mixed else {}
            ends = await self._app.consumer.highwaters(*readings, *inboxes)  # in this order
        except KafkaError as error:
            log.debug("where the sources end isn't known: %r", error)
            return
        self.ends = ends
        self.answered_at = wall
        sent = {tp: ends.get(tp, 0) for tp in readings}
        if sent != self._sent:
            if self._sent:
                self._gaps.append(wall - self._sent_at)
            self._sent, self._sent_at = sent, wall
        if self._ownership.owned is owned:  # else a rebalance came in between
            for partition in owned.values():
                self._note(partition, Look(wall, ends), others, committed)

    def arrives(self, wall: float) -> bool | None:
        """Whether anybody has sent a reading lately, as this fleet goes; None while we have seen
        nobody do so, and haven't looked for long enough to say that nobody does."""
        lately = wall - self._sent_at < max(LATELY, 3 * median(self._gaps or [0.0]))
        return lately if self._gaps or not lately else None

    def _note(
        self, partition: Partition, now: Look, others: Collection[TP], committed: Mapping[TP, int]
    ) -> None:
        partition.shared = bool(others) and partition.is_mixed()
        for look in (self._looks.pop(partition.number, now), now):
            forwarded = all(committed.get(tp, 0) >= look.ends[tp] for tp in others)
            if partition.shared and look.inbox_end is None and forwarded:
                inbox = TP(self._app.names.forwarded, partition.number)
                look = look._replace(inbox_end=now.ends[inbox])
            if not self._is_heard(partition, look):
                self._looks[partition.number] = look
                return
            partition.reached = look.at

    def _is_heard(self, partition: Partition, look: Look) -> bool:
        """Whether all that there was at that look is applied."""
        if partition.shared and (
            look.inbox_end is None
            or self._ownership.read_to(self._ownership.inbox(partition)) < look.inbox_end
        ):
            return False
        sources = self._ownership.sources.values()
        return all(
            self._ownership.read_to(source) >= look.ends[source.tp]
            for source in sources
            if not source.is_inbox and (source.partition is partition or partition.is_mixed())
        )

    async def _committed(self) -> Mapping[TP, int]:
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(**self._app.settings.kafka())
            await self._admin.start()
        found = await self._admin.list_consumer_group_offsets(self._app.names.app)
        return {TP(tp.topic, tp.partition): at.offset for tp, at in found.items()}

    async def stop(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()
