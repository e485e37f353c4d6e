"""Records of `alerts` and `alerts-open` in; what an Alertmanager has to be told out. No I/O, no
clock.

An Alertmanager knows an alert by its labels, and the severity is one, since people route by it. So
an alert that gets another severity is another one there: the one before is told as over in the same
breath. All else that changes is in annotations.

What is open is told again and again: an Alertmanager takes it for resolved some time after it last
heard of it (`hold`). What is over is told for `kept` seconds more, to all that were away meanwhile,
and until each has heard it, but never beyond `MOST_OVER` of them: what is not told any more ends by
itself there.

Both topics say the same, in any order between them. Of a rule and a device the event counts that is
the latest by (started_at, seq), which rises with every event; so a record that lags behind never
opens again what is over.

Suppressed alerts are not shown. One that is shown and is suppressed later stays so, with what it
says then, for it isn't over; whoever wants silence in the meantime has the Alertmanager inhibit it.
Where nobody knows whether an alert was shown before it was suppressed, the Alertmanagers are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from pipeline.records import iso, parse_time
from pipeline.shapes import AlertEvent

MOST_OVER: Final = 100_000
ANNOTATED: Final = ("title", "message", "alert_id", "reason", "started_at")
IF_KNOWN: Final = ("metric", "acked_by", "note", "suppressed_by")

Key = tuple[str, str]  # device and rule


class Firing(NamedTuple):
    """An open alert. `shown` is None where that isn't known; `version` is the board's when it last
    changed."""

    event: AlertEvent
    shown: bool | None
    version: int


class Over(NamedTuple):
    """What an Alertmanager may take for open still. `since` is when we heard it."""

    event: AlertEvent
    ends_at: float
    since: float
    version: int


class Listed(NamedTuple):
    """An alert that an Alertmanager has, as far as it is ours."""

    device_id: str
    rule: str
    severity: str
    alert_id: str


class Board:
    """`source` is a label of all that we tell, `page` the address that they link to."""

    def __init__(self, source: str, page: str, kept: float, *, suppressed: bool = False) -> None:
        self.version = 0
        self._source, self._page, self._kept = source, page.rstrip("/"), kept
        self._shows_all = suppressed
        # Both in the order in which they changed
        self._firing: dict[Key, Firing] = {}
        self._over: dict[tuple[Key, str], Over] = {}
        self._closed: dict[Key, tuple[str, int, float]] = {}  # the last event of it, and when

    def __len__(self) -> int:
        return sum(bool(one.shown) for one in self._firing.values())

    # -- what the topics say

    def apply(self, event: AlertEvent, at: float) -> None:
        """An event that was written at `at`."""
        key, order = (event.device_id, event.rule), (event.started_at, event.seq)
        known, closed = self._firing.get(key), self._closed.get(key, ("", 0))[:2]
        if known is not None and order <= (known.event.started_at, known.event.seq):
            if known.event.alert_id == event.alert_id and event.suppressed_by is None:
                self._show(known)  # before it was suppressed
        elif event.status == "resolved" and order >= closed:  # which may be by a tombstone only
            self._close(key, event, _time(event.resolved_at or event.timestamp, at), at)
        elif order > closed:
            self._open(key, event, at)

    def close(self, key: Key, alert_id: str | None, seq: int, at: float) -> None:
        """A tombstone that was written at `at`; one that names no alert is of whatever is open."""
        known = self._firing.get(key)
        if known is None or (alert_id is not None and alert_id != known.event.alert_id):
            return
        if alert_id is None or seq > known.event.seq:
            event = msgspec.structs.replace(known.event, seq=max(seq, known.event.seq))
            self._close(key, event, at, at)

    def _open(self, key: Key, event: AlertEvent, at: float) -> None:
        known = self._firing.pop(key, None)
        is_same = known is not None and known.event.alert_id == event.alert_id
        shown: bool | None = event.suppressed_by is None or self._shows_all
        if known is not None and is_same:
            shown = shown or known.shown
        elif not shown and event.seq > 1:
            shown = None
        if known is not None and known.event.severity != event.severity:
            ends_at = _time(event.timestamp, at)
            self._end(key, known.event, ends_at, at, shown=known.shown is not False)
        self._over.pop((key, event.severity), None)
        self._firing[key] = Firing(event, shown, self._next())

    def _close(self, key: Key, event: AlertEvent, ends_at: float, at: float) -> None:
        known = self._firing.pop(key, None)
        self._closed.pop(key, None)
        self._closed[key] = (event.started_at, event.seq, at)
        shown = known is None or known.shown is not False
        if known is not None and known.event.severity != event.severity:
            self._end(key, known.event, ends_at, at, shown=shown)
        self._end(key, event, ends_at, at, shown=shown)

    def _end(self, key: Key, event: AlertEvent, ends_at: float, at: float, *, shown: bool) -> None:
        self._over.pop((key, event.severity), None)
        if shown:
            self._over[key, event.severity] = Over(event, min(ends_at, at), at, self._next())

    def _show(self, firing: Firing) -> None:
        if not firing.shown:
            key = (firing.event.device_id, firing.event.rule)
            del self._firing[key]
            self._firing[key] = Firing(firing.event, True, self._next())

    def _next(self) -> int:
        self.version += 1
        return self.version

    # -- what an Alertmanager says

    def listed(self, alerts: Iterable[Listed], at: float) -> None:
        """What it has: so those are shown, and what has another severity by now is over."""
        for one in alerts:
            key = (one.device_id, one.rule)
            known = self._firing.get(key)
            if known is None or known.event.alert_id != one.alert_id or known.shown is False:
                continue
            self._show(known)
            if one.severity != known.event.severity and (key, one.severity) not in self._over:
                before = msgspec.structs.replace(known.event, severity=one.severity)
                self._end(key, before, _time(known.event.timestamp, at), at, shown=True)

    # -- what it is told

    def told(self, since: int, at: float, hold: float) -> Iterator[dict[str, Any]]:
        """What has changed since that version, or all (0), as the API takes it: what is over
        first."""
        for over in _changed(self._over.values(), since):
            yield self._posted(over.event, over.ends_at, over.ends_at)
        for firing in _changed(self._firing.values(), since):
            if firing.shown:
                yield self._posted(firing.event, at, at + hold)

    def forget(self, at: float, told: int) -> None:
        """What is over for long enough, if all Alertmanagers have been told up to that version."""
        for key, over in list(self._over.items()):
            is_too_much = len(self._over) > MOST_OVER
            if over.since > at - self._kept and not is_too_much:
                break
            if over.version <= told or is_too_much:
                del self._over[key]
        for closed, (_, _, since) in list(self._closed.items()):
            if since > at - 2 * self._kept and len(self._closed) <= MOST_OVER:
                break
            del self._closed[closed]

    def _posted(self, event: AlertEvent, at: float, ends_at: float) -> dict[str, Any]:
        starts_at = min(_time(event.started_at, at), at)  # a device's clock may be ahead
        return {
            "labels": {
                "alertname": event.rule,
                "device_id": event.device_id,
                "severity": event.severity,
                "source": self._source,
            },
            "annotations": _notes(event),
            "startsAt": iso(starts_at),
            "endsAt": iso(ends_at),
            "generatorURL": self._link(event.device_id),
        }

    def _link(self, device_id: str) -> str:
        if device_id.startswith("*"):
            return f"{self._page}/"
        return f"{self._page}/#/device/{quote(device_id, safe='')}"


def _notes(event: AlertEvent) -> dict[str, str]:
    told = {name: str(getattr(event, name)) for name in ANNOTATED}
    told |= {name: value for name in IF_KNOWN if (value := getattr(event, name)) is not None}
    if event.value is not None:
        told["value"] = f"{event.value} {event.unit}" if event.unit else str(event.value)
    if event.stale:
        told["stale"] = "true"
    return told


class _Known(msgspec.Struct):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def listed_of(raw: bytes) -> list[Listed]:
    """Of what an Alertmanager lists; MsgspecError where it is no list of alerts."""
    return [
        Listed(
            one.labels.get("device_id", ""),
            one.labels.get("alertname", ""),
            one.labels.get("severity", ""),
            one.annotations.get("alert_id", ""),
        )
        for one in msgspec.json.decode(raw, type=list[_Known])
    ]


def _changed(entries: Any, since: int) -> list[Any]:
    """Those of later versions, the oldest first."""
    found = []
    for one in reversed(entries):
        if one.version <= since:
            break
        found.append(one)
    return found[::-1]


def _time(text: str, otherwise: float) -> float:
    try:
        return parse_time(text)
    except ValueError:
        return otherwise
