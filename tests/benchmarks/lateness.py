"""The port of a worker or a view of ours in; for how long its event loop was held out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.request import urlopen

BUCKET = re.compile(r'^smart_iot_loop_late_seconds_bucket\{le="(.+)"\} (.+)$', re.MULTILINE)

Looks = Mapping[float, float]
"""Lateness to how many looks have found that or less; the last one is of all."""


def looks(port: int) -> Looks:
    return {float(edge): float(number) for edge, number in BUCKET.findall(_metrics(port))}


def watching(port: int) -> bool:
    """Whether it has viewers."""
    return "\nsmart_iot_web_viewers 0.0\n" not in _metrics(port)


def _metrics(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
    return text


def held_at_most(after: Looks, before: Looks | None = None) -> float:
    """Seconds; the upper edge of the last bucket that got any since."""
    since = {edge: number - (before or {}).get(edge, 0.0) for edge, number in after.items()}
    total = max(since.values())
    return next(edge for edge, number in since.items() if number == total)
