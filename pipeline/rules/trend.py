"""A metric's values in, what those of the last while come to out: for rules `of` something.

The while is kept in twelve slices, so that it slides, in a state whose size doesn't depend on how
often a device sends: a slice is [start, count, sum, min, max, first, last, time of the last].
"""

from __future__ import annotations

from math import fsum
from typing import Final

from pipeline.rules.rulebook import Threshold

SLICES: Final = 12
MOST: Final = 1 + SLICES + 1  # with the first; rounding can leave one more

Slices = list[list[float]]  # the first is [when the first value came]; the rest by start


def add(rule: Threshold, slices: Slices, value: float, time: float) -> None:
    """A late value falls into its own slice, if that is still there."""
    if not slices:
        slices.append([time])
    width = rule.over / SLICES
    start = time // width * width
    at = len(slices)
    while at > 1 and slices[at - 1][0] > start:
        at -= 1
    if at > 1 and slices[at - 1][0] == start:
        _count_in(slices[at - 1], value, time)
    else:
        slices.insert(at, [start, 1.0, value, value, value, value, value, time])
    while len(slices) > 2 and slices[1][0] <= slices[-1][7] - rule.over:
        del slices[1]
    if len(slices) > MOST:  # of a while so short or long that its slices can't be told apart
        del slices[1]


def _count_in(cell: list[float], value: float, time: float) -> None:
    cell[1] += 1.0
    cell[2] += value
    cell[3] = min(cell[3], value)
    cell[4] = max(cell[4], value)
    if time >= cell[7]:
        cell[6] = value
        cell[7] = time


def value_of(rule: Threshold, slices: Slices, judged: float) -> float | None:
    """What the while up to `judged` comes to; None while a count would be of less than a while."""
    cells = slices[1:]
    if rule.of == "count":
        whole = judged - slices[0][0] >= rule.over
        return fsum(cell[1] for cell in cells) if whole else None
    if rule.of == "mean":
        return fsum(cell[2] for cell in cells) / fsum(cell[1] for cell in cells)
    if rule.of == "min":
        return min(cell[3] for cell in cells)
    if rule.of == "max":
        return max(cell[4] for cell in cells)
    if rule.of == "last":
        return cells[-1][6]
    return cells[-1][6] - cells[0][5]
