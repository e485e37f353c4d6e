"""A reading's values in, the next step of the alert of a sensor that is stuck out.

Like what is out of range, a stuck sensor says nothing about the weather: while the alert is open,
the engine holds its readings back from the threshold rules.
"""

from __future__ import annotations

from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.rulebook import Flatline


def judge(
    rule: Flatline, alerts: Alerts, values: dict[str, float], judged: float, at: float
) -> Event | None:
    """A reading without all of the metrics is no evidence either way."""
    shown = [values.get(metric) for metric in rule.metrics]
    known = [value for value in shown if value is not None]
    if len(known) < len(shown):
        return None
    seen = alerts.progress.get(rule.name)
    if seen is None or seen[3:] != known:
        alerts.progress[rule.name] = [judged, 1.0, rule.subject, *known]
        if seen is None or not is_of(rule, seen):
            return None  # there is nothing to have moved from
        return _end(rule, alerts, known[0], judged, at)
    seen[1] += 1.0
    episode = alerts.open.get(rule.name)
    if episode is not None:
        episode.count += 1
        return None
    if seen[1] < rule.repeat or judged - seen[0] < rule.hold:
        return None
    return _fire(rule, alerts, known[0], int(seen[1]), judged, at)


def is_of(rule: Flatline, progress: list[float]) -> bool:
    """Whether what was seen was seen of these metrics: the rule may have changed since."""
    return progress[2] == rule.subject


def _fire(
    rule: Flatline, alerts: Alerts, value: float, count: int, judged: float, at: float
) -> Event:
    return alerts.fire(
        rule.name,
        rule.severity,
        "sensor_fault",
        judged,
        at,
        metric=rule.metrics[0],
        value=value,
        count=count,
        kind="flatline",
        rule_hash=rule.hash,
        remind=rule.remind,
    )


def _end(rule: Flatline, alerts: Alerts, value: float, judged: float, at: float) -> Event | None:
    episode = alerts.open.get(rule.name)
    if episode is None:
        return None
    return alerts.resolve(episode, "value_normal", judged, at, value)
