"""The page in a real Chromium, against a real web view: what no worker would ever send it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from pipeline.settings import Settings
from tests.chromium import chromium
from tests.pipeline.web.alert_log import AlertLog, event, resolved
from tests.pipeline.web.conftest import Site, running

HOSTILE = '<img src=x onerror="document.title=0/0">'
MINUTE = 60_000.0

expect.set_options(timeout=MINUTE)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as browser:
        page = await browser.new_page()
        page.set_default_timeout(MINUTE)
        yield page


async def test_a_hostile_alert_stays_text(log: AlertLog, site: Site, page: Page) -> None:
    words = {"title": HOSTILE, "message": HOSTILE, "timestamp": HOSTILE, "type": HOSTILE}
    await log.tell(event(device_id=HOSTILE, **words))
    await page.goto(site.http)
    entry = page.locator("#alerts article")
    await expect(entry.locator("h3")).to_have_text(HOSTILE)
    await expect(entry.locator(".said")).to_have_text(HOSTILE)
    await expect(entry.locator(".meta")).to_contain_text(f"Device: {HOSTILE}")
    assert await entry.get_attribute("data-type") == "info"
    assert await page.locator("#alerts img").count() == 0
    assert await page.title() == "smart-iot"


async def test_a_hostile_reading_stays_text(log: AlertLog, site: Site, page: Page) -> None:
    item = {"device_id": HOSTILE, "__proto__": 5, "constructor": 6, "status": HOSTILE}
    items = [{**item, "timestamp": HOSTILE, "temperature": 21.5}]
    await page.route("**/api/readings/latest_all/", lambda route: route.fulfill(json=items))
    await page.goto(site.http)
    row = page.locator("#readings tbody tr")
    await expect(row.locator("th")).to_have_text(HOSTILE)
    await expect(row).to_contain_text("21.5 °C")
    await expect(row).to_contain_text("__proto__ 5 · constructor 6")
    assert await page.locator("#readings img").count() == 0
    assert await page.title() == "smart-iot"


async def test_no_script_but_the_pages_own_can_run(log: AlertLog, site: Site, page: Page) -> None:
    await page.goto(site.http)
    async with page.expect_console_message(lambda said: "Content Security" in said.text):
        await page.evaluate(
            "document.body.append(Object.assign(document.createElement('div'), {id: 'x'}));"
            f"document.getElementById('x').innerHTML = {HOSTILE!r};"
        )
    assert await page.title() == "smart-iot"


async def test_at_most_fifty_alerts_are_listed(log: AlertLog, site: Site, page: Page) -> None:
    await log.tell(*[event(f"a{n}", device_id=f"device-{n}") for n in range(60)])
    await log.tell(resolved("a0", device_id="device-0"))
    await page.goto(site.http)
    await expect(page.locator("#count-open")).to_have_text("59")
    assert await page.locator("#alerts article").count() == 50


async def test_a_stream_that_says_nothing_for_a_minute_is_disconnected_and_made_anew(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    state = page.locator("#connection")
    await page.clock.install()
    async with running(settings, ping_every=1e6) as site:
        await site.until_ready()
        await page.goto(site.http)
        await expect(state).to_have_text("Live")
        # from here on its clock moves by our word alone: a slow machine is no silence, and who is
        # disconnected stays it until we have looked
        await page.clock.pause_at(await page.evaluate("Date.now()") / 1000 + 30)
        await log.tell(event("first"))  # says something: the minute begins again
        await expect(page.locator("#alerts article")).to_have_count(1)
        await page.clock.run_for(59_000)
        await expect(state).to_have_text("Live")
        await log.tell(event("second"))
        await expect(page.locator("#alerts article")).to_have_count(2)
        await page.clock.run_for(59_000)
        await expect(state).to_have_text("Live")
        await page.clock.run_for(1_100)
        await expect(state).to_have_text("Disconnected")
        await page.clock.run_for(1_000)
        await expect(state).to_have_text("Live")
        await expect(page.locator("#alerts article")).to_have_count(2)


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
        await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#connection")).to_have_text("Disconnected")
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
