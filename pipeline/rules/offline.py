"""Gaps between a device's readings in, how long it may be silent and when that ends out.

Only `at` counts here, never the device's own clock: what matters is when we heard of it.
"""

from __future__ import annotations

from typing import Final

from pipeline.rules.rulebook import Offline

BURST: Final = 1.0  # seconds; readings closer than this come from one transmission
NEVER: Final = float("inf")


def learn(gaps: list[float], gap: float, keep: int) -> float:
    """Remember a gap, forget the oldest beyond `keep`, and return the new cadence."""
    gaps.append(gap)
    if len(gaps) > keep:
        del gaps[: len(gaps) - keep]
    return median(gaps)


def median(gaps: list[float]) -> float:
    """0 where no gap is known."""
    if not gaps:
        return 0.0
    ordered = sorted(gaps)
    middle = len(ordered) >> 1
    if len(ordered) & 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2.0


def limit(rule: Offline, cadence: float) -> float:
    """How long a device of this cadence may be silent."""
    if rule.after is not None:
        return rule.after
    return max(rule.floor, rule.factor * cadence)


def shortest_limit(rule: Offline) -> float:
    return rule.floor if rule.after is None else rule.after


def judged_at(last_seen: float, limit: float, judged_from: float) -> float:
    """When silence can be called offline: it counts only from `judged_from`."""
    return max(last_seen, judged_from) + limit
