"""The events of two sets of rules over the same readings in; what only one of them fires out.

Alerts of one device and rule are the same where they overlap in time: a line that was moved a
little begins the same alert a little sooner. Of each device and rule, only the last alert on either
side is kept; whatever is over has met what it overlaps with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pipeline.backtest.tally import span, table
from pipeline.records import iso
from pipeline.rules import Event

SHOWN: Final = 20  # alerts of either kind that are named
NEVER: Final = float("inf")

Key = tuple[str, str]  # rule and device


class Alert:
    __slots__ = ("ended_at", "shared", "started_at")

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.ended_at = NEVER
        self.shared = False

    def overlaps(self, other: Alert) -> bool:
        return self.started_at <= other.ended_at and other.started_at <= self.ended_at


class Side:
    """The alerts by one set of rules; `alone` counts those that the other hasn't, by rule."""

    def __init__(self) -> None:
        self.last: dict[Key, Alert] = {}
        self.fired: Counter[str] = Counter()
        self.alone: Counter[str] = Counter()
        self.named: list[tuple[Key, Alert]] = []

    def take(self, event: Event, other: Side) -> None:
        key = event.rule, event.device_id
        if event.event == "fired":
            self.fired[event.rule] += 1
            if key in self.last:
                self._judge(key, self.last[key])
            self.last[key] = Alert(event.started_at)
        elif event.resolved_at is not None and key in self.last:
            self.last[key].ended_at = event.resolved_at
            self.meet(key, other)

    def meet(self, key: Key, other: Side) -> None:
        mine, theirs = self.last[key], other.last.get(key)
        if theirs is not None and mine.overlaps(theirs):
            mine.shared = theirs.shared = True

    def end(self) -> None:
        for key, alert in self.last.items():
            self._judge(key, alert)

    def _judge(self, key: Key, alert: Alert) -> None:
        if not alert.shared:
            self.alone[key[0]] += 1
            if len(self.named) < SHOWN:
                self.named.append((key, alert))


class Comparison:
    """`now` are the rules as they are, `then` as they would be."""

    def __init__(self) -> None:
        self.now: Final = Side()
        self.then: Final = Side()

    def note(self, now: Iterable[Event], then: Iterable[Event]) -> None:
        """The events of both that came of the same reading."""
        for event in now:
            self.now.take(event, self.then)
        for event in then:
            self.then.take(event, self.now)

    def end(self) -> None:
        for key in self.now.last:
            self.now.meet(key, self.then)
        for side in (self.now, self.then):
            side.end()

    def lines(self) -> Iterator[str]:
        yield from table(self._rules())
        yield from _named("-", self.now)
        yield from _named("+", self.then)

    def _rules(self) -> Iterator[Sequence[object]]:
        yield ("rule", "now", "then", "removed", "added")
        now, then = self.now, self.then
        for rule, _ in (now.fired + then.fired).most_common():
            yield (rule, now.fired[rule], then.fired[rule], now.alone[rule], then.alone[rule])


def _named(sign: str, side: Side) -> Iterator[str]:
    for (rule, device), alert in side.named:
        lasted = "" if alert.ended_at == NEVER else f", {span(alert.ended_at - alert.started_at)}"
        yield f"{sign} {rule} of {device} at {iso(alert.started_at)}{lasted}"
    more = side.alone.total() - len(side.named)
    if more:
        yield f"{sign} {more} more"
