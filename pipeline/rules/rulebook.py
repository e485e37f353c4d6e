"""Numbers and names in, rules out: what counts as too hot, impossible or silent.

Rules are only read once they are made. A wrong one is refused here, in words, so that nothing
below has to ask.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any, Final

SEVERITIES: Final = ("info", "warning", "danger")
VIEWS: Final = ("value", "mean", "min", "max", "count", "last", "change")
DAY: Final = 86_400.0
LONGEST_NAME: Final = 64
FLOOR: Final = 60.0  # seconds; no device is silent sooner, where the rule learns how often it sends


class Level:
    """One step of a ladder: beyond `line` it holds, and it is left beyond `clear`."""

    __slots__ = ("clear", "line", "severity")

    def __init__(self, severity: str, line: float, clear: float) -> None:
        _check_severity(severity)
        self.severity: Final = severity
        self.line: Final = float(line)
        self.clear: Final = float(clear)


class Threshold:
    """One alert while a metric is beyond a line; its levels go from the mildest to the worst.

    `hold` seconds and `repeat` readings in a row must be beyond a line before its level is taken,
    `keep` seconds must have passed since the value was normal again, `remind` seconds lie between
    two reminders (0: none). `of` is what is compared: the value itself, or what the readings of the
    last `over` seconds come to (`change` is the newest less the oldest).
    """

    kind: Final = "threshold"
    __slots__ = (
        "above", "hash", "hold", "immediate", "keep", "levels", "metric", "name", "of", "over",
        "remind", "repeat",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        metric: str,
        direction: str,
        levels: Sequence[Level],
        *,
        hold: float = 0.0,
        repeat: int = 1,
        keep: float = 0.0,
        remind: float = 0.0,
        of: str = "value",
        over: float = 0.0,
    ) -> None:
        _check_name(name)
        if direction not in ("above", "below"):
            raise ValueError(f"{name}: direction {direction} is neither above nor below")
        self.name: Final = name
        self.metric: Final = metric
        self.above: Final = direction == "above"
        self.levels: Final = tuple(levels)
        self.hold: Final = float(hold)
        self.repeat: Final = repeat
        self.keep: Final = float(keep)
        self.remind: Final = float(remind)
        self.of: Final = of
        self.over: Final = float(over)
        self.immediate: Final = hold <= 0 and repeat <= 1
        self._check()
        self.hash: Final = _hash(self.spec())

    def spec(self) -> tuple[Any, ...]:
        """All that tells this rule from another."""
        levels = tuple((level.severity, level.line, level.clear) for level in self.levels)
        how = (self.hold, self.repeat, self.keep, self.remind, self.of, self.over)
        return ("threshold", self.name, self.metric, self.above, levels, *how)

    def beyond(self, value: float, line: float) -> bool:
        """Strictly: a value on the line is not beyond it."""
        return value > line if self.above else value < line

    def cleared(self, value: float, clear: float) -> bool:
        return value < clear if self.above else value > clear

    def _check(self) -> None:
        if not self.levels:
            raise ValueError(f"{self.name}: no level")
        if self.of not in VIEWS:
            raise ValueError(f"{self.name}: of {self.of} is not one of {', '.join(VIEWS)}")
        if (self.of == "value") != (self.over == 0.0):
            raise ValueError(f"{self.name}: of and over go together")
        if min(self.hold, self.keep, self.remind, self.over) < 0 or self.repeat < 1:
            raise ValueError(f"{self.name}: durations can't be below 0, nor repeat below 1")
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

    kind: Final = "range"
    __slots__ = ("bounds", "hash", "name", "remind", "severity")

    def __init__(
        self, name: str, severity: str, bounds: Sequence[Bounds], *, remind: float = 0.0
    ) -> None:
        _check_name(name)
        _check_severity(severity)
        if len({bound.metric for bound in bounds}) != len(bounds):
            raise ValueError(f"{name}: a metric has two ranges")
        self.name: Final = name
        self.severity: Final = severity
        self.bounds: Final = tuple(bounds)
        self.remind: Final = float(remind)
        self.hash: Final = _hash(self.spec())

    def spec(self) -> tuple[Any, ...]:
        bounds = tuple((bound.metric, bound.low, bound.high) for bound in self.bounds)
        return ("range", self.name, self.severity, bounds, self.remind)


class Flatline:
    """One alert while all of these metrics have been the very same for `hold` seconds and `repeat`
    readings: a sensor that is stuck. `subject` is a number that tells its metrics from others."""

    kind: Final = "flatline"
    __slots__ = ("hash", "hold", "metrics", "name", "remind", "repeat", "severity", "subject")

    def __init__(
        self,
        name: str,
        severity: str,
        metrics: Sequence[str],
        *,
        hold: float = 21_600.0,
        repeat: int = 30,
        remind: float = 0.0,
    ) -> None:
        _check_name(name)
        _check_severity(severity)
        if not metrics or len(set(metrics)) != len(metrics):
            raise ValueError(f"{name}: metrics must name at least one, and none twice")
        if hold < 0 or remind < 0 or repeat < 2:
            raise ValueError(f"{name}: durations can't be below 0, nor repeat below 2")
        self.name: Final = name
        self.severity: Final = severity
        self.metrics: Final = tuple(metrics)
        self.subject: Final = float(_hash(self.metrics))
        self.hold: Final = float(hold)
        self.repeat: Final = repeat
        self.remind: Final = float(remind)
        self.hash: Final = _hash(self.spec())

    def spec(self) -> tuple[Any, ...]:
        how = (self.hold, self.repeat, self.remind)
        return ("flatline", self.name, self.severity, self.metrics, *how)


class Offline:
    """One alert while a device is silent for longer than `after` seconds.

    `after` None is "auto": `factor` times the device's own cadence (the median of its last `gaps`
    gaps), never less than `floor`. A device is judged after `min_readings` readings. After
    `danger_after` seconds of silence (0: never) it is danger.
    """

    kind: Final = "offline"
    __slots__ = (
        "after", "danger_after", "factor", "floor", "gaps", "hash", "min_readings", "name",
        "remind", "severity",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "offline",
        severity: str = "warning",
        after: float | None = None,
        min_readings: int = 4,
        floor: float = FLOOR,
        factor: float = 3.0,
        gaps: int = 8,
        *,
        danger_after: float = 0.0,
        remind: float = 0.0,
    ) -> None:
        _check_name(name)
        _check_severity(severity)
        if min(floor if after is None else after, factor) <= 0 or min(gaps, min_readings) < 1:
            raise ValueError(f"{name}: durations, gaps and min_readings must be above 0")
        if danger_after and (severity == "danger" or danger_after <= (after or floor)):
            raise ValueError(f"{name}: danger_after must come after a milder level")
        self.name: Final = name
        self.severity: Final = severity
        self.after: Final = after
        self.min_readings: Final = min_readings
        self.floor: Final = floor
        self.factor: Final = factor
        self.gaps: Final = gaps
        self.danger_after: Final = float(danger_after)
        self.remind: Final = float(remind)
        self.hash: Final = _hash(self.spec())

    def spec(self) -> tuple[Any, ...]:
        learning = (self.min_readings, self.floor, self.factor, self.gaps)
        after = (self.severity, self.after, self.danger_after)
        return ("offline", self.name, *after, *learning, self.remind)


class Band:
    """From `low` to `high`, both included; it may be empty."""

    __slots__ = ("high", "low")

    def __init__(self) -> None:
        self.low = -float("inf")
        self.high = float("inf")

    def narrow(self, low: float, high: float) -> None:
        self.low = max(self.low, low)
        self.high = min(self.high, high)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


ANY: Final = Band()  # of a metric that no rule is about


class Rulebook:
    """The rules a device is judged by, in the order in which they are asked.

    `quiet` holds a band a metric: within it no rule has anything to
    say about the metric of a device without an open alert. Most readings end there. `restless`
    rules have to see every reading. `root` is the book whose page this is (`of`), `offline_name`
    what the rule of silence is called, if any device has one.
    """

    __slots__ = (
        "flatlines", "hashes", "metrics_named", "named", "offline", "offline_name", "quiet",
        "ranges", "restless", "retire_after", "root", "shortest", "thresholds", "windowed",
    )  # fmt: skip

    def __init__(
        self,
        thresholds: Sequence[Threshold] = (),
        ranges: Sequence[Range] = (),
        offline: Offline | None = None,
        retire_after: float = 7 * DAY,
        flatlines: Sequence[Flatline] = (),
    ) -> None:
        self.thresholds: Final = tuple(thresholds)
        self.flatlines: Final = tuple(flatlines)
        self.windowed: Final = tuple(rule for rule in self.thresholds if rule.over)
        self.restless: Final = bool(self.windowed or self.flatlines)
        self.ranges: Final = tuple(ranges)
        self.offline: Final = offline
        self.offline_name = "" if offline is None else offline.name
        self.retire_after: Final = retire_after
        self.quiet: Final = _quiet(self.thresholds, self.ranges)
        frozen = [metric for rule in self.flatlines for metric in rule.metrics]
        windowed = [rule.metric for rule in self.windowed]
        self.metrics_named = frozenset([*self.quiet, *frozen, *windowed])
        self.named: Final = {rule.name: rule for rule in self.rules()}
        self.hashes: Final = tuple(rule.hash for rule in self.rules())
        self.shortest = _shortest(offline, self.retire_after)
        self.root: Rulebook = self
        self._check()

    def rules(self) -> list[Threshold | Range | Flatline | Offline]:
        """All of them, in the order in which they are asked."""
        last = [] if self.offline is None else [self.offline]
        return [*self.ranges, *self.flatlines, *self.thresholds, *last]

    def of(self, device_id: str) -> Rulebook:
        """The rules of one device."""
        return self

    def spec(self) -> tuple[Any, ...]:
        """All that tells this book from another."""
        return (self.retire_after, *(rule.spec() for rule in self.rules()))

    def fingerprint(self) -> str:
        """The same for the same rules, in every process."""
        return hashlib.sha256(repr(self.spec()).encode()).hexdigest()[:12]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rulebook) or self.retire_after != other.retire_after:
            return False
        mine, others = self.rules(), other.rules()
        return [rule.spec() for rule in mine] == [rule.spec() for rule in others]

    __hash__ = None  # type: ignore[assignment]

    def _check(self) -> None:
        names = [rule.name for rule in self.rules()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name}: two rules have this name")
        if self.retire_after <= 0:
            raise ValueError("retire_after must be above 0")


def _shortest(offline: Offline | None, retire_after: float) -> float:
    """No device has anything due sooner than this after its last reading, reminders apart."""
    if offline is None:
        return retire_after
    return min(offline.floor if offline.after is None else offline.after, retire_after)


def _hash(spec: tuple[Any, ...]) -> int:
    """The same in every process, which Python's own isn't."""
    return zlib.crc32(repr(spec).encode())


def _quiet(thresholds: Sequence[Threshold], ranges: Sequence[Range]) -> dict[str, Band]:
    bands: dict[str, Band] = {}
    for rule in thresholds:
        if rule.over:
            continue  # no value of one reading tells
        line = rule.levels[0].line
        band = bands.setdefault(rule.metric, Band())
        if rule.above:
            band.narrow(-float("inf"), line)
        else:
            band.narrow(line, float("inf"))
    for fault in ranges:
        for bound in fault.bounds:
            bands.setdefault(bound.metric, Band()).narrow(bound.low, bound.high)
    return bands


def _check_name(name: str) -> None:
    # The bar parts device and rule in keys and ids.
    if not name or "|" in name or len(name) > LONGEST_NAME:
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
