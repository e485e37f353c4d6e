"""Records of `alerts` and `alerts-open` in, the alerts that are open now out. No I/O, no clock."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from typing import Any

import msgspec

from pipeline.access import EVERYTHING, Scope

LONGEST_GLOB = 256
SEVERITIES = frozenset({"info", "warning", "danger"})


@dataclass(frozen=True, slots=True)
class Glob:
    """Of a query."""

    text: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, query: Mapping[str, str], name: str) -> Glob | None:
        """ValueError where it is too long."""
        text = query.get(name, "")
        if len(text) > LONGEST_GLOB:
            raise ValueError(f"{name} is longer than {LONGEST_GLOB} characters")
        return cls(text, re.compile(translate(text))) if text else None

    @property
    def is_exact(self) -> bool:
        return not set("*?[") & set(self.text)

    def match(self, name: str) -> bool:
        return self.pattern.match(name) is not None


class Unreadable(ValueError):
    """A record that is no alert event; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One event of an alert: what the relay must know of it, and its JSON text."""

    alert_id: str
    seq: int
    device_id: str
    rule: str
    event: str
    resolved: bool
    suppressed: bool
    severities: frozenset[str]
    started_at: str
    is_offline: bool
    """Whether it says that its device is; the fleet's alerts have no metric either, and don't."""
    text: bytes

    @classmethod
    def of(cls, raw: bytes) -> Alert:
        """The event of a record's value; Unreadable where it is none."""
        try:
            fields = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise Unreadable(str(error)) from None
        if not isinstance(fields, dict):
            raise Unreadable("not an object")
        seq = fields.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool) or seq < 1:
            raise Unreadable("no seq")
        for ours in ("cursor", "backlog"):  # what we add must be there once
            fields.pop(ours, None)
        device_id = _text(fields, "device_id")
        return cls(
            alert_id=_text(fields, "alert_id"),
            seq=seq,
            device_id=device_id,
            rule=str(fields.get("rule")),
            event=str(fields.get("event")),
            resolved="resolved" in (fields.get("status"), fields.get("event")),
            suppressed=fields.get("suppressed_by") is not None,
            severities=_severities(fields),
            started_at=str(fields.get("started_at")),
            is_offline=fields.get("metric") is None and not device_id.startswith("*"),
            text=msgspec.json.encode(fields),
        )

    @property
    def key(self) -> bytes:
        """The key of its record in `alerts-open`."""
        return f"{self.device_id}|{self.rule}".encode()

    @property
    def age(self) -> tuple[str, str]:
        """The oldest first."""
        return self.started_at, self.alert_id

    def live(self, cursor: str) -> bytes:
        return _added(self.text, b'"cursor":"' + cursor.encode() + b'"')

    def backlog(self) -> bytes:
        return _added(self.text, b'"backlog":true')


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"no {name}")
    return value


def _severities(fields: dict[str, Any]) -> frozenset[str]:
    """The severity now and the one before: who watches `danger` also learns that it is over."""
    both = (fields.get("severity"), fields.get("previous_severity"))
    return frozenset(severity for severity in both if isinstance(severity, str))


def _added(text: bytes, member: bytes) -> bytes:
    return text[:-1] + b"," + member + b"}"


class Highest:
    """The highest `seq` of each alert: the last `limit` alerts that were heard of, no more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # of a dict, whoever asks for its first member goes through all that went before it
        self._seqs: OrderedDict[str, int] = OrderedDict()

    def get(self, alert_id: str) -> int:
        return self._seqs.get(alert_id, 0)

    def note(self, alert_id: str, seq: int) -> bool:
        """Remember it; False where this or a later one was known already."""
        known = self._seqs.get(alert_id, 0)
        self._seqs[alert_id] = max(known, seq)
        self._seqs.move_to_end(alert_id)
        if len(self._seqs) > self._limit:
            self._seqs.popitem(last=False)
        return seq > known

    def clear(self) -> None:
        self._seqs.clear()


class OpenAlerts:
    """The last event of every open alert, whichever of the two topics told it first.

    As large as `alerts-open` is, which holds one record for each open alert. An event counts if it
    is newer than what is known of its alert, so a record of `alerts-open` that lags behind never
    opens again what `alerts` has resolved.
    """

    def __init__(self, remembered: int) -> None:
        self._open: dict[str, Alert] = {}
        self._by_age: list[Alert] = []
        self._closed = Highest(remembered)
        self._listed: tuple[Alert, ...] | None = ()

    def __len__(self) -> int:
        return len(self._open)

    def apply(self, alert: Alert) -> None:
        if alert.seq <= self._seq(alert.alert_id):
            return
        if alert.resolved:
            self._close(alert.alert_id, alert.seq)
        else:
            self._drop(alert.alert_id)
            self._open[alert.alert_id] = alert
            # in its place at once: to sort them all when somebody comes would hold the event loop
            insort(self._by_age, alert, key=_age)
            self._listed = None

    def get(self, alert_id: str) -> Alert | None:
        return self._open.get(alert_id)

    def has_closed(self, alert_id: str) -> bool:
        """Of the last alerts that were resolved."""
        return alert_id not in self._open and self._closed.get(alert_id) > 0

    def close(self, alert_id: str, seq: int) -> None:
        """A tombstone that names its alert: resolved by event number `seq`."""
        if seq >= self._seq(alert_id):
            self._close(alert_id, seq)

    def close_key(self, key: bytes) -> None:
        """A tombstone that names no alert (not of our making): whatever is open under the key."""
        for alert in [alert for alert in self._open.values() if alert.key == key]:
            self._close(alert.alert_id, alert.seq)

    def listed(self) -> tuple[Alert, ...]:
        """Oldest first. Made once for all who ask until something changes."""
        if self._listed is None:
            self._listed = tuple(self._by_age)
        return self._listed

    def _seq(self, alert_id: str) -> int:
        alert = self._open.get(alert_id)
        return alert.seq if alert else self._closed.get(alert_id)

    def _close(self, alert_id: str, seq: int) -> None:
        self._closed.note(alert_id, seq)
        self._drop(alert_id)

    def _drop(self, alert_id: str) -> None:
        alert = self._open.pop(alert_id, None)
        if alert is not None:
            del self._by_age[bisect_left(self._by_age, alert.age, key=_age)]
            self._listed = None


def _age(alert: Alert) -> tuple[str, str]:
    return alert.age


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts a viewer asked for, `?device=glob&rule=glob&severity=a,b&suppressed=1`, and may
    see. Viewers whose wishes are equal are served as one."""

    device: str = ""
    rule: str = ""
    severities: frozenset[str] = frozenset()
    suppressed: bool = False
    scope: Scope = EVERYTHING

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """ValueError, in words, where it can't be meant."""
        device, rule = query.get("device", ""), query.get("rule", "")
        for name, glob in (("device", device), ("rule", rule)):
            if len(glob) > LONGEST_GLOB:
                raise ValueError(f"{name} is longer than {LONGEST_GLOB} characters")
        severities = frozenset(text for text in query.get("severity", "").split(",") if text)
        if unknown := sorted(severities - SEVERITIES):
            raise ValueError(f"severity {unknown[0]!r} is none of info, warning, danger")
        return _same(cls(device, rule, severities, query.get("suppressed") == "1"))

    def within(self, scope: Scope) -> Wanted:
        return _same(replace(self, scope=scope))

    def has(self, alert: Alert) -> bool:
        return (
            (self.suppressed or not alert.suppressed)
            and (not self.severities or not self.severities.isdisjoint(alert.severities))
            and (not self.device or fnmatchcase(alert.device_id, self.device))
            and (not self.rule or fnmatchcase(alert.rule, self.rule))
            and self.scope.sees(alert.device_id)
        )


@lru_cache(1_000)
def _same(wanted: Wanted) -> Wanted:
    """One object for equal wishes: most viewers have the same."""
    return wanted
