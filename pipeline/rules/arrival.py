"""A reading's claimed time in; whether it speaks of now, by a wrong clock or not, or of then.

Whatever is claimed beside the record's time, within the skew, is believed. What lies far ahead is a
wrong clock. What lies far behind is a wrong clock too, or the upload of what was measured then;
they differ in how the lateness goes on:

    wrong clock   claims 04:00:00  04:00:10  04:00:20     the claims pass as time does: now
                  comes  10:00:00  10:00:10  10:00:20
    upload        claims 04:00:00  04:00:10  04:00:20     they pass faster: then
                  comes  10:00:00  10:00:00  10:00:00

A device whose clock was right is given three readings to show which it is; they are stored, and
not judged as now. Of one that was never right, a wrong clock is the likelier.
"""

from __future__ import annotations

from typing import Any, Final

WITNESSES: Final = 3


class Lag:
    """A run of claims far from their arrival: since when, and how many. `offset` is what has been
    learned of the clock, in seconds behind; None while it may be an upload."""

    __slots__ = ("beside", "count", "offset", "time")

    def __init__(self, time: float, beside: float, offset: float | None) -> None:
        self.time = time
        self.beside = beside
        self.offset = offset
        self.count = 1

    def pack(self) -> list[Any]:
        return [self.time, self.beside, self.offset, self.count]

    @staticmethod
    def unpack(row: list[Any]) -> Lag:
        lag = Lag(row[0], row[1], row[2])
        lag.count = row[3]
        return lag

    def goes_on(self, time: float, beside: float, skew: float) -> bool:
        """Whether the clock is still as wrong as it was. A slow drift is followed."""
        if self.offset is None or abs(beside - time - self.offset) > skew:
            return False
        if beside - self.beside > skew:
            self.time, self.beside, self.offset = time, beside, beside - time
        return True

    def is_steady(self, time: float, beside: float) -> bool:
        """One more claim of the run: whether they pass as time does, or not at all."""
        self.count += 1
        claimed, passed = time - self.time, beside - self.beside
        alike = claimed == 0 or 0.5 * passed <= claimed <= 2 * passed
        return self.count >= WITNESSES and passed > 0 and alike

    def is_broken_by(self, time: float, beside: float) -> bool:
        """An older claim than the first, or a pause: what came before says nothing of this."""
        claimed, passed = time - self.time, beside - self.beside
        return claimed < 0 or 0 < claimed < 0.5 * passed


def near(lag: Lag, time: float, beside: float, skew: float) -> Lag | None:
    """A claim that would be believed, after some that weren't. At the edge of the skew it is of the
    same clock; only well within has that been put right."""
    if abs(beside - time) <= skew / 2:
        return None
    return far(lag, True, time, beside, skew)[0]


def far(
    lag: Lag | None, trusted: bool, time: float, beside: float, skew: float
) -> tuple[Lag | None, bool]:
    """What is known of the clock after a claim far from `beside`, and whether it speaks of then."""
    late = beside - time
    if lag is not None and lag.goes_on(time, beside, skew):
        return lag, False
    if late < 0 or (lag is None and not trusted):
        return Lag(time, beside, late), False
    if lag is None or lag.offset is not None or lag.is_broken_by(time, beside):
        return Lag(time, beside, None), True
    if lag.is_steady(time, beside):
        return Lag(time, beside, late), False
    return lag, True
