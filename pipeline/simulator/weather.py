"""A place and a time in, what an untroubled device measures there out: day curves with noise.

Every curve stays between the clear lines of the default rules: only trouble makes an alert.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final, NamedTuple

DAY: Final = 86_400.0
WARMEST: Final = 15 * 3600.0  # seconds after midnight
BATTERY, CHARGE = 80.0, 10.0  # %: a solar cell fills by day what the night has taken
NOISE: Final = {"temperature": 0.3, "humidity": 1.0, "battery": 0.4}  # at the most, either way
DIGITS: Final = {"temperature": 1, "humidity": 1, "battery": None}


class Place(NamedTuple):
    """Means (°C, %RH) and how far a day leads away from them."""

    name: str
    temperature: float
    warming: float
    humidity: float
    drying: float


PLACES: Final = (
    Place("greenhouse", 24.0, 5.0, 58.0, 9.0),
    Place("cellar", 16.0, 1.0, 64.0, 3.0),
    Place("barn", 19.0, 4.0, 55.0, 8.0),
    Place("attic", 24.0, 6.0, 42.0, 8.0),
    Place("silo", 20.0, 3.0, 48.0, 6.0),
)


class Weather:
    """One device's: its place's, with a phase, offsets and noise of its own."""

    def __init__(self, place: Place, draw: Random) -> None:
        self._place = place
        self._draw = draw
        self._phase = draw.uniform(-5400.0, 5400.0)
        self._warmer = draw.uniform(-1.0, 1.0)
        self._wetter = draw.uniform(-3.0, 3.0)
        self._fuller = draw.uniform(-5.0, 5.0)

    def values(self, at: float) -> dict[str, float]:
        sun = math.cos(2 * math.pi * (at + self._phase - WARMEST) / DAY)
        place = self._place
        curves = {
            "temperature": place.temperature + self._warmer + place.warming * sun,
            "humidity": place.humidity + self._wetter - place.drying * sun,
            "battery": BATTERY + self._fuller + CHARGE * sun,
        }
        return {metric: measured(metric, value, self._draw) for metric, value in curves.items()}


def measured(metric: str, value: float, draw: Random) -> float:
    """What its sensor says: with noise, and in its digits."""
    return round(value + NOISE[metric] * _bell(draw), DIGITS[metric])


def _bell(draw: Random) -> float:
    """-1 to 1, mostly near 0; bounded, so that noise alone never crosses a line."""
    return (draw.random() + draw.random() + draw.random() - 1.5) / 1.5
