"""Steps of alerts in; how many are open, by severity, and how many devices are offline, out.

To look for the open ones among all devices would take too long, each time somebody asks.
"""

from __future__ import annotations

from collections import Counter


class Standing:
    """The open alerts of one partition."""

    __slots__ = ("_open", "by_severity", "offline")

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, str]] = {}
        self.by_severity: Counter[str] = Counter()
        self.offline = 0

    def opened(self, alert_id: str, severity: str, kind: str) -> None:
        """It is open; whether that is news, or only its severity is, or nothing."""
        self.closed(alert_id)
        self._open[alert_id] = (severity, kind)
        self.by_severity[severity] += 1
        self.offline += kind == "offline"

    def closed(self, alert_id: str) -> None:
        severity, kind = self._open.pop(alert_id, ("", ""))
        if severity:
            self.by_severity[severity] -= 1
            self.offline -= kind == "offline"
