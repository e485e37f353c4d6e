"""What a database refuses in; on `readings-rejected`, with its words, out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError

from pipeline import metrics
from pipeline.rejection import Rejection, rejection
from pipeline.sinks.sink import Refused
from pipeline.streams import App, end_process

log = logging.getLogger(__name__)


async def refuse(app: App, sink: str, refused: Sequence[Refused]) -> None:
    """Acknowledged, or the process ends: the progress goes on after that."""
    sent = []
    for one in refused:
        key, value, headers = _rejection(sink, one)
        sent.append(await app.producer.send(app.names.rejected, key, value, None, None, headers))
        where = (one.entry.source, one.entry.offset)
        log.warning("%s refuses %s at %d: %s", sink, *where, one.why)
    try:
        await asyncio.gather(*sent)
    except (KafkaError, ProducerSendError) as error:
        end_process(f"what {sink} refused can't be told: {error!r}")
    metrics.ARCHIVE_REFUSED.labels(sink).inc(len(refused))


def _rejection(sink: str, refused: Refused) -> Rejection:
    entry, why = refused
    where = ("topic", entry.topic), ("partition", entry.partition), ("offset", entry.offset)
    headers = [("reason", b"sink_rejected")]
    headers += [(name, str(value).encode()) for name, value in where]
    headers += [("sink", sink.encode()), ("detail", why.encode(errors="replace"))]
    return rejection(entry.key, entry.value, headers)
