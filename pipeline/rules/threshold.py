"""A value of a metric in, the next step of its threshold alert out.

The alert's state is mutated in place by `Alerts`; the event, if there is one, is returned.
"""

from __future__ import annotations

from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.rulebook import Threshold


def judge(rule: Threshold, alerts: Alerts, value: float, judged: float, at: float) -> Event | None:
    episode = alerts.open.get(rule.name)
    was = -1 if episode is None else episode.level
    now = level_after(rule, was, value)
    met = 1 if rule.beyond(value, rule.levels[0].line) else 0
    if episode is None:
        return None if now < 0 else _fire(rule, alerts, now, value, judged, at)
    episode.count += met
    if now < 0:
        return alerts.resolve(episode, "value_normal", judged, at, value)
    if now == was:
        return None
    level = rule.levels[now]
    return alerts.change(episode, level.severity, now, level.line, level.clear, judged, at, value)


def level_after(rule: Threshold, level: int, value: float) -> int:
    """The level a value leads to; -1 is none. Up by the lines, down by the clear lines."""
    levels = rule.levels
    reached = len(levels) - 1
    while reached >= 0 and not rule.beyond(value, levels[reached].line):
        reached -= 1
    if reached > level:
        return reached
    while level >= 0 and rule.cleared(value, levels[level].clear):
        level -= 1
    return level


def _fire(
    rule: Threshold, alerts: Alerts, now: int, value: float, judged: float, at: float
) -> Event:
    level = rule.levels[now]
    return alerts.fire(
        rule.name,
        level.severity,
        "threshold",
        judged,
        at,
        metric=rule.metric,
        value=value,
        threshold=level.line,
        clear=level.clear,
        level=now,
        count=1,
    )
