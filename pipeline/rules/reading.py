"""What a device says, as whoever reads a record hands it in; and why it can be refused.

Nothing here knows of a device's state.
"""

from __future__ import annotations

import zlib

from mypy_extensions import mypyc_attr


class Refused(Exception):
    """The reading can't be applied to its device, which is unchanged; `reason` is for counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@mypyc_attr(acyclic=True)
class Reading:
    """What a device says. `time` is its own claim, `record_time` that of whoever produced it."""

    __slots__ = ("device_id", "record_time", "sequence", "time", "values")

    def __init__(
        self,
        device_id: str,
        time: float | None,
        record_time: float,
        values: dict[str, float],
        sequence: int | None = None,
    ) -> None:
        self.device_id = device_id
        self.time = time
        self.record_time = record_time
        self.values = values
        self.sequence = sequence

    def fingerprint(self) -> int:
        """Sequence, time and values in 63 bits, the same on every worker and in every run."""
        text = f"{self.time}|{sorted(self.values.items())}"
        sequence = self.sequence or 0
        return (sequence & 0x7FFFFFFF) << 32 | zlib.crc32(text.encode())
