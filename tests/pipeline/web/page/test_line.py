"""The line to the view breaks; the page says so, and comes back with nothing missed."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from pipeline.kafka.broker import free_port
from pipeline.kafka.broker import running as running_kafka
from pipeline.settings import Settings
from tests.pipeline.web.alert_log import AlertLog, alert_log, event, resolved
from tests.pipeline.web.conftest import Site, running
from tests.pipeline.web.page.cable import cable
from tests.pipeline.web.page.visit import cards, is_live, now_event, state


async def test_an_offline_network_shows_within_15_seconds_and_what_was_missed_comes_by_itself(
    log: AlertLog, site: Site, page: Page
) -> None:
    async with cable(site.view.port) as line:
        await log.tell(now_event("a"))
        await page.goto(f"http://127.0.0.1:{line.port}/")
        await is_live(page)
        await expect(cards(page)).to_have_count(1)
        await page.evaluate("window.neverReloaded = true")
        line.pull()
        pulled = time.monotonic()
        await log.tell(now_event("b"))
        await expect(state(page)).to_have_text("Stale", timeout=15_000)
        assert time.monotonic() - pulled < 15
        await expect(page.get_by_role("alert")).to_contain_text("Nothing has been heard since")
        await expect(cards(page)).to_have_count(1)  # what was known is still there
        line.plug()
        await is_live(page)
        await expect(cards(page)).to_have_count(2)
        assert await page.evaluate("window.neverReloaded") is True


async def test_a_restart_of_the_view_loses_nothing_and_repeats_nothing(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    settings = replace(settings, web_port=free_port())
    async with running(settings) as site:
        await site.until_ready()
        await log.tell(now_event("a"), now_event("b"))
        await page.goto(site.http)
        await expect(cards(page)).to_have_count(2)
        await log.tell(now_event("c"))
        await expect(cards(page)).to_have_count(3)
        await page.evaluate("window.neverReloaded = true")
    await expect(state(page)).to_have_text("Reconnecting")
    await log.tell(now_event("d"), resolved("b", device_id="device-b"))
    async with running(settings):
        await is_live(page)
        await expect(cards(page)).to_have_count(4)
        await expect(page.locator("#count-open")).to_have_text("3")
        await log.tell(now_event("e"))
        await expect(cards(page)).to_have_count(5)
        listed = await cards(page).evaluate_all("all => all.map(one => one.dataset.id)")
        assert sorted(listed) == ["a", "b", "c", "d", "e"]
        assert listed[-1] == "b"  # which has ended meanwhile
        assert await cards(page).last.get_attribute("data-type") == "resolved"
        assert await page.evaluate("window.neverReloaded") is True


async def test_a_stream_that_says_nothing_for_12_seconds_is_stale_and_made_anew(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    await page.clock.install()
    async with running(settings, ping_every=1e6) as site:
        await site.until_ready()
        await page.goto(site.http)
        await is_live(page)
        # from here on its clock moves by our word alone: a slow machine is no silence
        await page.clock.pause_at(await page.evaluate("Date.now()") / 1000 + 5)
        await log.tell(event("first"))  # says something: it begins again
        await expect(cards(page)).to_have_count(1)
        await page.clock.run_for(11_400)
        await expect(state(page)).to_have_text("Live")
        await page.evaluate(
            "window.seen = []; new MutationObserver(() => seen.push(connection.textContent))"
            ".observe(connection, {subtree: true, characterData: true, childList: true})"
        )
        await page.clock.run_for(1_200)
        await expect(state(page)).to_have_text("Stale")
        async with asyncio.timeout(60):
            while await state(page).inner_text() != "Live":
                await page.clock.run_for(100)
        await expect(cards(page)).to_have_count(1)


async def test_the_pauses_between_two_tries_grow_and_the_cursor_comes_along(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    await page.clock.install()
    await page.add_init_script(
        "window.tries = [];"
        "window.WebSocket = class extends WebSocket {"
        " constructor(url) { super(url); tries.push([Date.now(), String(url)]); } }"
    )
    async with running(settings) as site:
        await site.until_ready()
        await page.goto(site.http)
        await is_live(page)
        await log.tell(event("first"))  # brings a cursor
        await expect(cards(page)).to_have_count(1)
    await expect(state(page)).not_to_have_attribute("data-state", "live")
    tries: list[tuple[int, str]] = []
    async with asyncio.timeout(60):
        while len(tries) < 10:
            await page.clock.run_for(500)
            tries = await page.evaluate("tries")
    pauses = [b - a for (a, _), (b, _) in itertools.pairwise(tries)]
    growing = pauses[2:7]  # 1, 2, 4, 8 and 16 s, give or take a quarter and the clock's step
    assert growing == sorted(growing)
    assert all(20_000 < pause < 40_000 for pause in pauses[7:])
    assert all("cursor=" in url for _, url in tries[1:])


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_view_that_hears_nothing_of_kafka_is_not_live(tmp_path: Path, page: Page) -> None:
    with running_kafka(tmp_path / "kafka") as kafka:
        settings = replace(Settings(), bootstrap=kafka.bootstrap, web_port=0)
        async with alert_log(kafka.bootstrap, "") as log:
            await log.create()
            async with running(settings, ping_every=1.0) as site:
                await site.until_ready()
                await page.goto(site.http)
                await is_live(page)
                kafka.kill()
                await expect(state(page)).to_have_text("Stale")
                kafka.start()
                await is_live(page)
                await log.tell(now_event("a"))
                await expect(cards(page)).to_have_count(1)
