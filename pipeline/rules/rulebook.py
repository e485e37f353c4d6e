"""Numbers and names in, rules out: what counts as too hot, impossible or silent.

Rules are only read once they are made. A wrong one is refused here, in words, so that nothing
below has to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SEVERITIES: Final = ("info", "warning", "danger")
DAY: Final = 86_400.0


class Level:
    """One step of a ladder: beyond `line` it holds, and it is left beyond `clear`."""

    __slots__ = ("clear", "line", "severity")

    def __init__(self, severity: str, line: float, clear: float) -> None:
        _check_severity(severity)
        self.severity: Final = severity
        self.line: Final = float(line)
        self.clear: Final = float(clear)


class Threshold:
    """One alert while a metric is beyond a line; its levels go from the mildest to the worst."""

    __slots__ = ("above", "levels", "metric", "name")

    def __init__(self, name: str, metric: str, direction: str, levels: Sequence[Level]) -> None:
        _check_name(name)
        if direction not in ("above", "below"):
            raise ValueError(f"{name}: direction {direction} is neither above nor below")
        self.name: Final = name
        self.metric: Final = metric
        self.above: Final = direction == "above"
        self.levels: Final = tuple(levels)
        self._check()

    def beyond(self, value: float, line: float) -> bool:
        """Strictly: a value on the line is not beyond it."""
        return value > line if self.above else value < line

    def cleared(self, value: float, clear: float) -> bool:
        return value < clear if self.above else value > clear

    def _check(self) -> None:
        if not self.levels:
            raise ValueError(f"{self.name}: no level")
        for level in self.levels:
            if self.beyond(level.clear, level.line):
                raise ValueError(
                    f"{self.name}: the clear line {level.clear} is beyond the line {level.line}"
                )
        for milder, worse in zip(self.levels, self.levels[1:], strict=False):
            if not self.beyond(worse.line, milder.line):
                raise ValueError(f"{self.name}: the line {worse.line} is not beyond {milder.line}")
            if SEVERITIES.index(worse.severity) <= SEVERITIES.index(milder.severity):
                raise ValueError(f"{self.name}: {worse.severity} is not above {milder.severity}")


class Bounds:
    """What a sensor can measure; the bounds themselves are inside."""

    __slots__ = ("high", "low", "metric")

    def __init__(self, metric: str, low: float, high: float) -> None:
        self.metric: Final = metric
        self.low: Final = float(low)
        self.high: Final = float(high)
        if not self.low < self.high:
            raise ValueError(f"{metric}: {self.low} is not below {self.high}")


class Range:
    """One alert while any of its metrics shows what its sensor can't measure."""

    __slots__ = ("bounds", "name", "severity")

    def __init__(self, name: str, severity: str, bounds: Sequence[Bounds]) -> None:
        _check_name(name)
        _check_severity(severity)
        if len({bound.metric for bound in bounds}) != len(bounds):
            raise ValueError(f"{name}: a metric has two ranges")
        self.name: Final = name
        self.severity: Final = severity
        self.bounds: Final = tuple(bounds)


class Offline:
    """One alert while a device is silent for longer than `after` seconds.

    `after` None is "auto": `factor` times the device's own cadence (the median of its last `gaps`
    gaps), never less than `floor`. A device is judged after `min_readings` readings.
    """

    __slots__ = ("after", "factor", "floor", "gaps", "min_readings", "name", "severity")

    def __init__(
        self,
        name: str = "offline",
        severity: str = "warning",
        after: float | None = None,
        min_readings: int = 4,
        floor: float = 60.0,
        factor: float = 3.0,
        gaps: int = 8,
    ) -> None:
        _check_name(name)
        _check_severity(severity)
        if min(floor if after is None else after, factor) <= 0 or min(gaps, min_readings) < 1:
            raise ValueError(f"{name}: durations, gaps and min_readings must be above 0")
        self.name: Final = name
        self.severity: Final = severity
        self.after: Final = after
        self.min_readings: Final = min_readings
        self.floor: Final = floor
        self.factor: Final = factor
        self.gaps: Final = gaps


class Rulebook:
    """The rules a device is judged by, in the order in which they are asked.

    `quiet` holds a band a metric: between its two values, both included, no rule has anything to
    say about the metric of a device without an open alert. Most readings end there.
    """

    __slots__ = ("metrics_named", "offline", "quiet", "ranges", "retire_after", "thresholds")

    def __init__(
        self,
        thresholds: Sequence[Threshold] = (),
        ranges: Sequence[Range] = (),
        offline: Offline | None = None,
        retire_after: float = 7 * DAY,
    ) -> None:
        self.thresholds: Final = tuple(thresholds)
        self.ranges: Final = tuple(ranges)
        self.offline: Final = offline
        self.retire_after: Final = retire_after
        self.quiet: Final = _quiet(self.thresholds, self.ranges)
        self.metrics_named: Final = frozenset(self.quiet)
        self._check()

    def _check(self) -> None:
        names = [rule.name for rule in self.thresholds] + [rule.name for rule in self.ranges]
        if self.offline is not None:
            names.append(self.offline.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name}: two rules have this name")
        if self.retire_after <= 0:
            raise ValueError("retire_after must be above 0")


def _quiet(
    thresholds: Sequence[Threshold], ranges: Sequence[Range]
) -> dict[str, tuple[float, float]]:
    bands: dict[str, tuple[float, float]] = {}
    for rule in thresholds:
        line = rule.levels[0].line
        low, high = (-float("inf"), line) if rule.above else (line, float("inf"))
        _narrow(bands, rule.metric, low, high)
    for fault in ranges:
        for bound in fault.bounds:
            _narrow(bands, bound.metric, bound.low, bound.high)
    return bands


def _narrow(bands: dict[str, tuple[float, float]], metric: str, low: float, high: float) -> None:
    old_low, old_high = bands.get(metric, (low, high))
    bands[metric] = (max(low, old_low), min(high, old_high))


def _check_name(name: str) -> None:
    # The bar parts device and rule in keys and ids.
    if not name or "|" in name:
        raise ValueError(f"{name!r} can't be the name of a rule")


def _check_severity(severity: str) -> None:
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} is not one of {', '.join(SEVERITIES)}")


DEFAULT: Final = Rulebook(
    thresholds=(
        Threshold("temperature-high", "temperature", "above", [Level("danger", 35.0, 33.0)]),
        Threshold("temperature-low", "temperature", "below", [Level("warning", 10.0, 12.0)]),
        Threshold("humidity-high", "humidity", "above", [Level("warning", 80.0, 75.0)]),
        Threshold("humidity-low", "humidity", "below", [Level("warning", 20.0, 25.0)]),
        Threshold(
            "battery", "battery", "below", [Level("warning", 20.0, 25.0), Level("danger", 5.0, 8.0)]
        ),
    ),
    ranges=(
        Range(
            "sensor-fault",
            "warning",
            [
                Bounds("temperature", -40.0, 85.0),
                Bounds("humidity", 0.0, 100.0),
                Bounds("battery", 0.0, 100.0),
            ],
        ),
    ),
    offline=Offline(),
)
