"""What each partition counts of its devices in; the one alert for many that fell silent out.

Many devices that fall silent together are one thing that broke: a gateway, a network, whoever
publishes for them. There must be `MANY` of them within `TOGETHER` seconds, and a `SHARE` of those
that were live, unless nothing at all arrives any more; then those that are a moment behind are
waited for. The reason is `ingest_silent` while nothing arrives, else `fleet_offline`. The alert is
over when readings arrive, and less than half of what it takes for one is still silent.

Its state is a device's of its own, which sends no readings.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from pipeline.rules.device import Device
from pipeline.rules.lifecycle import Alerts, Episode, Event

FLEET: Final = "*fleet"  # no device id starts with a star
RULE: Final = "fleet"
PENDING: Final = "fleet-pending"
MANY: Final = 5  # devices
SHARE: Final = 0.2
TOGETHER: Final = 60.0  # seconds
GATHERED: Final = 1.5  # seconds after there are enough; each partition looks once a second
LISTED: Final = 1_000  # ids that an alert names
# Seconds at least from one word of how many there are to the next. Less than `TOGETHER`: so whoever
# falls silent in between is still among the recent ones.
APART: Final = 30.0
NEVER: Final = float("inf")


class Count:
    """Of one partition: devices that are live, and silent; of these the `recent` ones, when the
    first of them fell due, and their ids, as many as are listed."""

    __slots__ = ("first", "ids", "live", "recent", "silent")

    def __init__(self, live: int, silent: int, recent: int, first: float, ids: list[str]) -> None:
        self.live: Final = live
        self.silent: Final = silent
        self.recent: Final = recent
        self.first: Final = first
        self.ids: Final = ids

    def pack(self) -> list[Any]:
        return [self.live, self.silent, self.recent, self.first, self.ids]


NOBODY: Final = Count(0, 0, 0, NEVER, [])


def count(devices: int, silent: dict[str, tuple[float, float]], at: float) -> Count:
    """`silent`: each with when it was found so and when it fell due, in the order of the former."""
    recent, first = 0, NEVER
    ids: list[str] = []
    for device_id, (found, due) in reversed(silent.items()):
        if found <= at - TOGETHER:
            break
        recent += 1
        first = min(first, due)
        if len(ids) < LISTED:
            ids.append(device_id)
    return Count(devices - len(silent), len(silent), recent, first, sorted(ids))


def decide(fleet: Device, counts: Collection[Count], arriving: bool, at: float) -> list[Event]:
    """What the counts of all partitions come to; `arriving` if any reading does."""
    if fleet.alerts is None:
        fleet.alerts = Alerts(fleet.id)
    episode = fleet.alerts.open.get(RULE)
    if episode is None:
        return _begin(fleet.alerts, counts, arriving, at)
    return _go_on(fleet.alerts, episode, counts, arriving, at)


def _begin(alerts: Alerts, counts: Collection[Count], arriving: bool, at: float) -> list[Event]:
    recent = sum(one.recent for one in counts)
    if recent < (_needed(counts, recent) if arriving else MANY):
        alerts.drop(PENDING)
        return []
    if at - alerts.progress.setdefault(PENDING, [at])[0] < GATHERED:
        return []
    alerts.drop(PENDING)
    ids = sorted(device_id for one in counts for device_id in one.ids)[:LISTED]
    silent = sum(one.silent for one in counts)
    # whether anything arrives, how many were silent before, and when it was told how many are
    alerts.progress[RULE] = [float(arriving), float(silent - recent), at]
    first = min(one.first for one in counts)
    fired = alerts.fire(
        RULE, "danger", _reason(arriving), first, at, count=recent, kind="fleet", devices=ids
    )
    return [fired]


def _go_on(
    alerts: Alerts, episode: Episode, counts: Collection[Count], arriving: bool, at: float
) -> list[Event]:
    progress = alerts.progress[RULE]
    silent = sum(one.silent for one in counts) - progress[1]
    if arriving and 2 * silent < _needed(counts, silent):
        del alerts.progress[RULE]
        return [alerts.resolve(episode, "device_returned", at, at)]
    if len(progress) < 3:  # of a time that told once
        progress.append(at - APART)
    has_turned = progress[0] != float(arriving)
    has_grown = (has_turned or at - progress[2] >= APART) and _grow(episode, counts, int(silent))
    if not has_turned and not has_grown:
        return []
    if has_grown:
        progress[2] = at
    progress[0] = float(arriving)
    return [alerts.restate(episode, _reason(arriving), at)]


def _grow(episode: Episode, counts: Collection[Count], silent: int) -> bool:
    """Take in who fell silent since they were told; whether there are any. Who is back stays named:
    it was of them."""
    named = set(episode.devices)
    new = sorted({one for counted in counts for one in counted.ids} - named)
    count = max(silent, len(named) + len(new))
    if count <= episode.count:
        return False
    episode.devices = [*episode.devices, *new][:LISTED]
    episode.count = count
    return True


def _needed(counts: Collection[Count], silent: float) -> float:
    return max(MANY, SHARE * (sum(one.live for one in counts) + silent))


def _reason(arriving: bool) -> str:
    return "fleet_offline" if arriving else "ingest_silent"
