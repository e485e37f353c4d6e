"""A reading's values in, the next step of its sensor-fault alert out.

A value outside of what its sensor can measure says nothing about the weather, and little good about
its neighbours: the engine holds the whole reading back from the threshold rules.
"""

from __future__ import annotations

from pipeline.rules.lifecycle import Alerts, Episode, Event
from pipeline.rules.rulebook import Range


def crossed(rule: Range, values: dict[str, float]) -> dict[str, float]:
    """The metrics outside their range, in the rule's order, each with the bound it crossed."""
    found: dict[str, float] = {}
    for bound in rule.bounds:
        value = values.get(bound.metric)
        if value is None:
            continue
        if value < bound.low:
            found[bound.metric] = bound.low
        elif value > bound.high:
            found[bound.metric] = bound.high
    return found


def forget_unbounded(rule: Range, alerts: Alerts) -> None:
    """The rule no longer bounds these: whatever they showed is no fault."""
    episode = alerts.open.get(rule.name)
    if episode is not None:
        bounded = {bound.metric for bound in rule.bounds}
        episode.faults = {name: at for name, at in episode.faults.items() if name in bounded}


def judge(
    rule: Range,
    alerts: Alerts,
    values: dict[str, float],
    found: dict[str, float],
    judged: float,
    at: float,
) -> Event | None:
    """`found` is what `crossed` says of these values. A metric that isn't there is no evidence."""
    episode = alerts.open.get(rule.name)
    if episode is None:
        return _fire(rule, alerts, values, found, judged, at) if found else None
    if found:
        episode.count += 1
    return _go_on(alerts, episode, values, found, judged, at)


def _fire(
    rule: Range,
    alerts: Alerts,
    values: dict[str, float],
    found: dict[str, float],
    judged: float,
    at: float,
) -> Event:
    metric = next(iter(found))
    event = alerts.fire(
        rule.name,
        rule.severity,
        "sensor_fault",
        judged,
        at,
        metric=metric,
        value=values[metric],
        threshold=found[metric],
        count=1,
        kind="range",
        rule_hash=rule.hash,
        remind=rule.remind,
    )
    alerts.open[rule.name].faults = found
    return event


def _go_on(
    alerts: Alerts,
    episode: Episode,
    values: dict[str, float],
    found: dict[str, float],
    judged: float,
    at: float,
) -> Event | None:
    for metric in list(episode.faults):
        if metric in values and metric not in found:
            # The last one to leave is the one that the resolution speaks of.
            episode.metric = metric
            episode.threshold = episode.faults.pop(metric)
    episode.faults.update(found)
    if episode.faults:
        episode.metric, episode.threshold = next(iter(episode.faults.items()))
        return None
    value = None if episode.metric is None else values.get(episode.metric)
    return alerts.resolve(episode, "value_normal", judged, at, value)
