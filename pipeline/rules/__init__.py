"""Readings and time in, alert events out: the core, standard library only, no clock and no I/O."""

from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device, Engine, Reading, Refused
from pipeline.rules.lifecycle import Episode, Event
from pipeline.rules.rulebook import DEFAULT, Bounds, Level, Offline, Range, Rulebook, Threshold

__all__ = [
    "DEFAULT",
    "Bounds",
    "Device",
    "Engine",
    "Episode",
    "Event",
    "Level",
    "Offline",
    "PartitionClock",
    "Range",
    "Reading",
    "Refused",
    "Rulebook",
    "Threshold",
]
