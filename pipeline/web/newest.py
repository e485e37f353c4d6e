"""Questions about now in; what Redis knows of the whole fleet out, or Unanswered.

What an archive doesn't fill any more, or fills too late, is not now: so Redis is asked together
with the answer how current it is, and says it by its own clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pipeline.settings import Settings
from pipeline.sinks.redis import prefix_of, told
from pipeline.sinks.sink import SinkUnavailable
from pipeline.web.alerts import Alert, Unreadable
from pipeline.web.asking import WITHIN, Asking

LINKS: Final = 8
# devices that are asked for at once, and alerts that are read between two turns of the event loop
AT_ONCE: Final = 500
FRESH: Final = 1.0  # seconds that the open alerts serve everybody who asks
CURRENT: Final = 30.0  # seconds that the archive may be behind


class Known(NamedTuple):
    """What is known of a device: `at` is its newest reading's record time, `time` what is shown, in
    seconds."""

    device_id: str
    values: dict[str, float]
    time: float
    at: float
    offline: bool


class Newest:
    def __init__(self, settings: Settings) -> None:
        """ValueError where the URL is none of Redis's."""
        self._prefix = prefix_of(settings)
        pool = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=LINKS,
            timeout=WITHIN,
            socket_timeout=WITHIN,
            socket_connect_timeout=WITHIN,
            retry=Retry(NoBackoff(), 1),  # an idle connection may be over
        )
        self._client: Any = Client(connection_pool=pool)
        self._asking = Asking("redis")
        self._reading = asyncio.Lock()
        self._read_at = -FRESH
        self._open: Sequence[Alert] = ()
        self._offline: frozenset[str] = frozenset()

    async def open_alerts(self) -> Sequence[Alert]:
        """Newest first."""
        async with self._reading:
            if time.monotonic() - self._read_at >= FRESH:
                await self._read(await self._asking.answer(self._open_texts))
                self._read_at = time.monotonic()
            return self._open

    async def get(self, device_id: str) -> Known | None:
        await self.open_alerts()

        async def ask() -> Mapping[bytes, bytes]:
            with told():
                fields: Mapping[bytes, bytes] = await self._client.hgetall(self._device(device_id))
            return fields

        fields = await self._asking.answer(ask)
        return self._known(device_id, fields) if fields else None

    async def all(self) -> AsyncIterator[list[Known]]:
        """In slices."""
        await self.open_alerts()
        known, cursor = set[str](), 0
        while True:
            cursor, ids = await self._asking.answer(partial(self._ids, cursor))
            some = [device_id for device_id in ids if device_id not in known]
            known.update(some)
            yield await self._asking.answer(partial(self._some, some))
            if not cursor:
                return

    async def stop(self) -> None:
        await self._client.aclose()

    # -- what is asked

    async def _open_texts(self) -> list[bytes]:
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.hvals(self._prefix + "current")
        pipe.hvals(self._prefix + "open")
        with told():
            (seconds, _), current, texts = await pipe.execute()
        if min(map(int, current), default=0) < seconds - CURRENT:
            raise SinkUnavailable("its archive doesn't come after")
        return list(texts)

    async def _ids(self, cursor: int) -> tuple[int, list[str]]:
        """Some more, and where to go on; one that is heard of meanwhile may come again."""
        with told():
            after, found = await self._client.zscan(f"{self._prefix}devices", cursor, count=AT_ONCE)
        return after, [device_id.decode() for device_id, _ in found]

    async def _some(self, ids: Sequence[str]) -> list[Known]:
        if not ids:
            return []
        pipe = self._client.pipeline(transaction=False)
        for device_id in ids:
            pipe.hgetall(self._device(device_id))
        with told():
            found = await pipe.execute()
        # one without fields has expired meanwhile
        return [self._known(*one) for one in zip(ids, found, strict=True) if one[1]]

    def _device(self, device_id: str) -> str:
        return f"{self._prefix}device:{device_id}"

    # -- what it says

    async def _read(self, texts: Sequence[bytes]) -> None:
        alerts = []
        for number, text in enumerate(texts, 1):
            try:
                alerts.append(Alert.of(text))
            except Unreadable:
                continue  # its archive takes none that isn't; somebody else's is nothing to us
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        alerts.sort(key=lambda alert: (alert.started_at, alert.alert_id), reverse=True)
        self._open = tuple(alerts)
        self._offline = frozenset(alert.device_id for alert in alerts if alert.is_offline)

    def _known(self, device_id: str, fields: Mapping[bytes, bytes]) -> Known:
        values = {
            name.decode(): float(value)
            for name, value in fields.items()
            if not name.startswith(b"*")
        }
        at = int(fields[b"*at"]) / 1000
        return Known(device_id, values, float(fields[b"*time"]), at, device_id in self._offline)
