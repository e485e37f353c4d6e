"""What stands in a field of the rules file in, its value out.

What can't stand there is a `ValueError` whose text says what can.
A field is a function of this module. None of them knows which rule it is asked for. What is made of
several values, each with mistakes of its own, is in `parts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from pipeline.rules.rulebook import SEVERITIES, VIEWS

Field = Callable[[Any], Any]

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
SHORTEST: Final = 1.0  # seconds; nothing is looked at more often
LONGEST: Final = 3_650 * UNITS["d"]
MOST: Final = 1_000_000  # readings
SHORTEST_REMINDER: Final = 60.0  # seconds; a silent device is reminded of all at once
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_METRIC: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)


def number(given: Any) -> float:
    try:
        if not isinstance(given, bool) and isinstance(given, int | float) and isfinite(given):
            return float(given)
    except OverflowError:
        pass
    raise ValueError("a number")


def whole(given: Any, least: int = 1) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= MOST:
        raise ValueError(f"a whole number from {least} to {MOST}")
    return given


def several(given: Any) -> int:
    return whole(given, 2)


def switch(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError("true or false")
    return given


def duration(given: Any) -> float:
    found = _DURATION.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError('a duration such as "90s", "5m", "1h" or "7d"')
    seconds = float(found[1]) * UNITS[found[2]]
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError('a duration from "1s" to "3650d"')
    return seconds


def reminder(given: Any) -> float:
    if (seconds := duration(given)) < SHORTEST_REMINDER:
        raise ValueError('a duration from "1m"')
    return seconds


def after(given: Any) -> float | None:
    try:
        return None if given == "auto" else duration(given)
    except ValueError as error:
        raise ValueError(f'"auto" or {error}') from None


def metric(given: Any) -> str:
    if not isinstance(given, str) or not _METRIC.fullmatch(given):
        raise ValueError("the name of a metric: letters, digits and _")
    return given


def severity(given: Any) -> str:
    return _one_of(given, SEVERITIES)


def view(given: Any) -> str:
    return _one_of(given, VIEWS)


def words(given: Any) -> list[str]:
    """One word or a list of them."""
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not several:
        raise ValueError("a text or a list of texts")
    if not all(isinstance(one, str) and one for one in several):
        raise ValueError("a text or a list of texts")
    return several


def pair(given: Any) -> tuple[float, float]:
    try:
        low, high = [number(one) for one in given] if isinstance(given, list) else []
    except ValueError:
        raise ValueError("its lowest and highest value, such as [0, 100]") from None
    if low >= high:
        raise ValueError("a lowest value below the highest, such as [0, 100]")
    return low, high


def _one_of(given: Any, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        raise ValueError(", ".join(allowed))
    return str(given)
