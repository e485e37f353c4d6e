"""A device's silence in; when something falls due by it, and the event of what is due first, out.

Silence before `judged_from` is no evidence. Each is stamped with the time it was due, not with that
at which somebody looked.
"""

from __future__ import annotations

from typing import Final

from pipeline.rules import offline
from pipeline.rules.counting import Counting
from pipeline.rules.device import UNKNOWN, Device
from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.rulebook import Rulebook

NEVER: Final = float("inf")


def due_at(device: Device, page: Rulebook, judged_from: float) -> float:
    """When the next thing falls due; inf for a device that isn't there."""
    due = min(offline_at(device, page, judged_from), _retires_at(device, page, judged_from))
    return due if device.alerts is None else min(due, device.alerts.due)


def offline_at(device: Device, page: Rulebook, judged_from: float) -> float:
    """When the next level of silence is reached."""
    rule = page.offline
    if rule is None or device.readings < rule.min_readings:
        return NEVER
    episode = None if device.alerts is None else device.alerts.open.get(rule.name)
    if episode is None:
        limit = offline.limit(rule, device.gaps)
    elif episode.level == 0 and rule.danger_after:
        limit = max(rule.danger_after, offline.limit(rule, device.gaps))
    else:
        return NEVER
    return offline.judged_at(device.last_seen, limit, judged_from)


def settle(
    device: Device,
    page: Rulebook,
    counting: Counting,
    judged_from: float,
    due: float,
    events: list[Event],
) -> None:
    """What is `due`, which is then over."""
    if device.alerts is not None and device.alerts.due <= due:
        events.append(_remind(device, page, device.alerts))
    elif offline_at(device, page, judged_from) <= due:
        _go_offline(device, page, counting, events)
    else:
        _retire(device, page, counting, events)


def _retires_at(device: Device, page: Rulebook, judged_from: float) -> float:
    if device.last_seen == UNKNOWN:
        return NEVER
    return max(device.last_seen + page.retire_after, judged_from)


def _remind(device: Device, page: Rulebook, alerts: Alerts) -> Event:
    episode = min(alerts.open.values(), key=lambda one: one.remind_at)
    return alerts.remind(episode, page.named[episode.rule].remind, device.value_of(episode))


def _go_offline(device: Device, page: Rulebook, counting: Counting, events: list[Event]) -> None:
    rule = page.offline
    assert rule is not None  # noqa: S101  (nothing was due without it)
    if device.alerts is None:
        device.alerts = Alerts(device.id)
    alerts = device.alerts
    due = device.last_seen + offline.limit(rule, device.gaps)
    episode = alerts.open.get(rule.name)
    if episode is not None:
        due = max(due, device.last_seen + rule.danger_after)
        changed = alerts.change(episode, "danger", 1, None, None, due, due, None, rule.remind)
        events.append(changed)
        return
    values = device.open_alerts()
    fired = alerts.fire(
        rule.name, rule.severity, "offline", due, due,
        kind="offline", rule_hash=rule.hash, remind=rule.remind,
    )  # fmt: skip
    events.append(fired)
    events += [alerts.suppress(one, fired.alert_id, due) for one in values]
    counting.close(device, due)


def _retire(device: Device, page: Rulebook, counting: Counting, events: list[Event]) -> None:
    due = device.last_seen + page.retire_after
    if device.alerts is not None:
        for episode in device.open_alerts():
            value = device.value_of(episode)
            events.append(device.alerts.resolve(episode, "device_retired", due, due, value))
    counting.close(device)
    device.retire()
