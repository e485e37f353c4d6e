"""`alerts` in, without a group, and what MySQL keeps; what happened out: the alerts of the past,
page by page, and each with all its events.

The topic keeps no index, and who asks for one alert must not wait until a week is read. So what it
has of the newest events is read once and kept, packed, in memory: 100,000 events, about 40 MB. What
goes back further than that is asked of MySQL, where there is one; what it doesn't have yet, since
its archive comes later, is still here. An answer says since when it is whole, and from where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, cast

import msgspec
from aiohttp import web

from pipeline.access import Scope
from pipeline.metrics import ALERTS_KEPT
from pipeline.names import Names
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.shapes import AlertEvent, Time
from pipeline.web.alerts import Alert
from pipeline.web.asking import Unanswered
from pipeline.web.episodes import ALWAYS, Asked, Episode, Episodes, Place, cursor_of
from pipeline.web.feed import Feed
from pipeline.web.follower import Follower, Record
from pipeline.web.gate import refusal, scope_of
from pipeline.web.queries import Found

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.past import Past

KEPT: Final = 100_000  # events
SLICE: Final = 1_000  # alerts looked at between two turns of the event loop: 1 ms
AHEAD: Final = 300.0  # seconds that an alert may begin after it is told: a device's clock is ahead
EASE: Final = 1.0  # what was missed is read with half of the time

Source = Annotated[
    Literal["topic", "mysql"],
    msgspec.Meta(description="`mysql`: with what the database alone keeps; else the topic's own"),
]


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts, each as its last event tells it, the one that began last first."""

    source: Source
    since: Annotated[
        Time | None,
        msgspec.Meta(
            description="what was told from then on is here; null: whatever was ever told"
        ),
    ]
    alerts: list[AlertEvent]
    next: Annotated[
        str | None,
        msgspec.Meta(description="the `cursor` of the next page; null: that was the last"),
    ]


class AlertStory(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as its last event tells it, and all of its events that are known."""

    source: Source
    alert: AlertEvent
    events: list[AlertEvent]


class Shown(NamedTuple):
    """An alert as a page shows it: where it stands, and its last event."""

    place: Place
    text: bytes


class History(Follower):
    def __init__(
        self,
        settings: Settings,
        feed: Feed,
        first: Callable[[], str | None],
        past: Past | None = None,
    ) -> None:
        topic = Names(settings.topic_prefix).alerts
        super().__init__(
            settings, topic, "alerts of the past", first, ALERTS_KEPT, most=KEPT, ease=EASE
        )
        self._feed = feed
        self._past = past
        self.episodes = Episodes(KEPT)

    def take(self, record: Record) -> None:
        self.episodes.apply(record.value or b"")

    def known(self) -> int:
        return len(self.episodes)

    def forget(self) -> None:
        self.episodes.clear()

    async def is_resolved(self, alert_id: str) -> bool:
        episode = self.episodes.get(alert_id)
        if episode is not None or self._past is None:
            return episode is not None and episode.is_resolved
        try:
            events = await self._past.events(alert_id)
        except Unanswered:
            return False
        return bool(events) and Alert.of(events[-1]).resolved

    def add_to(self, router: web.UrlDispatcher) -> None:
        for slash in ("/", ""):
            router.add_get("/api/alerts" + slash, self.page)
            router.add_get("/api/alerts/{alert_id}" + slash, self.story)

    async def page(self, request: web.Request) -> web.Response:
        try:
            asked = Asked.of(request.query)
        except ValueError as error:
            return refusal(400, str(error))
        if problem := self.unknown():
            return refusal(503, problem)
        scope = scope_of(request)
        found = await self._find(asked, scope)
        kept = await self._kept(asked, scope, found)
        shown = [Shown(episode.place, episode.last()) for episode in found]
        since, end = self._known_since(), None
        if kept is not None:
            shown, end = self._together(asked, shown, kept), kept.end
            since = kept.stored.since(since)
        if len(shown) > asked.limit:
            del shown[asked.limit :]
            end = shown[-1].place
        page = AlertPage(
            source="topic" if kept is None else "mysql",
            since=None if since == ALWAYS else iso(since),
            alerts=as_told(one.text for one in shown),
            next=None if end is None else cursor_of(end),
        )
        return as_json(page)

    def _known_since(self) -> float:
        return max(self.since(), self.episodes.forgotten)

    async def _kept(self, asked: Asked, scope: Scope, found: list[Episode]) -> Found | None:
        """What MySQL has, where the page goes back further than what is here."""
        whole = self._known_since() + AHEAD
        if self._past is None or whole == ALWAYS:
            return None
        if len(found) > asked.limit and found[-1].started_at >= whole:
            return None
        try:
            return await self._past.alerts(asked, scope)
        except Unanswered:
            return None

    def _together(self, asked: Asked, ours: list[Shown], kept: Found) -> list[Shown]:
        """Each alert once, by its newer event; not beyond the place where looking ended, so that
        the next page, which goes on there, leaves nothing out."""
        shown = {one.place: one for one in ours}
        for one in kept.alerts:
            episode = self.episodes.get(one.place[1])
            if episode is None or episode.seq < one.seq:
                shown[one.place] = Shown(one.place, one.text)
            elif asked.fits(episode):
                shown[one.place] = Shown(one.place, episode.last())
        end = kept.end or (ALWAYS, "")
        return [shown[place] for place in sorted(shown, reverse=True) if place >= end]

    async def _find(self, asked: Asked, scope: Scope) -> list[Episode]:
        """One more than asked for, where there are more."""
        found: list[Episode] = []
        for number, episode in enumerate(self.episodes.newest_first(asked.after), 1):
            if asked.has(episode) and scope.sees(episode.device_id):
                found.append(episode)
                if len(found) > asked.limit:
                    break
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return found

    async def story(self, request: web.Request) -> web.Response:
        """Of an alert that has been open for longer than the topic goes back, its last event, where
        no database knows more."""
        if problem := self.unknown() or self._feed.unknown():
            return refusal(503, problem)
        alert_id = request.match_info["alert_id"]
        events, source = self._told(alert_id), "topic"
        if self._past is not None and (not events or seq_of(events[0]) > 1):
            try:
                events, source = _joined(await self._past.events(alert_id), events), "mysql"
            except Unanswered:
                if not events:
                    return refusal(503, "the topic doesn't tell of it any more, and MySQL not now")
        if not events:
            return refusal(404, "no such alert is known")
        if not scope_of(request).sees(Alert.of(events[-1]).device_id):
            return refusal(403, "this token may not see that alert")
        told = as_told(events)
        return as_json(AlertStory(source=cast(Source, source), alert=told[-1], events=told))

    def _told(self, alert_id: str) -> list[bytes]:
        """What the topics tell of it."""
        episode, alert = self.episodes.get(alert_id), self._feed.find(alert_id)
        return episode.texts() if episode else [alert.text] if alert else []


class _Seq(msgspec.Struct):
    seq: int


def seq_of(event: bytes) -> int:
    return _seq(event).seq


_seq = msgspec.json.Decoder(_Seq).decode


def _joined(kept: list[bytes], told: list[bytes]) -> list[bytes]:
    """Each event once, in their order; what the topics tell word for word."""
    events = {seq_of(event): event for event in (*kept, *told)}
    return [events[seq] for seq in sorted(events)]


def as_told(events: Iterable[bytes]) -> list[AlertEvent]:
    """Word for word: what another version told may have more to say than our own struct."""
    return cast(list[AlertEvent], [msgspec.Raw(event) for event in events])


def as_json(answer: msgspec.Struct) -> web.Response:
    body = msgspec.json.encode(answer)
    return web.Response(body=body, content_type="application/json", charset="utf-8")
