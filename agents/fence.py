"""A hole in `alerts-open` in; what holds for the alerts that it is about, out.

Whoever was frozen had events on their way, which reach the broker once it wakes: a batch in its
producer's hands can't be taken back. So the owner looks where its own records are in the topic, as
it does in the changelog, and tells again what the late ones have covered.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from pipeline.batches import Outbound
from pipeline.looking import consumer, read
from pipeline.settings import Settings


async def covered(settings: Settings, tp: TopicPartition, start: int, end: int) -> list[Outbound]:
    """What was said last, before `start`, of each alert of which something came since then."""
    looking = consumer(settings)
    await looking.start()
    known: dict[bytes, Outbound] = {}
    late: dict[bytes, Outbound] = {}
    try:
        begin: int = (await looking.beginning_offsets([tp]))[tp]
        async for records in read(looking, tp, begin, end):
            for record in records:
                if record.offset < start:
                    known[record.key] = Outbound(record.key, record.value, record.headers)
                elif record.offset < end:  # a tombstone that is compacted away holds too
                    late[record.key] = Outbound(record.key, None, record.headers)
    finally:
        await looking.stop()
    return [known.get(key, closed) for key, closed in late.items()]
