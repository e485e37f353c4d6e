"""Readings and time in, alert events out: the core, standard library only, no clock and no I/O."""

from pipeline.rules.clock import PartitionClock
from pipeline.rules.device import Device
from pipeline.rules.engine import Engine, Reading, Refused
from pipeline.rules.lifecycle import Episode, Event
from pipeline.rules.rulebook import (
    DEFAULT,
    Bounds,
    Flatline,
    Level,
    Offline,
    Range,
    Rulebook,
    Threshold,
)

__all__ = [
    "DEFAULT",
    "Bounds",
    "Device",
    "Engine",
    "Episode",
    "Event",
    "Flatline",
    "Level",
    "Offline",
    "PartitionClock",
    "Range",
    "Reading",
    "Refused",
    "Rulebook",
    "Threshold",
]
