"""The port of a worker or a view of ours in; for how long its event loop was held out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.request import urlopen

BUCKET = re.compile(r'^smart_iot_loop_late_seconds_bucket\{le="(.+)"\} (.+)$', re.MULTILINE)

Looks = Mapping[float, float]
"""Lateness to how many looks have found that or less; the last one is of all."""


def looks(port: int) -> Looks:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = BUCKET.findall(answer.read().decode())
    return {float(edge): float(number) for edge, number in found}


def held_at_most(after: Looks, before: Looks | None = None) -> float:
    """Seconds; the upper edge of the last bucket that got any since."""
    since = {edge: number - (before or {}).get(edge, 0.0) for edge, number in after.items()}
    total = max(since.values())
    return next(edge for edge, number in since.items() if number == total)
