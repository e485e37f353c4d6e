"""A device judged by other rules before in, the events of judging it by these out.

Rules that are the same keep their state and say nothing. Changed ones judge the newest values, at
the time of the change: the reason of what comes of it is `rule_changed`. The alerts of removed ones
resolve. While a device is silent, its values are no evidence: the next reading judges them.
"""

from __future__ import annotations

from pipeline.rules import fault, offline, threshold
from pipeline.rules.device import Device
from pipeline.rules.lifecycle import Alerts, Episode, Event
from pipeline.rules.rulebook import Rulebook, Threshold


def adopt(
    device: Device, alerts: Alerts, page: Rulebook, before: frozenset[int], at: float
) -> list[Event]:
    """`before` are the hashes of the rules it was judged by."""
    events = _remove(device, alerts, page, at)
    changed = {rule.name for rule in page.rules() if rule.hash not in before}
    _forget_progress(device, alerts, page, changed)
    made: list[Event] = []
    silent = _judge_silence(device, alerts, page, changed, at, made)
    if not silent:
        _judge_values(device, alerts, page, changed, at, made)
    for event in made:
        event.reason = "rule_changed"
    for episode in alerts.open.values():
        rule = page.named[episode.rule]
        if episode.hash not in (0, rule.hash):
            alerts.plan_again(episode, at, rule.remind)
        episode.hash = rule.hash
    events += made
    if not silent:
        events += _unsuppress(device, alerts, at)
    return events


def _remove(device: Device, alerts: Alerts, page: Rulebook, at: float) -> list[Event]:
    return [
        alerts.resolve(episode, "rule_removed", at, at, device.value_of(episode))
        for episode in device.open_alerts()
        if not _is_of(page, episode)
    ]


def _is_of(page: Rulebook, episode: Episode) -> bool:
    """A rule of the same name may be about something else now."""
    rule = page.named.get(episode.rule)
    if rule is None or rule.kind != episode.kind:
        return False
    return not isinstance(rule, Threshold) or rule.metric == episode.metric


def _forget_progress(device: Device, alerts: Alerts, page: Rulebook, changed: set[str]) -> None:
    for name in list(alerts.progress):
        if name in changed or name not in page.named:
            del alerts.progress[name]
    if device.slices is not None:
        for name in list(device.slices):
            if name in changed or name not in page.named:
                del device.slices[name]


def _judge_silence(
    device: Device,
    alerts: Alerts,
    page: Rulebook,
    changed: set[str],
    at: float,
    events: list[Event],
) -> bool:
    """Whether the device is silent by these rules."""
    rule = page.offline
    episode = None if rule is None else alerts.open.get(rule.name)
    if rule is None or episode is None:
        return False
    if rule.name not in changed or device.last_seen + offline.limit(rule, device.gaps) <= at:
        return True
    events.append(alerts.resolve(episode, "rule_changed", at, at))
    return False


def _judge_values(
    device: Device,
    alerts: Alerts,
    page: Rulebook,
    changed: set[str],
    at: float,
    events: list[Event],
) -> None:
    held = False
    values = device.values
    for bounds in page.ranges:
        found = fault.crossed(bounds, values)
        held = held or bool(found)
        if bounds.name in changed:
            fault.forget_unbounded(bounds, alerts)
            event = fault.judge(bounds, alerts, values, found, at, at)
            if event is not None:
                events.append(event)
    held = held or any(rule.name in alerts.open for rule in page.flatlines)
    for rule in page.thresholds:
        value = values.get(rule.metric)
        if rule.name in changed and value is not None and not rule.over and not held:
            _judge_value(rule, alerts, value, at, events)


def _judge_value(
    rule: Threshold, alerts: Alerts, value: float, at: float, events: list[Event]
) -> None:
    episode = alerts.open.get(rule.name)
    if episode is None:
        event = threshold.judge(rule, alerts, value, at, at)
    else:
        event = threshold.judge_again(rule, alerts, episode, value, at)
    if event is not None:
        events.append(event)


def _unsuppress(device: Device, alerts: Alerts, at: float) -> list[Event]:
    """The alert that suppressed these is gone; whether they are true is for a reading to say."""
    return [
        alerts.unsuppress(episode, False, at, at, device.value_of(episode))
        for episode in device.open_alerts()
        if episode.suppressed_by is not None and not _suppressor_is_open(alerts, episode)
    ]


def _suppressor_is_open(alerts: Alerts, episode: Episode) -> bool:
    return any(one.alert_id == episode.suppressed_by for one in alerts.open.values())
