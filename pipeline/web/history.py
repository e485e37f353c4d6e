"""`alerts` in, without a group; what happened out: the alerts of the past, page by page, and each
with all its events.

The topic keeps no index, and who asks for one alert must not wait until a week is read. So what it
has of the newest events is read once and kept, packed, in memory: 100,000 events, about 40 MB. An
answer says since when it is whole; who wants to know of what was before needs a database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal, cast

import msgspec
from aiohttp import web

from pipeline.access import Scope
from pipeline.metrics import ALERTS_KEPT
from pipeline.names import Names
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.shapes import AlertEvent, Time
from pipeline.web.episodes import ALWAYS, Asked, Episode, Episodes, cursor_of
from pipeline.web.feed import Feed
from pipeline.web.follower import Follower, Record
from pipeline.web.gate import refusal, scope_of

KEPT: Final = 100_000  # events
SLICE: Final = 1_000  # alerts looked at between two turns of the event loop: 1 ms
EASE: Final = 1.0  # what was missed is read with half of the time

Source = Literal["topic"]


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


class History(Follower):
    def __init__(self, settings: Settings, feed: Feed, first: Callable[[], str | None]) -> None:
        topic = Names(settings.topic_prefix).alerts
        super().__init__(
            settings, topic, "alerts of the past", first, ALERTS_KEPT, most=KEPT, ease=EASE
        )
        self._feed = feed
        self.episodes = Episodes(KEPT)

    def take(self, record: Record) -> None:
        self.episodes.apply(record.value or b"")

    def known(self) -> int:
        return len(self.episodes)

    def forget(self) -> None:
        self.episodes.clear()

    def is_resolved(self, alert_id: str) -> bool:
        episode = self.episodes.get(alert_id)
        return episode is not None and episode.is_resolved

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
        found = await self._find(asked, scope_of(request))
        more = len(found) > asked.limit
        del found[asked.limit :]
        since = max(self.since(), self.episodes.forgotten)
        page = AlertPage(
            source="topic",
            since=None if since == ALWAYS else iso(since),
            alerts=as_told(episode.last() for episode in found),
            next=cursor_of(found[-1].place) if more else None,
        )
        return as_json(page)

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
        """Of an alert that has been open for longer than the topic goes back, its last event."""
        if problem := self.unknown() or self._feed.unknown():
            return refusal(503, problem)
        alert_id = request.match_info["alert_id"]
        episode, alert = self.episodes.get(alert_id), self._feed.find(alert_id)
        known = episode or alert
        if known is None:
            return refusal(404, "no such alert is known")
        if not scope_of(request).sees(known.device_id):
            return refusal(403, "this token may not see that alert")
        events = episode.texts() if episode else [alert.text] if alert else []
        told = as_told(events)
        return as_json(AlertStory(source="topic", alert=told[-1], events=told))


def as_told(events: Iterable[bytes]) -> list[AlertEvent]:
    """Word for word: what another version told may have more to say than our own struct."""
    return cast(list[AlertEvent], [msgspec.Raw(event) for event in events])


def as_json(answer: msgspec.Struct) -> web.Response:
    body = msgspec.json.encode(answer)
    return web.Response(body=body, content_type="application/json", charset="utf-8")
