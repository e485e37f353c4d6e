"""What is on `alerts` of a real broker in, the pages of the history out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.access import parse
from pipeline.settings import Settings
from pipeline.web import history
from tests.pipeline.web.alert_log import AlertLog, event, long_ago, resolved
from tests.pipeline.web.conftest import Site, metric, running, until


def at(minute: int) -> str:
    return f"2026-11-22T10:{minute:02d}:00.000Z"


async def until_known(site: Site, number: int) -> None:
    async def known() -> bool:
        status, page = await site.get("/api/alerts/")
        return status == 200 and len(page["alerts"]) == number

    await until(known)


async def pages(site: Site, query: str = "") -> list[list[str]]:
    """The ids of each page, to the last one."""
    found, cursor = [], ""
    while True:
        status, page = await site.get(f"/api/alerts/?{query}&cursor={cursor}")
        assert status == 200, page
        found.append([alert["alert_id"] for alert in page["alerts"]])
        cursor = page["next"]
        if not cursor:
            return found


async def test_the_history_is_what_the_topic_holds_and_each_alert_is_told_by_its_last_event(
    log: AlertLog, settings: Settings
) -> None:
    over = resolved("over", 2, device_id="hall/1", started_at=at(3))
    await log.tell(event("over", device_id="hall/1", started_at=at(3)), over)
    hot = event("hot", started_at=at(5))
    async with running(settings) as site:
        await until_known(site, 1)
        await log.tell(hot)
        await until_known(site, 2)
        expected = {"source": "topic", "since": None, "alerts": [hot, over], "next": None}
        assert await site.get("/api/alerts/") == (200, expected)
        assert await site.get("/api/alerts") == (200, expected)
        _, page = await site.get("/api/alerts/?status=resolved&device=hall/*")
        assert page["alerts"] == [over]


async def test_one_alert_is_told_with_all_its_events(log: AlertLog, site: Site) -> None:
    events = [event("a", 1), event("a", 2, event="updated"), resolved("a", 3)]
    await log.tell(*events)
    await until_known(site, 1)
    expected = {"source": "topic", "alert": events[-1], "events": events}
    assert await site.get("/api/alerts/a/") == (200, expected)
    assert await site.get("/api/alerts/a") == (200, expected)
    assert await site.get("/api/alerts/b/") == (404, {"error": "no such alert is known"})


async def test_pages_follow_each_other_to_the_end(log: AlertLog, site: Site) -> None:
    await log.tell(*(event(f"a{number}", started_at=at(number)) for number in range(5)))
    await until_known(site, 5)
    assert await pages(site, "limit=2") == [["a4", "a3"], ["a2", "a1"], ["a0"]]
    assert await pages(site, "limit=5") == [["a4", "a3", "a2", "a1", "a0"]]


async def test_an_alert_that_has_been_open_for_longer_than_the_history_goes_back_is_found(
    log: AlertLog, site: Site
) -> None:
    old = event("old", 7)
    await log.to_open(old)
    await site.until_open("old")
    await until_known(site, 0)
    assert (await site.get("/api/alerts/old/"))[1]["events"] == [old]


async def test_who_acknowledges_what_was_resolved_long_ago_is_told_so(
    log: AlertLog, settings: Settings
) -> None:
    await log.to_alerts(resolved("over", 2), at=long_ago())
    async with running(settings) as site:
        await until_known(site, 1)
        url, body = site.http + "/api/alerts/over/ack", {"by": "ada"}
        async with site.client.post(url, json=body) as answer:
            assert (answer.status, await answer.json()) == (409, {"error": "the alert is resolved"})


async def test_of_a_long_log_the_newest_events_are_read_and_it_is_said_since_when(
    log: AlertLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT", 6)  # of three partitions: two each
    for number in range(5):
        await log.to_alerts(event(f"a{number}", started_at=at(number)), at=1_795_000_000.0 + number)
    async with running(settings) as site:
        await until_known(site, 2)
        assert await pages(site) == [["a4", "a3"]]
        _, page = await site.get("/api/alerts/")
        assert page["since"] == "2026-11-18T11:06:43.000Z"  # when the first that was read came


async def test_what_cannot_be_meant_is_refused_and_what_is_not_known_yet_is_said_so(
    unborn_log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        status, answer = await site.get("/api/alerts/?limit=all")
        assert (status, answer["error"]) == (400, "limit is not a whole number from 1 to 500")
        for path in ("/api/alerts/", "/api/alerts/a/"):
            assert (await site.get(path))[0] == 503


async def test_what_is_no_event_is_counted_and_passed_over(log: AlertLog, site: Site) -> None:
    def unreadable() -> float:
        return metric("smart_iot_web_records_unreadable_total", what="alerts of the past")

    before = unreadable()
    for raw in (b"", None, b"{}", b"\xff"):
        await log.raw(log.alerts, raw, b"attic")
    await log.tell(event("a"))
    await until_known(site, 1)
    assert unreadable() == before + 4


async def test_a_log_that_was_recreated_is_read_anew(log: AlertLog, site: Site) -> None:
    await log.tell(event("old"), event("older"))
    await until_known(site, 2)
    await log.delete()
    await log.create()
    await log.tell(event("new"))

    async def anew() -> bool:
        status, page = await site.get("/api/alerts/")
        return status == 200 and ids(page) == ["new"]

    await until(anew)


async def test_a_token_for_some_devices_finds_those_alone(
    log: AlertLog, settings: Settings
) -> None:
    await log.tell(event("hall", device_id="hall/1"), event("barn", device_id="barn/1"))
    tokens = parse('[{"token": "of-the-barn", "name": "barn", "devices": ["barn/*"]}]')
    barn = {"headers": {"Authorization": "Bearer of-the-barn"}}
    async with running(replace(settings, tokens=tokens)) as site:
        assert (await site.get("/api/alerts/"))[0] == 401

        async def known() -> bool:
            return (await site.get("/api/alerts/", **barn))[0] == 200

        await until(known)
        assert ids((await site.get("/api/alerts/", **barn))[1]) == ["barn"]
        assert (await site.get("/api/alerts/barn/", **barn))[0] == 200
        assert (await site.get("/api/alerts/hall/", **barn))[0] == 403


def ids(page: dict[str, Any]) -> list[str]:
    return [alert["alert_id"] for alert in page["alerts"]]
