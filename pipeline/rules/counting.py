"""Devices' values in; counted into the window that they fall into, and what that closes, out.

A later window than the open one closes that. So does silence: who is offline says no more of it.
"""

from __future__ import annotations

from typing import Final

from pipeline.rules import window
from pipeline.rules.device import UNKNOWN, Device
from pipeline.rules.window import Closed, Window

NEVER: Final = float("inf")


class Counting:
    """`width`: seconds of a window. `lateness`: how long a closed one is kept, for the readings of
    it that are only late."""

    __slots__ = ("_closed", "_end", "_start", "lateness", "width")

    def __init__(self, width: float, lateness: float) -> None:
        self.width: Final = width
        self.lateness: Final = lateness
        self._closed: list[Closed] = []
        # of the window that was opened last: plain Python has the same two numbers then for most
        # devices, and finds them in the cache
        self._start = UNKNOWN
        self._end = UNKNOWN

    def count(self, device: Device, values: dict[str, float], time: float) -> None:
        if not device.window_start <= time < device.window_end:
            closed = device.windows
            if time < device.window_start or (closed and time < closed[-1].end):
                self._count_into_closed(device, values, time)
                return
            self.close(device)
            self._open(device, time)
        device.count(values, time)

    def close(self, device: Device, until: float = NEVER) -> None:
        """The open one, if it has ended by then."""
        if UNKNOWN < device.window_end <= until:
            closed = device.close_window()
            closed.revision = 1
            if device.windows is None:
                device.windows = []
            device.windows.append(closed)
            self._collect(device, closed)

    def take_closed(self) -> list[Closed]:
        """The windows closed since the last call, or closed again."""
        closed, self._closed = self._closed, []
        return closed

    def _open(self, device: Device, time: float) -> None:
        start = window.start_of(time, self.width)
        if start != self._start:
            self._start, self._end = start, start + self.width
        device.open_window(self._start, self._end)

    def _count_into_closed(self, device: Device, values: dict[str, float], time: float) -> None:
        if device.windows is None:
            device.windows = []
        self._collect(device, window.add(device.windows, values, time, self.width))

    def _collect(self, device: Device, closed: Window) -> None:
        self._closed += [Closed(device.id, closed, metric) for metric in closed.metrics()]
        if device.windows is not None:
            window.forget(device.windows, device.time - self.lateness)
