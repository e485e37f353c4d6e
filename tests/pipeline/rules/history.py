"""A history of one device in, the events it makes out: what the tests of the core share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pipeline.rules import DEFAULT, Device, Engine, Event, Level, Reading, Rulebook, Threshold
from pipeline.words import event_json

START = 1_795_341_600.0  # 2026-11-22T10:00:00Z
NO_GRACE = float("-inf")
NEVER = float("inf")
USUAL = {"temperature": 20.0}
LADDER = Rulebook(
    thresholds=[
        Threshold(
            "load",
            "load",
            "above",
            [Level("info", 60, 50), Level("warning", 70, 60), Level("danger", 80, 70)],
        )
    ]
)


class History:
    """One device and one engine; times are seconds after START."""

    def __init__(self, rulebook: Rulebook = DEFAULT) -> None:
        self.engine = Engine(rulebook)
        self.device = Device("greenhouse-7")
        self.events: list[Event] = []

    def reading(
        self,
        at: float,
        time: float | None = None,
        values: dict[str, float] | None = None,
        *,
        record_time: float | None = None,
        sequence: int | None = None,
        judged_from: float = NO_GRACE,
        **named: float,
    ) -> str:
        reading = Reading(
            self.device.id,
            None if time is None else START + time,
            START + (at if record_time is None else record_time),
            {metric: float(value) for metric, value in (values or named or USUAL).items()},
            sequence,
        )
        verdict, events = self.engine.reading(self.device, reading, START + at, judged_from)
        self.events += events
        return verdict

    def settle(self, at: float, judged_from: float = NO_GRACE) -> list[Event]:
        events = self.engine.settle(self.device, START + at, judged_from)
        self.events += events
        return events

    def due(self, judged_from: float = NO_GRACE) -> float:
        return self.engine.due(self.device, judged_from) - START

    @property
    def steps(self) -> list[str]:
        return [f"{event.rule} {event.event}" for event in self.events]


def after(seconds: float) -> float:
    return START + seconds


def play(metric: str, history: Iterable[tuple[float, float]], rulebook: Rulebook) -> list[Event]:
    """Events of one metric's readings, (seconds after START, value)."""
    told = History(rulebook)
    for at, value in history:
        told.reading(at, values={metric: value})
    return told.events


def wire(events: Iterable[Event]) -> list[dict[str, Any]]:
    return [json.loads(event_json(event)) for event in events]
