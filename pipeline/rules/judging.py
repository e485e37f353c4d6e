"""A reading's values in, the events of the rules that judge them out; and which of them are sound.

Ranges are asked first, then flatlines, then thresholds: what a sensor's fault has made is no
weather.
"""

from __future__ import annotations

from pipeline.rules import fault, flatline, threshold, trend
from pipeline.rules.device import Device
from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.rulebook import Rulebook, Threshold


def judge(
    device: Device,
    page: Rulebook,
    values: dict[str, float],
    judged: float,
    at: float,
    events: list[Event],
) -> dict[str, float]:
    """Returns the values that no sensor's fault has made."""
    alerts = device.alerts
    if alerts is None:
        alerts = device.alerts = Alerts(device.id)
    sound = values
    for bounds in page.ranges:
        found = fault.crossed(bounds, values)
        _note(events, fault.judge(bounds, alerts, values, found, judged, at))
        sound = _without(sound, found)
    held = len(sound) < len(values)
    for stuck in page.flatlines:
        if not held:
            _note(events, flatline.judge(stuck, alerts, values, judged, at))
        held = held or stuck.name in alerts.open
    if not held:
        for rule in page.thresholds:
            value = values.get(rule.metric)
            if value is not None and rule.over:
                value = _trend(device, rule, value, judged)
            if value is not None:
                _note(events, threshold.judge(rule, alerts, value, judged, at))
    if alerts.open:
        _hear(device, page, alerts, values, held, judged, at, events)
    return sound


def judge_late(
    device: Device, page: Rulebook, values: dict[str, float], judged: float
) -> dict[str, float]:
    """Late ones say nothing of now, but something of a while. Returns the sound ones."""
    sound = values
    for bounds in page.ranges:
        sound = _without(sound, fault.crossed(bounds, values))
    if len(sound) == len(values):
        for rule in page.windowed:
            if rule.metric in values:
                _trend(device, rule, values[rule.metric], judged)
    return sound


def _note(events: list[Event], event: Event | None) -> None:
    if event is not None:
        events.append(event)


def _without(values: dict[str, float], faulty: dict[str, float]) -> dict[str, float]:
    if not faulty:
        return values
    return {metric: value for metric, value in values.items() if metric not in faulty}


def _trend(device: Device, rule: Threshold, value: float, judged: float) -> float | None:
    if device.slices is None:
        device.slices = {}
    slices = device.slices.setdefault(rule.name, [])
    trend.add(rule, slices, value, judged)
    return trend.value_of(rule, slices, judged)


def _hear(
    device: Device,
    page: Rulebook,
    alerts: Alerts,
    values: dict[str, float],
    held: bool,
    judged: float,
    at: float,
    events: list[Event],
) -> None:
    """The first judged reading after a silence: what is still open is no longer suppressed."""
    for episode in device.open_alerts():
        if not episode.stale:
            continue
        known = episode.metric in values and not (held and episode.kind == "threshold")
        if known or episode.suppressed_by is not None:
            value = device.value_of(episode)
            remind = page.named[episode.rule].remind
            events.append(alerts.unsuppress(episode, known, judged, at, value, remind))
