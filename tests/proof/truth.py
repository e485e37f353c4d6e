"""What a simulation says happened and the alert events that came of it in, every difference out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]


def assert_told(truth: Iterable[Object], events: Iterable[Object]) -> None:
    """Each trouble with a rule fired it once and resolved it in time; nothing else fired."""
    expected: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for trouble in truth:
        if trouble["rule"]:
            expected[trouble["device_id"], trouble["rule"]].append(trouble)
    alerts: dict[tuple[str, str], list[list[Object]]] = defaultdict(list)
    for alert in _alerts(events):
        alerts[alert[0]["device_id"], alert[0]["rule"]].append(alert)
    for key in expected.keys() | alerts.keys():
        told = sorted(alerts[key], key=lambda alert: alert[0]["started_at"])
        troubles = sorted(expected[key], key=lambda trouble: trouble["started_at"])
        assert len(told) == len(troubles), (key, troubles, told)
        for trouble, alert in zip(troubles, told, strict=True):
            _assert_within(trouble, alert)


def _alerts(events: Iterable[Object]) -> Iterable[list[Object]]:
    """The events of each alert, in order."""
    found: dict[str, list[Object]] = defaultdict(list)
    for event in events:
        found[event["alert_id"]].append(event)
    return [sorted(alert, key=lambda event: event["seq"]) for alert in found.values()]


def _assert_within(trouble: Object, alert: list[Object]) -> None:
    first, last = alert[0], alert[-1]
    assert [event["seq"] for event in alert] == list(range(1, len(alert) + 1))
    assert (first["event"], last["event"]) == ("fired", "resolved"), (trouble, alert)
    # all of them ISO 8601 with milliseconds and Z: text in the order of time
    times = [trouble["started_at"], first["started_at"], last["resolved_at"], trouble["ended_at"]]
    assert times == sorted(times), (trouble, alert)
