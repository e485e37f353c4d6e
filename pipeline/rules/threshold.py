"""A value of a metric in, the next step of its threshold alert out.

The alert's state is mutated in place by `Alerts`; the event, if there is one, is returned.
"""

from __future__ import annotations

from pipeline.rules.lifecycle import NEVER, Alerts, Episode, Event
from pipeline.rules.rulebook import SEVERITIES, Threshold


def judge(rule: Threshold, alerts: Alerts, value: float, judged: float, at: float) -> Event | None:
    episode = alerts.open.get(rule.name)
    if episode is None and not rule.beyond(value, rule.levels[0].line):  # nor any further one
        alerts.drop(rule.name)
        return None
    was = -1 if episode is None else episode.level
    now = level_after(rule, was, value)
    if episode is not None and rule.beyond(value, rule.levels[0].line):
        episode.count += 1
    if now <= was:
        alerts.drop(rule.name)
    if episode is not None and now < 0:
        return _end(rule, alerts, episode, value, judged, at)
    if episode is not None:
        episode.normal_since = NEVER
    if now > was:
        return _rise(rule, alerts, episode, now, value, judged, at)
    return None if episode is None else _stay(rule, alerts, episode, now, value, judged, at)


def judge_again(
    rule: Threshold, alerts: Alerts, episode: Episode, value: float, at: float
) -> Event | None:
    """The rule has changed under an open alert, which `find_level` has put on the new ladder."""
    now = level_after(rule, episode.level, value)
    if now < 0:
        return alerts.resolve(episode, "value_normal", at, at, value)
    episode.normal_since = NEVER
    return _stay(rule, alerts, episode, now, value, at, at)


def find_level(rule: Threshold, episode: Episode) -> None:
    """Put an open alert on a ladder that may be another one, and wait for a value to move it.

    It stands on the worst level that is no worse than what was told, or on the first. A value may
    be a while in coming, from a silent device or a held reading.
    """
    told = SEVERITIES.index(episode.severity)
    reached = [n for n, one in enumerate(rule.levels) if SEVERITIES.index(one.severity) <= told]
    episode.level = reached[-1] if reached else 0
    level = rule.levels[episode.level]
    if level.severity == episode.severity:
        episode.threshold = level.line
        episode.clear = level.clear


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


def _stay(
    rule: Threshold,
    alerts: Alerts,
    episode: Episode,
    now: int,
    value: float,
    judged: float,
    at: float,
) -> Event | None:
    """On its level or a lower one; the level it is on may have another severity than was told,
    where the ladder is a new one."""
    if rule.levels[now].severity == episode.severity:
        return None
    return _change(rule, alerts, episode, now, value, judged, at)


def _end(
    rule: Threshold, alerts: Alerts, episode: Episode, value: float, judged: float, at: float
) -> Event | None:
    """The value is normal; the alert is kept until it has been for long enough."""
    episode.normal_since = min(episode.normal_since, judged)
    if judged - episode.normal_since < rule.keep:
        return None
    return alerts.resolve(episode, "value_normal", judged, at, value)


def _rise(
    rule: Threshold,
    alerts: Alerts,
    episode: Episode | None,
    now: int,
    value: float,
    judged: float,
    at: float,
) -> Event | None:
    count = 1
    if not rule.immediate:
        reached, now = now, -1
        now, count = alerts.hold(rule.name, reached, judged, rule.hold, rule.repeat)
        if now < 0:
            return None
        if reached > now:  # what has been held is a milder one; this begins to be
            alerts.hold(rule.name, reached, judged, rule.hold, rule.repeat)
    if episode is None:
        return _fire(rule, alerts, now, count, value, judged, at)
    return _change(rule, alerts, episode, now, value, judged, at)


def _fire(
    rule: Threshold, alerts: Alerts, now: int, count: int, value: float, judged: float, at: float
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
        count=count,
        rule_hash=rule.hash,
        remind=rule.remind,
    )


def _change(
    rule: Threshold,
    alerts: Alerts,
    episode: Episode,
    now: int,
    value: float,
    judged: float,
    at: float,
) -> Event:
    level = rule.levels[now]
    return alerts.change(
        episode, level.severity, now, level.line, level.clear, judged, at, value, rule.remind
    )
