"""What is remembered of a device, and its row: plain values in, plain values out."""

from __future__ import annotations

from typing import Any, Final

from pipeline.rules import offline
from pipeline.rules.arrival import Lag
from pipeline.rules.lifecycle import Alerts, Episode
from pipeline.rules.rulebook import Rulebook
from pipeline.rules.trend import Slices
from pipeline.rules.window import Window

UNKNOWN: Final = float("-inf")
VERSION: Final = 2


class Device:
    """What is remembered of a device; two are equal if they remember the same.

    `last_seen` is an `at`, `time` the newest judged time and `values` what was newest then (all
    -inf or empty before the first reading). `alerts` is None until the first one is fired: most
    devices of a million never do. A `retired` device remembers nothing but its last starts, and its
    row can be deleted.

    `hashes` are those of the rules it was last judged by (None: of a time without), `page` is where
    they stand and isn't stored. `lag` is what is known of a clock that isn't right, `trusted`
    whether it ever was. `dense_since` is when readings began to come in less than a second each.
    """

    __slots__ = (
        "alerts", "dense_since", "gaps", "hashes", "id", "lag", "last_seen", "page", "readings",
        "recent", "retired", "slices", "time", "trusted", "values", "windows",
    )  # fmt: skip

    def __init__(self, device_id: str) -> None:
        self.id: Final = device_id
        self.alerts: Alerts | None = None
        self.hashes: tuple[int, ...] | None = ()
        self.page: Rulebook | None = None
        self.retired = False
        self.forget()

    def forget(self) -> None:
        self.last_seen = UNKNOWN
        self.dense_since = UNKNOWN
        self.time = UNKNOWN
        self.readings = 0
        self.values: dict[str, float] = {}
        self.gaps: list[float] = []
        self.recent: list[int] = []
        self.lag: Lag | None = None
        self.trusted = False
        self.windows: list[Window] | None = None
        self.slices: dict[str, Slices] | None = None

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
        self.retired = True
        self.forget()
        if self.alerts is not None:
            self.alerts.progress.clear()

    def pack(self) -> list[Any]:
        """Plain values, cheap to serialise; the first tells their layout."""
        return [
            VERSION, self.retired, self.last_seen, self.time, self.readings, dict(self.values),
            list(self.gaps), list(self.recent), None if self.alerts is None else self.alerts.pack(),
            None if self.hashes is None else list(self.hashes), self.dense_since, self.trusted,
            None if self.lag is None else self.lag.pack(),
            None if self.windows is None else [window.pack() for window in self.windows],
            None if self.slices is None else _copied(self.slices),
        ]  # fmt: skip

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Device:
        if row[0] not in (1, VERSION):
            raise ValueError(f"a device row of version {row[0]}: we read 1 and {VERSION}")
        device = Device(device_id)
        device.retired = row[1]
        device.last_seen = row[2]
        device.time = row[3]
        device.readings = row[4]
        device.values = dict(row[5])
        device.gaps = list(row[6])
        device.recent = list(row[7])
        device.alerts = None if row[8] is None else Alerts.unpack(device_id, row[8])
        if row[0] == 1:
            device.hashes = None
        else:
            device._read(row)
        return device

    def _read(self, row: list[Any]) -> None:
        self.hashes = None if row[9] is None else tuple(row[9])
        self.dense_since = row[10]
        self.trusted = row[11]
        self.lag = None if row[12] is None else Lag.unpack(row[12])
        self.windows = None if row[13] is None else [Window.unpack(one) for one in row[13]]
        self.slices = None if row[14] is None else _copied(row[14])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


def _copied(slices: dict[str, Slices]) -> dict[str, Slices]:
    return {rule: [list(cell) for cell in cells] for rule, cells in slices.items()}
