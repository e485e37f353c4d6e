"""Readings and open alerts in; in Redis, what is known of each device now, and what is wrong now.

    smart-iot:progress      hash: a partition of a topic, the next offset
    smart-iot:devices       sorted set: every device, by when it was last heard of
    smart-iot:device:<id>   hash: *at (ms) and *offset of its newest reading, *time (what is shown),
                            and each metric's newest value
    smart-iot:open          hash: `partition/device|rule`, the last event of the open alert
    smart-iot:current       hash: a partition of a topic, until when all of it is known to be
                            written, in seconds of Redis's clock

A device's newest reading is the one with the highest record time, of two with the same the one with
the higher offset, never the one with the latest time of the device's own: clocks lie. What a device
is known by goes after `redis_days` without a reading. Whether it is offline is what the worker has
judged: an open alert says so, and no key that expires.

A batch is one script, which is one step to everybody else. All keys share one hash tag, so that
they are in one slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from pipeline.rules.engine import Reading
from pipeline.settings import Settings
from pipeline.sinks.sink import (
    OPEN,
    READING,
    Batch,
    Displaced,
    Entry,
    Refuse,
    SinkRejected,
    SinkUnavailable,
    Source,
    Span,
    name_of,
    named,
    without_rejected,
)

TIMEOUT: Final = 10.0  # seconds for one answer
MOST_VALUES: Final = 64  # of a device, before those that its newest reading lacks are forgotten
MAX_SKEW: Final = 300.0  # seconds between a device's time and its record's, to be believed
DAY_MS: Final = 86_400_000

# Numbers come as text, and stay so: Lua writes 1732269600000 as 1.7322696e+12.
SCRIPT: Final = """
local given = cmsgpack.unpack(ARGV[1])
local progress, devices, open = KEYS[1], KEYS[2], KEYS[3]
local written = true
for _, span in ipairs(given.spans) do
    local stored = redis.call('HGET', progress, span[1]) or ''
    if stored ~= span[3] then
        written = false
        if stored ~= span[2] then return span[1] .. ' stands at ' .. stored end
    end
end
if written then return '' end
redis.call('HLEN', open)
for _, mark in ipairs(given.anew) do
    for _, field in ipairs(redis.call('HKEYS', open)) do
        if field:sub(1, #mark) == mark then redis.call('HDEL', open, field) end
    end
end
for number, one in ipairs(given.devices) do
    local id, at, offset, key = one[1], one[2], one[3], KEYS[3 + number]
    local known = redis.call('HMGET', key, '*at', '*offset')
    local later = tonumber(at) - (tonumber(known[1] or -1) or -1)
    if later > 0 or (later == 0 and tonumber(offset) >= tonumber(known[2])) then
        if redis.call('HLEN', key) > {MOST_VALUES} then redis.call('DEL', key) end
        redis.call('HSET', key, '*at', at, '*offset', offset, unpack(one[4]))
        redis.call('PEXPIRE', key, given.keep)
        redis.call('ZADD', devices, given.now, id)
    end
end
for number = 2, #ARGV, 2 do
    if ARGV[number + 1] == '' then redis.call('HDEL', open, ARGV[number])
    else redis.call('HSET', open, ARGV[number], ARGV[number + 1]) end
end
redis.call('ZREMRANGEBYSCORE', devices, '-inf', given.gone)
if given.final then
    for _, span in ipairs(given.spans) do redis.call('HSET', progress, span[1], span[3]) end
end
return ''
""".replace("{MOST_VALUES}", str(MOST_VALUES))

# What another cluster's partitions were current at is of no use any more. Keys: current, progress;
# arguments: the cluster, and then each partition with where it must stand at least.
CURRENT: Final = """
for number = 2, #ARGV, 2 do
    local stored = tonumber(redis.call('HGET', KEYS[2], ARGV[number]) or 0)
    if stored < tonumber(ARGV[number + 1]) then return ARGV[number] end
end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field:sub(1, #ARGV[1]) ~= ARGV[1] then redis.call('HDEL', KEYS[1], field) end
end
local now = redis.call('TIME')[1]
for number = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[number], now) end
return ''
"""


class Redis:
    takes = (READING, OPEN)

    def __init__(self, settings: Settings) -> None:
        self._keep = settings.redis_days * DAY_MS
        self._prefix = prefix_of(settings)
        self._client: Any = Client.from_url(
            settings.redis_url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        )
        self._script = self._client.register_script(SCRIPT)
        self._note_current = self._client.register_script(CURRENT)

    async def migrate(self) -> str:
        with told():
            await self._client.ping()
        return "Redis answers; there is nothing to create in it"

    async def progress(self, cluster: str, sources: Collection[Source]) -> Mapping[Source, int]:
        listed = list(sources)
        names = [name_of(cluster, source) for source in listed]
        with told():
            stored = await self._client.hmget(self._key("progress"), names) if names else []
        found = zip(listed, stored, strict=True)
        return {source: int(offset) for source, offset in found if offset is not None}

    async def write(self, cluster: str, batch: Batch, refuse: Refuse, at: float) -> None:
        spans = named(cluster, batch.spans)
        anew = [f"{source[1]}/" for source, span in batch.spans.items() if span.anew]

        async def put(entries: Sequence[Entry]) -> None:
            await self._run(spans, [], entries, at, final=False)

        try:
            await self._run(spans, anew, batch.entries, at, final=not batch.refused)
            refused = list(batch.refused)
        except SinkRejected:
            await self._run(spans, anew, [], at, final=False)  # or it is no entry's fault
            refused = batch.refused + await without_rejected(batch.entries, put)
        if refused:
            await refuse(refused)
            await self._run(spans, [], [], at, final=True)

    async def _run(
        self,
        spans: Mapping[str, Span],
        anew: Sequence[str],
        entries: Sequence[Entry],
        at: float,
        *,
        final: bool,
    ) -> None:
        devices = newest(entry for entry in entries if entry.kind == READING)
        given = {
            "spans": [[name, _text(span.begin), str(span.end)] for name, span in spans.items()],
            "anew": anew,
            "devices": devices,
            "now": str(round(at * 1000)),
            "keep": str(self._keep),
            "gone": str(round(at * 1000) - self._keep),
            "final": final,
        }
        keys = ["progress", "devices", "open", *(f"device:{one[0]}" for one in devices)]
        opened = [text for entry in entries if entry.kind == OPEN for text in _opened(entry)]
        try:
            with told():
                elsewhere = await self._script(list(map(self._key, keys)), [_pack(given), *opened])
        except SinkUnavailable as why:
            if entries and "WRONGTYPE" in str(why):  # of a key, and there is one for each device
                raise SinkRejected(str(why)) from None
            raise
        if elsewhere:
            raise Displaced(f"{elsewhere.decode()}, which is not where this batch begins")

    async def current(self, cluster: str, stands: Mapping[Source, int]) -> None:
        """Who asks for what is here must know how old it may be."""
        told_of = [text for one, at in stands.items() for text in (name_of(cluster, one), str(at))]
        keys = [self._key("current"), self._key("progress")]
        with told():
            lost = await self._note_current(keys, [f"{cluster}/", *told_of])
        if lost:
            raise Displaced(f"{lost.decode()} is not written as far as it was")

    async def tidy(self, at: float) -> int:
        return 0  # keys expire by themselves

    async def close(self) -> None:
        await self._client.aclose()

    def _key(self, name: str) -> str:
        return self._prefix + name


def prefix_of(settings: Settings) -> str:
    """What all our keys begin with."""
    return f"{{{settings.topic_prefix}smart-iot}}:"


def newest(entries: Iterator[Entry]) -> list[list[Any]]:
    """Of each device one row for the script: its newest reading, with the metrics that older ones
    alone have."""
    rows: dict[str, tuple[int, int, dict[str, str]]] = {}
    for entry in entries:
        reading: Reading = entry.content.reading
        at, offset, shown = rows.get(reading.device_id, (-1, -1, {}))
        if (entry.timestamp, entry.offset) >= (at, offset):
            if len(shown) > MOST_VALUES:
                shown = {}
            shown |= {name: repr(value) for name, value in reading.values.items()}
            shown["*time"] = repr(_shown_time(reading))
            rows[reading.device_id] = (entry.timestamp, entry.offset, shown)
    return [
        [device_id, str(at), str(offset), [text for pair in shown.items() for text in pair]]
        for device_id, (at, offset, shown) in rows.items()
    ]


def _shown_time(reading: Reading) -> float:
    """The device's own where it may be true, else when the reading arrived."""
    time = reading.time
    if time is None or abs(time - reading.record_time) > MAX_SKEW:
        return reading.record_time
    return time


def _opened(entry: Entry) -> tuple[bytes, bytes]:
    """Field and value, which is empty where the alert is resolved."""
    return b"%d/%b" % (entry.partition, entry.key or b""), entry.value or b""


def _text(offset: int | None) -> str:
    return "" if offset is None else str(offset)


_pack = msgspec.msgpack.Encoder().encode


@contextmanager
def told() -> Iterator[None]:
    """Whatever it is, it may be better later."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise SinkUnavailable(str(error) or type(error).__name__) from None
