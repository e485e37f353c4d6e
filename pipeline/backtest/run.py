"""Batches of what was recorded in; the events by one set of rules out, and what all comes to.

A second set of rules may judge the same readings beside the first, for a comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Final

from pipeline.backtest.comparison import Comparison
from pipeline.backtest.recording import Batch, Place, Reader, Record
from pipeline.backtest.replay import Replay
from pipeline.backtest.tally import Tally, named
from pipeline.records import Rejected
from pipeline.rules import Event, Reading, Refused, Rulebook

log = logging.getLogger(__name__)


class Backtest:
    """`take` every batch, `end` once; `tally` and `comparison` then say what it came to."""

    def __init__(
        self,
        rules: Rulebook,
        *,
        partitions: int,
        naive_timezone: tzinfo,
        others: Rulebook | None = None,
    ) -> None:
        self.replay: Final = Replay(rules, partitions)
        self.tally: Final = Tally()
        self.comparison: Final = None if others is None else Comparison()
        self._others: Final = None if others is None else Replay(others, partitions)
        self._reader: Final = Reader(rules.metrics_named, naive_timezone, self.replay.devices)

    def take(self, batch: Batch) -> list[Event]:
        events: list[Event] = []
        reader, tally, replay, others = self._reader, self.tally, self.replay, self._others
        verdicts = tally.verdicts
        for fields, place in zip(batch.objects, batch.places, strict=True):
            try:
                reading, refused = reader.read(fields, place)
            except Rejected as rejected:
                self._reject(rejected, place)
                continue
            before = len(events)
            try:
                verdicts[replay.reading(reading, events)] += 1
            except Exception as error:
                tally.reject(_reason(error, place), place)
            if refused:
                tally.refused.update(refused)
            if others is not None:
                self._compare(others, reading, events[before:])
        tally.note(events)
        return events

    def end(self) -> list[Event]:
        """What is due by the end of the recording."""
        events = self.replay.settle()
        self.tally.note(events)
        self.tally.ended_at = max(clock.clock for clock in self.replay.clocks)
        self.tally.devices = len(self.replay.devices)
        self.tally.disordered = self.replay.disordered
        if self.comparison is not None and self._others is not None:
            self.comparison.note(events, self._others.settle())
            self.comparison.end()
        return events

    def _reject(self, rejected: Rejected, place: Place) -> None:
        self.tally.reject(rejected.reason, place)
        self.tally.refused.update(rejected.refused)
        if isinstance(place, Record):
            for replay in (self.replay, self._others):
                if replay is not None:
                    replay.pass_time(place.partition, place.timestamp_ms / 1000)

    def _compare(self, others: Replay, reading: Reading, made: Sequence[Event]) -> None:
        theirs: list[Event] = []
        with suppress(Refused):  # by both
            others.reading(reading, theirs)
        if self.comparison is not None and (made or theirs):
            self.comparison.note(made, theirs)


def _reason(error: Exception, place: Place) -> str:
    if isinstance(error, Refused):
        return error.reason
    log.error("our core failed on %s", named(place), exc_info=error)
    return "core_error"
