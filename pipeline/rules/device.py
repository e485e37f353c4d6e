"""What is remembered of a device, and its row: plain values in, plain values out."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from mypy_extensions import mypyc_attr

from pipeline.rules import offline
from pipeline.rules.arrival import Lag
from pipeline.rules.lifecycle import Alerts, Episode
from pipeline.rules.metric import ABSENT, NONE_MET, Metric
from pipeline.rules.rulebook import ANY, Band, Offline, Rulebook
from pipeline.rules.trend import Slices
from pipeline.rules.version import refuse_newer
from pipeline.rules.window import NO_CELL, Window

UNKNOWN: Final = float("-inf")
RETIRED: Final = UNKNOWN  # the patience of a device that nobody waits for
PAGES: Final = 100  # of rules, as devices or groups have them, whose hashes are shared
VERSION: Final = 2  # 1 knew nothing of rules; with it `pipeline.rows.VERSION` rises


@mypyc_attr(acyclic=True)
class Device:
    """What is remembered of a device; two are equal if they remember the same.

    `last_seen` is an `at`, `time` the newest judged time (both -inf before the first reading).
    `metrics` hold, in the places of the `layout`, the newest values, and the numbers of the open
    window, which goes from `window_start` to before `window_end`; `windows` are the closed ones.
    `alerts` is None until the first one is fired: most devices of a million never do. A `retired`
    device remembers nothing but its last starts, and its row can be deleted.

    `gaps` are those between its newest readings, in a ring in which the oldest has its place.
    `hashes` are those of the rules it was last judged by (None: of a time without). `page` is where
    they stand, and after a silence shorter than `patience` nothing is due by it, reminders apart
    (a retired device has none until it sends again); neither is stored. `lag` is what is known of a
    clock that isn't right, `trusted` whether it ever was. `dense_since` is when readings began to
    come in less than a second each.
    """

    __slots__ = (
        "alerts", "dense_since", "gaps", "hashes", "id", "lag", "last_seen", "layout", "metrics",
        "oldest", "page", "patience", "readings", "recent", "slices", "time", "trusted",
        "window_end", "window_start", "windows",
    )  # fmt: skip

    def __init__(self, device_id: str) -> None:
        self.id: Final = device_id
        self.alerts: Alerts | None = None
        self.hashes: tuple[int, ...] | None = ()
        self.page: Rulebook | None = None
        self.patience = 0.0
        self.forget()

    def forget(self) -> None:
        self.last_seen = UNKNOWN
        self.dense_since = UNKNOWN
        self.time = UNKNOWN
        self.readings = 0
        self.layout = NONE_MET
        self.metrics: tuple[Metric, ...] = ()
        self.window_start = UNKNOWN
        self.window_end = UNKNOWN
        self.gaps: offline.Gaps = array("d")
        self.oldest = 0
        self.recent: list[int] | None = None
        self.lag: Lag | None = None
        self.trusted = False
        self.windows: list[Window] | None = None
        self.slices: dict[str, Slices] | None = None

    @property
    def retired(self) -> bool:
        return self.patience == RETIRED

    @property
    def values(self) -> dict[str, float]:
        """The newest value of each metric."""
        return {
            name: metric.value
            for name, metric in self._named()
            if metric.value == metric.value  # not ABSENT
        }

    def heed(self, page: Rulebook) -> None:
        """These are its rules from now on."""
        self.page = page
        self.hashes = page.hashes  # the same object for all of a page
        if not self.retired:
            self.grow_patient(page)
        for name, metric in self._named():
            metric.heed(self._band(name))

    def grow_patient(self, page: Rulebook) -> None:
        """As patient as its page lets it be."""
        self.patience = page.retire_after
        if page.offline is not None:
            self.patience = min(self.patience, offline.at_least(page.offline, self.gaps))

    def learn(self, rule: Offline, gap: float) -> None:
        """Its newest gap. It may be less patient by that, and is more so only when asked to grow
        (`grow_patient`)."""
        gaps, keep = self.gaps, rule.gaps
        if len(gaps) == keep:
            gaps[self.oldest] = gap
            self.oldest = (self.oldest + 1) % keep
        elif len(gaps) < keep and self.oldest == 0:
            gaps.append(gap)
        else:  # as many as another rule kept
            self.gaps = offline.in_order(gaps, self.oldest)[-keep:]
            self.oldest = 0
            self.learn(rule, gap)
            return
        if self.patience > rule.floor and rule.after is None:
            self.patience = min(self.patience, max(rule.floor, gap * rule.factor))

    def forget_cadence(self, rule: Offline, gap: float) -> None:
        """Of all gaps this one alone is true."""
        self.gaps = array("d")
        self.oldest = 0
        self.learn(rule, gap)

    def remember(self, values: dict[str, float]) -> bool:
        """As the newest; whether all are where no rule has anything to say about them."""
        quiet = True
        places, metrics = self.layout.places, self.metrics
        for name, value in values.items():
            try:
                metric = metrics[places[name]]
            except KeyError:
                metric = self._meet(name)
            metric.value = value
            if not metric.low <= value <= metric.high:
                quiet = quiet and self._band(name).holds(value)
        return quiet

    def count_quiet(self, values: dict[str, float], time: float) -> dict[str, float] | None:
        """Remember them as the newest, and count them into the open window; but those that the
        rules have something to say about, which are returned, are only remembered."""
        loud: dict[str, float] | None = None
        places, metrics = self.layout.places, self.metrics
        for name, value in values.items():
            try:
                metric = metrics[places[name]]
            except KeyError:
                metric = self._meet(name)
            metric.value = value
            count = metric.count
            if count and metric.low <= value <= metric.high:  # most end here
                metric.count = count + 1
                metric.total += value
                metric.last = value
                metric.time = time
            elif (band := self._band(name)).holds(value):
                metric.count_in(value, time, band)
            else:
                loud = {name: value} if loud is None else loud | {name: value}
        return loud

    def count(self, values: dict[str, float], time: float) -> None:
        """Into the open window; and remember them, unless they are late."""
        for name, value in values.items():
            metric = self._metric(name)
            if time >= self.time:
                metric.value = value
            metric.count_in(value, time, self._band(name))

    def meet(self, names: Iterable[str]) -> None:
        """A metric that only late readings have had is one of the device's too."""
        for name in names:
            self._metric(name)

    def _named(self) -> Iterator[tuple[str, Metric]]:
        return zip(self.layout.places, self.metrics, strict=True)

    def _metric(self, name: str) -> Metric:
        place = self.layout.places.get(name, -1)
        return self._meet(name) if place < 0 else self.metrics[place]

    def _begin(self, values: dict[str, float]) -> None:
        """What it has met, when it has met nothing yet and has no page."""
        for name in values:
            self.layout = self.layout.with_another(name)
        self.metrics = tuple([Metric(value) for value in values.values()])

    def _meet(self, name: str) -> Metric:
        metric = Metric(ABSENT)
        self.layout = self.layout.with_another(name)
        self.metrics = (*self.metrics, metric)
        metric.heed(self._band(name))
        return metric

    def _band(self, name: str) -> Band:
        """Where no rule has anything to say about the metric while no alert is open."""
        return ANY if self.page is None else self.page.quiet.get(name, ANY)

    def open_window(self, start: float, end: float) -> None:
        self.window_start = start
        self.window_end = end

    def put_back(self, time: float) -> None:
        """What a wrong clock has stamped later is no later than this."""
        if self.window_start > time:
            self.drop_window()
        for metric in self.metrics:
            metric.time = min(metric.time, time)

    def close_window(self) -> Window:
        """There is one that is open."""
        numbers: list[float] = []
        for metric in self.metrics:
            numbers += metric.pack() if metric.count else NO_CELL
        window = Window(self.window_start, self.window_end, self.layout, numbers)
        self.drop_window()
        return window

    def drop_window(self) -> None:
        self.open_window(UNKNOWN, UNKNOWN)
        for name, metric in self._named():
            metric.drop(self._band(name))

    def _cells(self) -> dict[str, list[float]]:
        """Of the open window."""
        return {name: metric.pack() for name, metric in self._named() if metric.count}

    def open_alerts(self) -> list[Episode]:
        return [] if self.alerts is None else list(self.alerts.open.values())

    def value_of(self, episode: Episode) -> float | None:
        """The newest value of the alert's metric."""
        return None if episode.metric is None else self.values.get(episode.metric)

    def cadence(self) -> float:
        """Seconds from one reading to the next, by the median; 0 while no gap is known."""
        return offline.cadence(self.gaps)

    def clock_offset(self) -> float:
        """Seconds that its clock is known to be behind (ahead: below 0); 0 where it is right."""
        return 0.0 if self.lag is None or self.lag.offset is None else self.lag.offset

    def retire(self) -> None:
        """Forget all but the last starts, which keep the next alert's id from being a used one."""
        self.patience = RETIRED
        self.forget()
        if self.alerts is not None:
            self.alerts.progress.clear()

    def pack(self) -> list[Any]:
        """Plain values, cheap to serialise; the first tells their layout."""
        return [
            VERSION, self.retired, self.last_seen, self.time, self.readings, self.values,
            list(offline.in_order(self.gaps, self.oldest)), list(self.recent or ()),
            None if self.alerts is None else self.alerts.pack(),
            None if self.hashes is None else list(self.hashes), self.dense_since, self.trusted,
            None if self.lag is None else self.lag.pack(),
            self._packed_windows(),
            None if self.slices is None else _copied(self.slices),
        ]  # fmt: skip

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Device:
        refuse_newer("a device", row[0], VERSION)
        device = Device(device_id)
        if row[1]:
            device.patience = RETIRED
        device.last_seen = row[2]
        device.time = row[3]
        device.readings = row[4]
        device._begin(row[5])
        device.gaps = array("d", row[6])
        device.recent = list(row[7]) or None
        device.alerts = None if row[8] is None else Alerts.unpack(device_id, row[8])
        if row[0] == 1:
            device.hashes = None
        else:
            device._read(row)
        return device

    def _read(self, row: list[Any]) -> None:
        self.hashes = None if row[9] is None else _shared(tuple(row[9]))
        self.dense_since = row[10]
        self.trusted = row[11]
        self.lag = None if row[12] is None else Lag.unpack(row[12])
        if row[13] is not None:
            self._unpack_windows(row[13])
        self.slices = None if row[14] is None else _copied(row[14])

    def _packed_windows(self) -> list[Any] | None:
        """The open one is the last, of revision 0."""
        packed = [window.pack() for window in self.windows or ()]
        if self.window_end > UNKNOWN:
            packed.append([self.window_start, self.window_end, 0, self._cells()])
        return packed or None

    def _unpack_windows(self, rows: list[Any]) -> None:
        windows = [Window.unpack(row) for row in rows if row[2]]
        for start, end, revision, cells in rows[-1:]:
            if not revision:
                self.open_window(start, end)
                for name, cell in cells.items():
                    self._metric(name).unpack(cell, self._band(name))
        for closed in windows:
            if closed.layout is not self.layout:
                self.meet(closed.metrics())
        self.windows = windows or None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


@lru_cache(PAGES)
def _shared(hashes: tuple[int, ...]) -> tuple[int, ...]:
    """One object for all devices that were judged by the same page: 0.3 kB less for each."""
    return hashes


def _copied(slices: dict[str, Slices]) -> dict[str, Slices]:
    return {rule: [list(cell) for cell in cells] for rule, cells in slices.items()}
