"""Gaps between a device's readings in, how long it may be silent and when that ends out.

Only `at` counts here, never the device's own clock: what matters is when we heard of it.
"""

from __future__ import annotations

from array import array
from typing import Final, TypeAlias

from pipeline.rules.rulebook import Offline

Gaps: TypeAlias = "array[float]"  # seconds; a million devices have eight each

BURST: Final = 1.0  # seconds; readings closer than this come from one transmission
NEVER: Final = float("inf")


def in_order(gaps: Gaps, oldest: int) -> Gaps:
    """Of a ring, the oldest first."""
    return gaps[oldest:] + gaps[:oldest]


def cadence(gaps: Gaps) -> float:
    """The median; 0 where no gap is known."""
    if not gaps:
        return 0.0
    ordered = sorted(gaps)
    middle = len(ordered) >> 1
    if len(ordered) & 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2.0


def limit(rule: Offline, gaps: Gaps) -> float:
    """How long a device with these gaps may be silent."""
    if rule.after is not None:
        return rule.after
    return max(rule.floor, rule.factor * cadence(gaps))


def at_least(rule: Offline, gaps: Gaps) -> float:
    """The limit is no less; cheaper to ask for than that."""
    if rule.after is not None:
        return rule.after
    return max(rule.floor, rule.factor * min(gaps)) if gaps else rule.floor


def is_dense(rule: Offline, gaps: Gaps, since: float) -> bool:
    """Whether readings less than `BURST` apart, for so long now, are no burst but the cadence."""
    return since >= rule.floor and since >= limit(rule, gaps)


def judged_at(last_seen: float, limit: float, judged_from: float) -> float:
    """When silence can be called offline: it counts only from `judged_from`."""
    return max(last_seen, judged_from) + limit
