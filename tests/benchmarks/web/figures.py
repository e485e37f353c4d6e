"""When events were sent and when viewers got them in; latencies and the number of missed out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Arrivals = Mapping[int, Sequence[float]]  # an event's number, and when each viewer got it


def figures(
    arrivals: Arrivals, since: Mapping[int, float], viewers: int, patience: float
) -> dict[str, Any]:
    """Milliseconds. Of an event's viewers the first, the median and the last one, and of those the
    median event; over all events and viewers the quantiles. Who comes later than the patience has
    missed it."""
    in_time = [
        sorted(late for at in arrivals.get(number, ()) if (late := at - start) <= patience)
        for number, start in since.items()
    ]
    got = [late for late in in_time if late]
    everyone = sorted(late for event in got for late in event)
    return {
        "first": _ms(median(event[0] for event in got)) if got else None,
        "median": _ms(median(event[len(event) // 2] for event in got)) if got else None,
        "last": _ms(median(event[-1] for event in got)) if got else None,
        "worst": _ms(max(event[-1] for event in got)) if got else None,
        "first_worst": _ms(max(event[0] for event in got)) if got else None,
        "p50": _ms(_quantile(everyone, 0.5)),
        "p99": _ms(_quantile(everyone, 0.99)),
        "delivered": len(everyone),
        "missed": len(since) * viewers - len(everyone),
    }


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
