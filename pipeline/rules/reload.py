"""A device judged by other rules before in, the events of judging it by these out.

Rules that are the same keep their state and say nothing. Changed ones judge the newest values, at
the time of the change: the reason of what comes of it is `rule_changed`. The alerts of removed ones
resolve. While a device is silent, its values are no evidence, and neither are those that a sensor's
fault holds back: the next reading judges them, and finds every open alert on a level of its ladder.
The severity of a fault or a silence is the rule's word alone, and changes at once.
"""

from __future__ import annotations

from pipeline.rules import fault, flatline, offline, threshold
from pipeline.rules.device import Device
from pipeline.rules.lifecycle import Alerts, Episode, Event
from pipeline.rules.rulebook import Flatline, Offline, Rulebook, Threshold


def adopt(
    device: Device,
    alerts: Alerts,
    page: Rulebook,
    before: frozenset[int],
    at: float,
    events: list[Event],
) -> None:
    """`before` are the hashes of the rules it was judged by. What comes of it goes to `events`."""
    _remove(device, alerts, page, at, events)
    changed = {rule.name for rule in page.rules() if rule.hash not in before}
    _forget_progress(device, alerts, page, changed)
    _keep_up(alerts, page, changed)
    first = len(events)
    if not _judge_silence(device, alerts, page, changed, at, events):
        _judge_values(device, alerts, page, changed, at, events)
    _regrade(device, alerts, page, changed, at, events)
    for event in events[first:]:
        event.reason = "rule_changed"
    for episode in alerts.open.values():
        rule = page.named[episode.rule]
        if episode.hash not in (0, rule.hash):
            alerts.plan_again(episode, at, rule.remind)
        episode.hash = rule.hash
    _unsuppress(device, alerts, at, events)


def _remove(device: Device, alerts: Alerts, page: Rulebook, at: float, events: list[Event]) -> None:
    for episode in device.open_alerts():
        if not _is_of(page, episode):
            value = device.value_of(episode)
            events.append(alerts.resolve(episode, "rule_removed", at, at, value))


def _is_of(page: Rulebook, episode: Episode) -> bool:
    """A rule of the same name may be about something else now."""
    rule = page.named.get(episode.rule)
    if rule is None or rule.kind != episode.kind:
        return False
    if isinstance(rule, Flatline):
        return rule.metrics[0] == episode.metric
    return not isinstance(rule, Threshold) or rule.metric == episode.metric


def _forget_progress(device: Device, alerts: Alerts, page: Rulebook, changed: set[str]) -> None:
    for name, progress in list(alerts.progress.items()):
        rule = page.named.get(name)
        if isinstance(rule, Flatline) and flatline.is_of(rule, progress):
            continue  # that a sensor hasn't moved is true by whatever patience
        if name in changed or rule is None:
            del alerts.progress[name]
    if device.slices is not None:
        for name in list(device.slices):
            if name in changed or name not in page.named:
                del device.slices[name]


def _keep_up(alerts: Alerts, page: Rulebook, changed: set[str]) -> None:
    """Open alerts of changed rules, as far as it takes no value."""
    for bounds in page.ranges:
        if bounds.name in changed:
            fault.forget_unbounded(bounds, alerts)
    for rule in page.thresholds:
        episode = alerts.open.get(rule.name)
        if episode is not None and rule.name in changed:
            threshold.find_level(rule, episode)


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
    if rule is None:
        return False
    episode = alerts.open.get(rule.name)
    too_long = device.last_seen + offline.limit(rule, device.gaps) <= at
    if episode is None:
        return too_long and device.readings >= rule.min_readings  # and nobody has told it yet
    if rule.name not in changed or too_long:
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


def _regrade(
    device: Device,
    alerts: Alerts,
    page: Rulebook,
    changed: set[str],
    at: float,
    events: list[Event],
) -> None:
    """A ladder has many severities, for values to choose from; the other rules say their own."""
    for episode in device.open_alerts():
        rule = page.named[episode.rule]
        if rule.name not in changed or isinstance(rule, Threshold):
            continue
        severity, level = rule.severity, 0
        if isinstance(rule, Offline) and _is_still_danger(rule, device, episode, at):
            severity, level = "danger", 1
        if severity == episode.severity:
            episode.level = level
        else:
            value = device.value_of(episode)
            events.append(alerts.regrade(episode, severity, level, at, value))


def _is_still_danger(rule: Offline, device: Device, episode: Episode, at: float) -> bool:
    """Down at once, but never up: how long a device was silent is for the engine to judge."""
    if not rule.danger_after or episode.severity != "danger":
        return False
    return device.last_seen + max(rule.danger_after, offline.limit(rule, device.gaps)) <= at


def _unsuppress(device: Device, alerts: Alerts, at: float, events: list[Event]) -> None:
    """The alert that suppressed these is gone; whether they are true is for a reading to say."""
    for episode in device.open_alerts():
        if episode.suppressed_by is not None and not _suppressor_is_open(alerts, episode):
            value = device.value_of(episode)
            events.append(alerts.unsuppress(episode, False, at, at, value))


def _suppressor_is_open(alerts: Alerts, episode: Episode) -> bool:
    return any(one.alert_id == episode.suppressed_by for one in alerts.open.values())
