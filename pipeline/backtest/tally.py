"""Events, verdicts and rejections in; what they come to, in lines of text, out."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from pipeline.backtest.recording import Place, Record
from pipeline.backtest.replay import DISORDER
from pipeline.records import iso
from pipeline.rules import Event

NOISIEST = 10  # devices that are shown
UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (0.0, "s"))
NEVER = float("-inf")


class Tally:
    """Counts alone, and eight bytes for each alert that is over."""

    def __init__(self) -> None:
        self.verdicts: dict[str, int] = dict.fromkeys(("judged", "late", "backfill", "repeat"), 0)
        self.refused: Counter[str] = Counter()
        self.rejected: dict[str, tuple[int, Place]] = {}
        self.fired: dict[str, Counter[str]] = defaultdict(Counter)  # device to rule to alerts
        self.lasted: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self.devices = 0
        self.disordered = 0
        self.ended_at = NEVER

    def note(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.event == "fired":
                self.fired[event.device_id][event.rule] += 1
            elif event.resolved_at is not None:
                self.lasted[event.rule].append(event.resolved_at - event.started_at)

    def reject(self, reason: str, place: Place) -> None:
        count, first = self.rejected.get(reason, (0, place))
        self.rejected[reason] = (count + 1, first)

    # -- what it comes to

    def lines(self) -> Iterator[str]:
        yield from self._readings()
        yield from self._rejections()
        fired = sum((rules for rules in self.fired.values()), Counter[str]())
        still_open = fired.total() - sum(map(len, self.lasted.values()))
        alerts, devices = counted(fired.total(), "alert"), counted(len(self.fired), "device")
        yield f"{alerts} of {devices}, {still_open} still open"
        if fired:
            yield ""
            yield from table(self._rules(fired))
            yield ""
            yield from table(self._noisiest())

    def _readings(self) -> Iterator[str]:
        until = "" if self.ended_at == NEVER else f" until {iso(self.ended_at)}"
        readings = counted(sum(self.verdicts.values()), "reading")
        yield f"{readings} of {counted(self.devices, 'device')}{until}"
        yield "  " + ", ".join(f"{verdict} {count}" for verdict, count in self.verdicts.items())
        if self.disordered:
            yield (
                f"  {self.disordered} arrived more than {span(DISORDER)} before what stands above "
                "them: lines are taken in the order in which they stand, so sort them by arrival"
            )

    def _rejections(self) -> Iterator[str]:
        if self.rejected:
            yield f"{sum(count for count, _ in self.rejected.values())} rejected"
            found = sorted(self.rejected.items(), key=lambda item: -item[1][0])
            rows = [(f"  {reason}", count, f"first: {named(at)}") for reason, (count, at) in found]
            yield from table(rows)
        if self.refused:
            values = ", ".join(f"{reason} {count}" for reason, count in self.refused.most_common())
            yield f"{counted(self.refused.total(), 'value')} left out: {values}"

    def _rules(self, fired: Counter[str]) -> Iterator[Sequence[object]]:
        yield ("rule", "alerts", "devices", "open", "median", "longest")
        for rule, count in fired.most_common():
            lasted = self.lasted.get(rule, array("d"))
            devices = sum(1 for rules in self.fired.values() if rule in rules)
            spans = (span(median(lasted)), span(max(lasted))) if lasted else ("", "")
            yield (rule, count, devices, count - len(lasted), *spans)

    def _noisiest(self) -> Iterator[Sequence[object]]:
        yield ("noisiest device", "alerts", "")
        ranked = Counter({device: rules.total() for device, rules in self.fired.items()})
        for device, count in ranked.most_common(NOISIEST):
            rules = self.fired[device].most_common()
            yield (device, count, ", ".join(f"{rule} {number}" for rule, number in rules))


def named(place: Place) -> str:
    return str(place) if isinstance(place, Record) else f"line {place}"


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def span(seconds: float) -> str:
    """A duration in a unit that suits it."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size)
    return f"{seconds / (size or 1):.4g} {unit}"


def table(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Rows of the same length, in columns; numbers to the right."""
    cells = [[(str(cell), isinstance(cell, int)) for cell in row] for row in rows]
    widths = [max(len(text) for text, _ in column) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [
            text.rjust(width) if right else text.ljust(width)
            for (text, right), width in zip(row, widths, strict=True)
        ]
        yield "  ".join(aligned).rstrip()
