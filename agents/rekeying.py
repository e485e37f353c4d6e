"""Readings that arrived outside of their device's partition in; the same, once, at home out.

A producer without a key, or with another partitioner than Kafka's own, puts a device's readings
anywhere. The state of a device lives in one partition, its *home*: that of its id under Kafka's own
partitioner (`pipeline/home.py`), whoever sent it with what key. Where the worker that reads a
reading owns its home too, it applies it there at once. Otherwise it sends it to the home's *inbox*,
a topic of ours, with its origin in headers: partition, epoch, offset and record time. The epoch
tells a recreated topic, whose offsets begin anew.

Once, and not less. A home remembers of each partition the highest place (epoch, offset) of a
reading that it has applied; what isn't above that is a repeat. This is right as long as nothing
arrives before what stood in front of it, which follows from three rules:

1. The worker acknowledges what it has read only after its homes have written what they applied (a
   flush is one cut of all partitions) and the inboxes have the rest. So all that stood below the
   committed offset is in the home's state or in its inbox.
2. Forwards of a partition go out in its order, and the next batch for an inbox only after the last
   one is acknowledged. One that can't be sent ends the process: a later one never takes its place.
3. A new owner first reads what the inbox held when it became its own, and only then the readings,
   of which some may have the same home. A former owner that hasn't heard of its end only repeats
   what the new one reads too.

A worker alone needs no inbox, and takes its readings up in order of time (`order`). Between workers
that order can't be had: a fleet of several workers that must have its backlog judged in order sends
the device's id as the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from agents.item import Origin
from pipeline import metrics
from pipeline.batches import Batches, Outbound
from pipeline.rejection import LONGEST_KEY


class Forward(NamedTuple):
    """A reading for the inbox of its home."""

    home: int
    key: bytes | None
    value: bytes
    origin: Origin


class Forwarder:
    """Sends to inboxes."""

    def __init__(self, batches: Batches, topic: str) -> None:
        self._batches = batches
        self._topic = topic

    async def send(self, forwards: Sequence[Forward]) -> None:
        """Returns when the inboxes have them all; KafkaError, and then the order is lost."""
        homes: dict[int, list[Outbound]] = {}
        for home, key, value, origin in forwards:
            record = Outbound(key and key[:LONGEST_KEY], value, origin.headers())
            homes.setdefault(home, []).append(record)
        await asyncio.gather(
            *(self._batches.send(self._topic, home, found) for home, found in homes.items())
        )
        metrics.REKEYED.labels("forwarded").inc(len(forwards))
