"""Entries of a batch in, rows of MySQL's tables out. No I/O.

Rows are in the order of their keys: two archives never wait for each other in a circle, and a
database writes neighbours one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from pipeline.sinks.entries import Event, Window
from pipeline.sinks.sink import Entry, SinkRejected

STEP: Final = timedelta(minutes=5)  # of the whole fleet's windows, however long the devices' are
SEVERITIES: Final = {"info": 1, "warning": 2, "danger": 4}  # bits of `alerts.severities`

Row = tuple[Any, ...]
Identity = tuple[str, str, datetime, int]  # of a window: device, metric, start, seconds
Known = Mapping[Identity, tuple[int, int, float]]  # to what is stored: revision, count, mean


def touched(events: Iterable[Entry], windows: Iterable[Window], now: datetime) -> list[Row]:
    """Devices, and when the first and the last began of what is told of them."""
    began: dict[str, list[datetime]] = {}
    for window in windows:
        began.setdefault(window.device_id, []).append(window.start)
    for entry in events:
        if not entry.content.device_id.startswith("*"):
            began.setdefault(entry.content.device_id, []).append(entry.content.started_at)
    return [
        (device_id, naive(min(times)), naive(max(times)), now)
        for device_id, times in sorted(began.items())
    ]


def event_rows(events: Iterable[Entry], now: datetime) -> list[Row]:
    return sorted((_event_row(entry, now) for entry in events), key=itemgetter(0, 1))


def _event_row(entry: Entry, now: datetime) -> Row:
    event: Event = entry.content
    return event.alert_id, event.seq, event.event, naive(event.detected_at), _body(entry), now


def alert_rows(events: Iterable[Entry], now: datetime) -> list[Row]:
    """Of each alert its last event, and all the severities that it is told to have had."""
    last: dict[str, Entry] = {}
    had: dict[str, int] = {}
    for entry in events:
        event: Event = entry.content
        had[event.alert_id] = had.get(event.alert_id, 0) | SEVERITIES.get(event.severity, 0)
        if event.seq >= last.setdefault(event.alert_id, entry).content.seq:
            last[event.alert_id] = entry
    return [_alert_row(last[alert_id], had[alert_id], now) for alert_id in sorted(last)]


def _alert_row(entry: Entry, had: int, now: datetime) -> Row:
    event: Event = entry.content
    resolved_at = event.resolved_at and naive(event.resolved_at)
    return (
        event.alert_id, event.device_id, event.rule, event.severity, event.status,
        naive(event.started_at), resolved_at, _body(entry), now, event.seq, had,
    )  # fmt: skip


def window_rows(windows: Iterable[Window], now: datetime) -> list[Row]:
    return [
        (
            *identity(window), window.count, window.mean, window.min, window.max, window.last,
            window.unit, now, window.revision,
        )
        for window in sorted(windows, key=identity)
    ]  # fmt: skip


def fleet_rows(windows: Iterable[Window], known: Known, now: datetime) -> list[Row]:
    """What the windows add to those of the whole fleet, beside what is stored of them already.

    A revision counts readings, and more readings move a minimum only down and a maximum only up:
    count and sum are put right by their differences, the others by comparing.
    """
    stored, fleet = dict(known), dict[tuple[str, datetime], list[float]]()
    for window in windows:
        which = identity(window)
        revision, count, mean = stored.get(which, (-1, 0, 0.0))
        if window.revision <= revision:
            continue
        stored[which] = window.revision, window.count, window.mean
        start = naive(window.start)
        start -= (start - datetime.min) % STEP  # noqa: DTZ901  (UTC, both)
        added = fleet.setdefault((window.metric, start), [0, 0.0, window.min, window.max])
        added[0] += window.count - count
        added[1] += window.mean * window.count - mean * count
        added[2], added[3] = min(added[2], window.min), max(added[3], window.max)
    return [(*which, *fleet[which], now) for which in sorted(fleet)]


def identity(window: Window) -> Identity:
    return window.device_id, window.metric, naive(window.start), window.seconds


def _body(entry: Entry) -> str:
    try:
        return (entry.value or b"").decode()
    except UnicodeDecodeError as error:
        raise SinkRejected(f"it is no UTF-8: {error}") from None


def naive(moment: datetime) -> datetime:
    """As MySQL keeps it: UTC, which is not said."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None, microsecond=0)
