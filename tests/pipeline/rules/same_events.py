"""Some thousand readings and checks, drawn but always the same; what comes of them as lines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from operator import attrgetter

from pipeline.about import CORE
from pipeline.words import event_json
from tests.pipeline.rules.history import START
from tests.pipeline.rules.test_properties import Caller, Message

MESSAGES = 6_000
WINDOW = attrgetter(
    "device_id", "metric", "start", "seconds", "revision", "count", "mean", "min", "max", "last"
)


def lines() -> Iterator[str]:
    draw = random.Random(11)
    caller = Caller()
    at = START
    for offset in range(MESSAGES):
        message = drawn(draw)
        at += message.pause
        caller.take(offset, message, at)
        if draw.random() < 0.01:
            caller.restart()
    for told in caller.events.values():
        yield from (f"{event.event} {event_json(event).decode()}" for event in told)
    for engine in caller.engines.values():
        for closed in engine.take_closed():
            yield f"window {WINDOW(closed)}"
    for device in caller.devices.values():
        yield f"row {device.pack()}"


def drawn(draw: random.Random) -> Message:
    values = {
        metric: draw.choice([draw.uniform(-60, 100), draw.uniform(15, 40), 20.0])
        for metric in ("temperature", "humidity", "battery")
        if draw.random() < 0.8
    }
    pause = draw.choice([0.0, 0.3, 5.0, 10.0, 10.0, 30.0, 400.0, 9_000.0])
    skew = draw.choice([None, 0.0, 0.0, -20.0, -200.0, -4_000.0, 9e8])
    sequence = draw.choice([None, draw.randrange(4)])
    return Message(
        draw.choice("abc"), pause, skew, values, sequence, draw.random() < 0.02, draw.random() < 0.1
    )


def main() -> None:
    print(CORE, *lines(), sep="\n")
