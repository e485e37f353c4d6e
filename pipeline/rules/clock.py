"""Record times and wall clock readings in, the time of a partition out.

A record time is a producer's claim, so the clock is a robust maximum and never one record's word.
Far behind the wall clock the partition is a replay: its time is the records' own. Once it has come
close it is live, and the silence of its devices is judged by the wall clock, which then vouches for
what has passed, though nobody sent for hours, and against what hasn't yet.

A jump of more than an hour is believed once three records have made it. Where a partition's few
devices send every hour or less often, each of their records would be one. So a pause that the three
themselves show, or that has been proved twice running, is the partition's stride, and another like
it is believed at once: until a record falls back behind it, or there was none for long.

No clock is read here. The object is mutated in place.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from pipeline.rules.version import refuse_newer

JUMP: Final = 3600.0  # seconds ahead of the clock that one record alone can't prove
WITNESSES: Final = 3  # records that prove it together, and records of a provisional clock
STRIDES: Final = 24  # pauses' length without one, after which they are the partition's no more
OUTAGE: Final = 60.0  # seconds without any record that are the pipeline's outage, not the devices'
UNKNOWN: Final = float("-inf")
VERSION: Final = 1


class PartitionClock:
    """`live` and `judged_from` survive a restart with the clock; `watching` starts anew."""

    __slots__ = (
        "_ahead", "_live_within", "_pause", "_paused_at", "_records", "_strides", "clock",
        "judged_from", "live", "watching",
    )  # fmt: skip

    def __init__(self, live_within: float = 60.0) -> None:
        self.clock = UNKNOWN
        self.live = False
        self.judged_from = UNKNOWN
        self.watching = False
        self._live_within = live_within
        self._records = 0
        self._ahead: list[float] = []
        self._pause = 0.0  # the last jump that was believed, in seconds,
        self._paused_at = UNKNOWN  # where it led,
        self._strides = False  # and whether such pauses are usual

    def see(self, record_time: float, wall: float) -> float:
        """The `at` of a record: the partition's clock once the record has been counted in."""
        before = self.clock
        if self._records < WITNESSES:
            self._provisional(record_time)
        elif self.live and record_time - wall > self._live_within:
            record_time = wall
        if record_time - self.clock > JUMP and not self._has_passed(record_time, wall):
            self._jump(record_time)
        else:
            if self._ahead:
                self._ahead.clear()
            if record_time > self.clock:
                self.clock = record_time
            elif self._strides and self.clock - record_time > JUMP:
                self._strides = False
        if abs(wall - self.clock) <= self._live_within:
            self._records = WITNESSES  # the wall clock is witness enough
        if not self.live:
            if wall - self.clock <= self._live_within:
                self.live = True
                self.judged_from = wall
        elif not self.watching and self.clock - before > OUTAGE:
            self.judged_from = self.clock
        return self.clock

    def resume(self) -> None:
        """The partition has just become ours: what follows is a backlog."""
        self.watching = False

    def caught_up(self, wall: float) -> None:
        """The backlog is read: from now on silence is the devices' own."""
        self.watching = True
        if self.live:
            self.judged_from = wall

    def join(self, other: PartitionClock) -> None:
        """That one's devices are in this partition now, and for none of them does time go back."""
        self.clock = max(self.clock, other.clock)
        self.live = self.live or other.live
        self.judged_from = max(self.judged_from, other.judged_from)
        self._records = max(self._records, other._records)
        self._strides = False  # usual in one of them, perhaps
        self._ahead.clear()

    def horizon(self, wall: float, at_end: bool) -> float:
        """Up to when a check may settle; -inf before the first record."""
        return wall if self.live and self.watching and at_end else self.clock

    def pack(self) -> list[Any]:
        return [
            VERSION, self.clock, self.live, self.judged_from, self._records, list(self._ahead),
            self._pause, self._paused_at, self._strides,
        ]  # fmt: skip

    @staticmethod
    def unpack(row: list[Any], live_within: float = 60.0) -> PartitionClock:
        refuse_newer("a partition's clock", row[0], VERSION)
        clock = PartitionClock(live_within)
        clock.clock = row[1]
        clock.live = row[2]
        clock.judged_from = row[3]
        clock._records = row[4]
        clock._ahead = list(row[5])
        if len(row) > 6:
            clock._pause, clock._paused_at, clock._strides = row[6:]
        return clock

    def _provisional(self, record_time: float) -> None:
        """Nothing vouches for the very first record: one far behind it takes its place."""
        self._records += 1
        if self.clock == UNKNOWN:
            self.clock = record_time
        elif self.clock - record_time > JUMP:
            self.clock = record_time
            # What a wrong clock made live isn't.
            self.live = False
            self.judged_from = UNKNOWN

    def _has_passed(self, record_time: float, wall: float) -> bool:
        """Whether the wall clock is witness enough. In a backlog, only for what is of now."""
        of_now = abs(wall - record_time) <= self._live_within
        return of_now or (self.live and self.watching and record_time <= wall)

    def _jump(self, record_time: float) -> None:
        pause = record_time - self.clock
        if self._strides and pause <= 2 * self._pause and self._since_pause() <= STRIDES:
            self._pass(record_time, pause, True)
            return
        self._ahead.append(record_time)
        if len(self._ahead) == WITNESSES:
            ahead, self._ahead = self._ahead, []
            self._believe(ahead)

    def _believe(self, ahead: list[float]) -> None:
        """The last of them, if they come as far apart as hours; else the smallest, and what is no
        jump from there."""
        steps = [to - since for since, to in pairwise(ahead)]
        if 2 * min(steps) > JUMP and max(steps) <= 2 * min(steps):
            self._pass(ahead[-1], max(steps), True)
            return
        pause = min(ahead) - self.clock
        alike = pause <= 2 * self._pause and self._pause <= 2 * pause
        self._pass(min(ahead), pause, alike and self._since_pause() < 1)
        for time in sorted(ahead):
            if time - self.clock <= JUMP:
                self.clock = time

    def _pass(self, time: float, pause: float, strides: bool) -> None:
        self.clock = self._paused_at = time
        self._pause = pause
        self._strides = strides

    def _since_pause(self) -> float:
        """In lengths of the last one."""
        return (self.clock - self._paused_at) / self._pause
