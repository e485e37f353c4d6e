"""What happens to the topics and the broker in; what viewers and `/-/ready` see of it out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.kafka.broker import running as running_kafka
from pipeline.settings import Settings
from pipeline.web.audience import MOST, Said
from pipeline.web.feed import AT_ONCE
from tests.pipeline.web.alert_log import AlertLog, alert_log, event, resolved
from tests.pipeline.web.conftest import Site, metric, running, until


async def reason(site: Site) -> str:
    _, answer = await site.get("/-/ready")
    return str(answer.get("reason", "ready"))


async def until_reason(site: Site, part: str) -> None:
    async def given() -> bool:
        return part in await reason(site)

    await until(given)


async def test_topics_created_after_the_start_are_waited_for_and_not_created_by_us(
    unborn_log: AlertLog, settings: Settings
) -> None:
    async with running(settings) as site:
        await until_reason(site, "waiting for")
        assert await site.refused() == 503
        assert (await site.get("/api/alerts/active/"))[0] == 503
        await unborn_log.create()
        await unborn_log.tell(event())
        await site.until_ready()
        await site.until_open("a1")
        async with site.viewer() as viewer:
            assert await viewer.event() == ("a1", 1)
            await unborn_log.tell(resolved())
            assert await viewer.event() == ("a1", 2)


async def test_topics_that_were_deleted_and_created_again_are_read_from_their_start(
    log: AlertLog, site: Site
) -> None:
    await log.tell(*(event(f"a{n}") for n in range(9)))
    async with site.viewer() as viewer:
        restarts = metric("smart_iot_web_feed_restarts_total")
        await log.delete()
        await until_reason(site, "alert")
        assert await viewer.code() == 1012  # what it knows is of another log
    assert metric("smart_iot_web_feed_restarts_total") > restarts
    await log.create()
    await log.tell(event("b1"))
    await site.until_ready()
    await site.until_open("b1")


async def test_partitions_that_are_added_are_read_from_their_start_and_viewers_stay(
    log: AlertLog, settings: Settings, prefix: str
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        async with site.viewer() as viewer:
            await log.tell(event("before"))
            assert await viewer.event() == ("before", 1)
            await log.grow(9)
            async with alert_log(log.bootstrap, prefix) as grown:  # it knows all partitions
                for device in range(40):
                    await grown.to_alerts(event(f"{device}", device_id=f"{device}"))
            seen = {await viewer.event() for _ in range(40)}
            assert seen == {(f"{device}", 1) for device in range(40)}


async def test_what_is_being_told_is_told_to_all_though_the_feed_begins_again(
    log: AlertLog, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    audience, feed = site.view._hub.audience, site.view._feed
    say = audience.say

    def say_and_end(*said: Said) -> None:
        say(*said)
        if any(one.alert is not None for one in said):
            feeding.cancel()

    monkeypatch.setattr(audience, "say", say_and_end)
    async with site.viewer() as viewer:
        feeding = next(task for task in asyncio.all_tasks() if task.get_name() == "alert feed")
        await log.tell(event())
        assert await viewer.event() == ("a1", 1)
        assert feed.cursor() != viewer.welcome["cursor"]


async def test_the_feed_reads_on_while_viewers_are_being_told_but_not_for_ever(
    log: AlertLog, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    audience, most = site.view._hub.audience, 0

    async def is_waiting() -> bool:
        nonlocal most
        before, most = most, len(audience._said)
        return MOST <= before == most

    async with site.viewer() as viewer:
        with monkeypatch.context() as patch:
            patch.setattr(audience, "_tell_some", lambda: None)  # a round that doesn't end
            await asyncio.gather(*(log.to_alerts(event(f"{number}")) for number in range(3 * MOST)))
            await until(is_waiting)
            assert most < MOST + AT_ONCE
        assert {await viewer.event() for _ in range(3 * MOST)} == {
            (f"{number}", 1) for number in range(3 * MOST)
        }


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_broker_that_was_killed_and_came_back_cost_no_event_and_no_viewer(
    tmp_path: Path,
) -> None:
    with running_kafka(tmp_path / "kafka") as kafka:
        settings = replace(Settings(), bootstrap=kafka.bootstrap, web_port=0)
        async with alert_log(kafka.bootstrap, "") as log:
            await log.create()
            async with running(settings) as site:
                await site.until_ready()
                async with site.viewer() as viewer:
                    await log.tell(event("a1"))
                    assert await viewer.event() == ("a1", 1)
                    kafka.kill()
                    await until_reason(site, "Kafka doesn't answer")
                    kafka.start()
                    await log.tell(resolved("a1"), event("a2"))
                    assert await viewer.event() == ("a1", 2)
                    assert await viewer.event() == ("a2", 1)
                    await site.until_ready()
                    assert await site.open() == ["a2"]
