"""A fleet's made-up history: values that wander over every line, devices that fall silent."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.proof.kafka import Sent

STEP = 10.0  # seconds between two readings of a device
SILENT_STEPS = 20  # a device of five falls silent for so long, again and again


def wandering(seed: int, readings: int, start: float, devices: int = 120) -> Iterator[Sent]:
    """`readings` readings in order of time, from `start` (s) on; the same for the same seed."""
    draw = random.Random(seed)
    value = dict.fromkeys(range(devices), 25.0)
    sent = step = 0
    while True:
        step += 1
        for device in range(devices):
            if device % 5 == 0 and (step // SILENT_STEPS) % 7 == device % 7:
                continue
            value[device] = max(5.0, min(45.0, value[device] + draw.uniform(-4, 4)))
            fields = {
                "temperature": round(value[device], 1),
                "battery": draw.choice([50, 50, 50, 22, 15, 3]),
                "humidity": draw.choice([50, 50, 50, 50, 82, 655.35]),
            }
            yield Sent(f"house-{device}", fields, start + step * STEP + device * 0.01)
            sent += 1
            if sent >= readings:
                return
