"""`windows` in, without a group, and what MySQL keeps; what each metric of a device, or of the
whole fleet, came to out.

The topic has a record for each metric of a device and five minutes, in the order in which they
came: of a million devices 10,000 a second. To look for one device's day when somebody asks means to
read everybody's. So they are read once, as they come, and the newest of them are kept in memory
(`SMART_IOT_WINDOWS_KEPT`), beside the sums of the whole fleet; an answer costs what it holds. When
it begins, a view reads no more than it keeps, and with half of the time: so it is as quick at any
size of the fleet, and so is what runs beside it.

What isn't kept can't be told, and every answer says what range it really has. Half a million
windows are a week of 80 devices with 3 metrics, a day of 580, an hour of 14,000. More of them, or
from further back, is asked of MySQL, where there is one: its buckets come before ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from aiohttp import web

from pipeline.access import Scope
from pipeline.metrics import WINDOWS_KEPT
from pipeline.names import Names
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.shapes import Time
from pipeline.web.asking import Unanswered
from pipeline.web.episodes import moment
from pipeline.web.follower import Follower, Record
from pipeline.web.gate import refusal, scope_of
from pipeline.web.history import Source, as_json
from pipeline.web.series import ALWAYS, STEP, Bucket, Cell, Part, Series, Sums, Window, bucket
from pipeline.web.summing import Sought, Summed
from pipeline.words import UNITS

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.past import Past

DAY: Final = 86_400
RANGES: Final = {"1h": 3_600.0, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "365d": 365 * DAY}
REMEMBERED: Final = 7 * DAY  # of the whole fleet; `series` keeps a day more
BUCKETS: Final = 400  # of a metric, at the most
WIDTHS: Final = (10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400)  # seconds of a bucket
EASE: Final = 1.0  # what was missed is read with half of the time
SLICE: Final = 2_000  # parts between two turns of the event loop: 2 ms
LONGEST_ID: Final = 128

_window = msgspec.json.Decoder(Window).decode


class MetricStats(msgspec.Struct, frozen=True):
    unit: str | None
    buckets: list[Bucket]


class Stats(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """What each metric came to, in buckets; those without any reading are left out."""

    source: Source
    device: Annotated[str | None, msgspec.Meta(description="null: of the whole fleet")]
    since: Annotated[Time, msgspec.Meta(description="from when on the answer is whole")]
    until: Time
    seconds: Annotated[int, msgspec.Meta(ge=1, description="of a bucket")]
    ranges: Annotated[
        list[str],
        msgspec.Meta(description="each `range` that statistics are kept for; others are cut short"),
    ]
    metrics: dict[str, MetricStats]


@dataclass(frozen=True, slots=True)
class Span:
    """What somebody asked for."""

    device: str | None
    metrics: frozenset[str]
    since: float
    until: float

    @classmethod
    def of(cls, query: Mapping[str, str], wall: float) -> Span:
        """ValueError, in words, where it can't be meant."""
        device = query.get("device") or None
        if device is not None and len(device) > LONGEST_ID:
            raise ValueError(f"device is longer than {LONGEST_ID} characters")
        metrics = frozenset(name for name in query.get("metric", "").split(",") if name)
        return cls(device, metrics, *_times(query, wall))

    def seconds(self, widest: int) -> int:
        """Of a bucket: a usual width, so that there aren't too many and each holds a window."""
        least = max(widest, (self.until - self.since) / BUCKETS)
        usual = next((width for width in WIDTHS if width >= least), None)
        return usual or ceil(least / DAY) * DAY


def _times(query: Mapping[str, str], wall: float) -> tuple[float, float]:
    if "from" in query or "to" in query:
        if "range" in query:
            raise ValueError("say range, or from and to, and not both")
        until = moment(query, "to", wall)
        since = moment(query, "from", until - RANGES["1h"])
    else:
        name = query.get("range", "1h")
        if name not in RANGES:
            raise ValueError(f"range {name[:64]!r} is none of {', '.join(RANGES)}")
        since, until = wall - RANGES[name], wall
    if since >= until:
        raise ValueError("from is not before to")
    return since, until


class Statistics(Follower):
    def __init__(
        self, settings: Settings, first: Callable[[], str | None], past: Past | None = None
    ) -> None:
        topic, kept = Names(settings.topic_prefix).windows, settings.windows_kept
        super().__init__(settings, topic, "windows", first, WINDOWS_KEPT, most=kept, ease=EASE)
        self._kept = kept
        self._past = past
        self._ranges = ranges_of(settings, past)
        self._widest = 1
        self.series = Series(kept)
        self.sums = Sums()

    def take(self, record: Record) -> None:
        window = _window(record.value or b"")
        self._widest = ceil(window.seconds)
        added = self.series.add(window)
        if added is not None:
            self.sums.add(window.metric, added)

    def known(self) -> int:
        return len(self.series)

    def forget(self) -> None:
        self.series, self.sums = Series(self._kept), Sums()

    def add_to(self, router: web.UrlDispatcher) -> None:
        for slash in ("/", ""):
            router.add_get("/api/stats" + slash, self.stats)

    async def stats(self, request: web.Request) -> web.Response:
        try:
            span = Span.of(request.query, time.time())
        except ValueError as error:
            return refusal(400, str(error))
        if problem := self.unknown():
            return refusal(503, problem)
        scope = scope_of(request)
        if span.device is not None and not scope.sees(span.device):
            return refusal(403, "this token may not see that device")
        return as_json(await self._told(span, scope))

    async def _told(self, span: Span, scope: Scope) -> Stats:
        devices = await self._devices(span.device, scope)
        seconds = span.seconds(max(self._widest, STEP) if devices is None else self._widest)
        begin = min(_floor(span.since, seconds), span.until)
        known = self._known_since(devices)
        since = min(max(begin, _ceil(known, seconds)), span.until)
        parts = {metric: [ours] for metric, ours in self._parts(devices, since)}
        sought = Sought(span.device, span.metrics, scope, begin, since, seconds)
        earlier = await self._earlier(sought) if begin < since else None
        if earlier is not None:
            if earlier.stored.last >= min(
                known, since
            ):  # else its archive is late: there is a hole
                since = max(begin, min(earlier.since, since))
            for metric, theirs in earlier.parts.items():
                parts.setdefault(metric, []).append(theirs)
        return Stats(
            source="topic" if earlier is None else "mysql",
            device=span.device,
            since=iso(since),
            until=iso(span.until),
            seconds=seconds,
            ranges=self._ranges,
            metrics=await _metrics(parts, span, seconds),
        )

    def _known_since(self, devices: list[str] | None) -> float:
        forgotten = self.sums.forgotten if devices is None else self.series.forgotten
        return max(self.since(), forgotten)

    async def _earlier(self, sought: Sought) -> Summed | None:
        """What MySQL has of the time that isn't kept here."""
        if self._past is None:
            return None
        try:
            return await self._past.windows(sought)
        except Unanswered:
            return None

    async def _devices(self, asked: str | None, scope: Scope) -> list[str] | None:
        """Whose windows are added up; None where that is everybody's, whose sums are kept."""
        if asked is not None:
            return [asked]
        if scope.sees_all:
            return None
        seen = []
        for number, device in enumerate(self.series.devices(), 1):
            if scope.sees(device):
                seen.append(device)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return seen

    def _parts(
        self, devices: list[str] | None, since: float
    ) -> Iterator[tuple[str, Iterable[Part]]]:
        if devices is None:
            for metric in self.sums.metrics():
                yield metric, self.sums.walk(metric, since)
            return
        for metric in sorted({one for device in devices for one in self.series.metrics(device)}):
            yield metric, self._walk(devices, metric, since)

    def _walk(self, devices: list[str], metric: str, since: float) -> Iterator[Part]:
        for device in devices:
            yield from self.series.walk(device, metric, since)


def ranges_of(settings: Settings, past: Past | None) -> list[str]:
    """Those that are no longer than what is kept: here, or in MySQL."""
    stored = 0 if past is None else settings.mysql_days * DAY or float("inf")
    return [name for name, seconds in RANGES.items() if seconds <= max(REMEMBERED, stored)]


async def _metrics(
    parts: Mapping[str, Iterable[Iterable[Part]]], span: Span, seconds: int
) -> dict[str, MetricStats]:
    """Those that were asked for, and have had any reading."""
    metrics = {}
    for metric in sorted(parts):
        if not span.metrics or metric in span.metrics:
            buckets = await _buckets(chain.from_iterable(parts[metric]), span.until, seconds)
            if buckets:
                metrics[metric] = MetricStats(UNITS.get(metric), buckets)
    return metrics


async def _buckets(parts: Iterable[Part], until: float, seconds: int) -> list[Bucket]:
    cells: dict[float, Cell] = {}
    for number, part in enumerate(parts, 1):
        if part.start < until:
            cells.setdefault(_floor(part.start, seconds), Cell()).add(part)
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return [bucket(cells[start].part(start)) for start in sorted(cells)]


def _floor(at: float, seconds: int) -> float:
    return at // seconds * seconds


def _ceil(at: float, seconds: int) -> float:
    return at if at == ALWAYS else -_floor(-at, seconds)
