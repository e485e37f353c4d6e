"""Records of `alerts` in, alerts with all their events out, the newest ones. No I/O, no clock.

An alert is listed by its start, which never changes: so a page that goes on where the last one
ended repeats nothing and leaves nothing out, whatever happens in between. So many events are kept;
when there are more, the alert goes that has had none for the longest time.

Events read alike: packed, each against what they have in common, they take a fifth of the room.
"""

from __future__ import annotations

import base64
import re
import zlib
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Annotated, Final

import msgspec

from pipeline.records import parse_time
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.web.alerts import SEVERITIES, Glob
from pipeline.words import event_json

LONGEST_EPISODE: Final = 500  # events; of an alert that has more the oldest are forgotten
STATUSES: Final = frozenset({"active", "resolved"})
AT_MOST, BY_DEFAULT = 500, 100  # alerts a page
ALWAYS: Final = float("-inf")
NEVER: Final = float("inf")

Place = tuple[float, str]  # start and id: where an alert stands among the others
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Told(msgspec.Struct, frozen=True):
    """What must be known of an event; the rest is only handed on."""

    alert_id: Text
    seq: Annotated[int, msgspec.Meta(ge=1)]
    device_id: Text
    rule: Text
    severity: Text
    status: Text
    started_at: str
    resolved_at: str | None = None


def _in_common() -> bytes:
    device, hot = Device("greenhouse-7"), {"temperature": 36.2}
    engine = Engine()
    events = engine.reading(device, Reading(device.id, None, 0.0, hot), 0.0, 0.0)[1]
    events += engine.reading(device, Reading(device.id, None, 9.0, {"temperature": 20}), 9.0, 0.0)[
        1
    ]
    return b"".join(map(event_json, events))


_IN_COMMON: Final = _in_common()


def packed(text: bytes) -> bytes:
    packing = zlib.compressobj(level=1, wbits=-15, zdict=_IN_COMMON)
    return packing.compress(text) + packing.flush()


def unpacked(text: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15, zdict=_IN_COMMON).decompress(text)


class Episode:
    """An alert and what was told of it."""

    __slots__ = (
        "alert_id", "device_id", "events", "resolved_at", "rule", "seq", "severities", "started_at",
    )  # fmt: skip

    def __init__(self, told: Told) -> None:
        self.alert_id = told.alert_id
        self.device_id = intern(told.device_id)
        self.rule = intern(told.rule)
        self.started_at = parse_time(told.started_at)
        self.resolved_at = NEVER
        self.seq = 0
        self.severities: tuple[str, ...] = ()
        self.events: list[bytes] = []

    @property
    def place(self) -> Place:
        return self.started_at, self.alert_id

    @property
    def is_resolved(self) -> bool:
        return self.resolved_at < NEVER

    def texts(self) -> list[bytes]:
        """Of all its events, in the order of their seq."""
        return [unpacked(event) for event in self.events]

    def last(self) -> bytes:
        return unpacked(self.events[-1])

    def add(self, told: Told, resolved_at: float, text: bytes) -> None:
        self.seq = told.seq
        if told.status == "resolved":
            self.resolved_at = resolved_at
        if told.severity not in self.severities:
            self.severities = (*self.severities, intern(told.severity))
        self.events.append(packed(text))


class Episodes:
    def __init__(self, events: int) -> None:
        self._most = events
        self._events = 0
        # who had no event for the longest time comes first
        self._episodes: OrderedDict[str, Episode] = OrderedDict()
        self._places: list[Place] = []  # the oldest first
        self.forgotten = ALWAYS
        """When the last of those began that were forgotten."""

    def __len__(self) -> int:
        return len(self._episodes)

    def get(self, alert_id: str) -> Episode | None:
        return self._episodes.get(alert_id)

    def clear(self) -> None:
        self._episodes.clear()
        self._places.clear()
        self._events = 0
        self.forgotten = ALWAYS

    def apply(self, raw: bytes) -> None:
        """One record's value; ValueError or msgspec's where it is no event."""
        fields = msgspec.json.decode(raw)
        told = msgspec.convert(fields, Told)
        # first, since it may raise: an alert without any event could not be told
        is_over = told.status == "resolved"
        resolved_at = parse_time(told.resolved_at or told.started_at) if is_over else NEVER
        episode = self._episodes.get(told.alert_id)
        if episode is None:
            episode = self._episodes[told.alert_id] = Episode(told)
            insort(self._places, episode.place)
        self._episodes.move_to_end(told.alert_id)
        if told.seq > episode.seq:
            episode.add(told, resolved_at, msgspec.json.encode(fields))
            self._events += 1
            self._make_room(episode)

    def _make_room(self, newest: Episode) -> None:
        if len(newest.events) > LONGEST_EPISODE:
            del newest.events[0]
            self._events -= 1
        while self._events > self._most and len(self._episodes) > 1:
            _, oldest = self._episodes.popitem(last=False)
            del self._places[bisect_left(self._places, oldest.place)]
            self._events -= len(oldest.events)
            self.forgotten = max(self.forgotten, oldest.started_at)

    def newest_first(self, before: Place | None) -> Iterator[Episode]:
        """Those that stand before that place. What comes or goes meanwhile does no harm."""
        end = len(self._places) if before is None else bisect_left(self._places, before)
        for _, alert_id in reversed(self._places[:end]):
            episode = self._episodes.get(alert_id)
            if episode is not None:
                yield episode


@dataclass(frozen=True, slots=True)
class Asked:
    """Which alerts somebody asked for, how many, and where the last page ended."""

    device: Glob | None
    rule: Glob | None
    severities: frozenset[str]
    status: str
    since: float
    until: float
    limit: int
    after: Place | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """ValueError, in words, where it can't be meant."""
        asked = cls(
            Glob.of(query, "device"),
            Glob.of(query, "rule"),
            _words(query, "severity", SEVERITIES),
            next(iter(_words(query, "status", STATUSES, one=True)), ""),
            moment(query, "since", ALWAYS),
            moment(query, "until", NEVER),
            _limit(query.get("limit", "")),
            _place(query.get("cursor", "")),
        )
        if asked.since >= asked.until:
            raise ValueError("since is not before until")
        return asked

    def has(self, episode: Episode) -> bool:
        """It was open at some time between since and until, and is what was asked for."""
        return self.fits(episode) and (
            not self.severities or not self.severities.isdisjoint(episode.severities)
        )

    def fits(self, episode: Episode) -> bool:
        """But for the severities, of which we know those of the events that we know."""
        return (
            episode.started_at < self.until
            and episode.resolved_at >= self.since
            and (not self.status or (self.status == "resolved") == episode.is_resolved)
            and (self.device is None or self.device.match(episode.device_id))
            and (self.rule is None or self.rule.match(episode.rule))
        )


def cursor_of(place: Place) -> str:
    text = msgspec.json.encode(place)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _place(cursor: str) -> Place | None:
    if not cursor:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: Place = msgspec.json.decode(text, type=Place)
    except (ValueError, msgspec.MsgspecError):
        raise ValueError("cursor is none of ours") from None
    return place


def moment(query: Mapping[str, str], name: str, otherwise: float) -> float:
    """ISO 8601, or seconds or milliseconds since the epoch."""
    given = query.get(name, "")
    if not given:
        return otherwise
    try:
        return parse_time(float(given) if re.fullmatch(r"-?\d+(\.\d+)?", given) else given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _words(
    query: Mapping[str, str], name: str, known: frozenset[str], *, one: bool = False
) -> frozenset[str]:
    words = frozenset(word for word in query.get(name, "").split(",") if word)
    if unknown := sorted(words - known):
        raise ValueError(f"{name} {unknown[0]!r} is none of {', '.join(sorted(known))}")
    if one and len(words) > 1:
        raise ValueError(f"{name} is one of {', '.join(sorted(known))}")
    return words


def _limit(given: str) -> int:
    if not given:
        return BY_DEFAULT
    if not re.fullmatch(r"[0-9]{1,4}", given) or not 1 <= int(given) <= AT_MOST:
        raise ValueError(f"limit is not a whole number from 1 to {AT_MOST}")
    return int(given)
