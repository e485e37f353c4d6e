"""The list of alerts: what stands where, and what can be done with it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

from playwright.async_api import Browser, Page, expect

from pipeline.records import iso
from tests.pipeline.web.alert_log import AlertLog, event, resolved
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import cards, now_event


async def test_what_is_open_stands_first_whatever_its_age_and_what_is_over_steps_back(
    log: AlertLog, site: Site, page: Page
) -> None:
    await log.tell(now_event("new", ago=10), now_event("old", ago=40 * 86_400, severity="warning"))
    await page.goto(site.http)
    await expect(cards(page)).to_have_count(2)
    await log.tell(now_event("brief"))
    await expect(cards(page)).to_have_count(3)
    await log.tell(resolved("brief", device_id="device-brief", resolved_at=iso(time.time())))
    await expect(cards(page).last).to_have_attribute("data-type", "resolved")
    listed = await cards(page).evaluate_all("all => all.map(one => one.dataset.id)")
    assert listed == ["new", "old", "brief"]
    shown = await cards(page).locator(".severity").all_inner_texts()
    assert [word.lower() for word in shown] == ["danger", "warning", "resolved"]
    colours = (
        await cards(page)
        .locator(".severity")
        .evaluate_all("all => new Set(all.map(one => getComputedStyle(one).color)).size")
    )
    signs = (
        await cards(page)
        .locator(".sign svg")
        .evaluate_all("all => new Set(all.map(one => one.innerHTML)).size")
    )
    assert (colours, signs) == (3, 3)


async def test_clear_all_hides_and_nothing_is_deleted(
    log: AlertLog, site: Site, page: Page
) -> None:
    await page.goto(site.http)
    await expect(page.locator("#empty-text")).to_have_text("No alerts - All systems normal")
    await log.tell(now_event("a"), now_event("b"))
    await expect(cards(page)).to_have_count(2)
    await page.get_by_role("button", name="Clear All").click()
    await expect(cards(page)).to_have_count(0)
    await expect(page.locator("#empty-text")).to_have_text("List cleared - 2 alerts are still open")
    await expect(page.locator("#count-open")).to_have_text("2")
    await log.tell(resolved("b", device_id="device-b"))  # says something new: it is there again
    await expect(cards(page)).to_have_count(1)
    await page.get_by_role("button", name="Show 1 hidden").click()
    await expect(cards(page)).to_have_count(2)
    assert await site.open() == ["a"]


async def test_alerts_can_be_filtered_by_words_severity_and_being_open(
    log: AlertLog, site: Site, page: Page
) -> None:
    await log.tell(
        now_event("a", device_id="attic", title="🔥 High Temperature Alert!"),
        now_event("b", device_id="barn", severity="warning", title="🔋 Low Battery Alert!"),
        now_event("c", device_id="cellar"),
    )
    await page.goto(site.http)
    await expect(cards(page)).to_have_count(3)
    await log.tell(resolved("c", device_id="cellar"))
    await page.get_by_role("button", name="Open only").click()
    await expect(cards(page)).to_have_count(2)
    await page.get_by_label("Filter by device").fill("BATTERY")
    await expect(cards(page)).to_have_attribute("data-id", "b")
    await page.get_by_label("Filter by device").fill("")
    await (
        page.get_by_role("group", name="Filter alerts").get_by_role("button", name="Danger").click()
    )
    await expect(cards(page)).to_have_attribute("data-id", "a")
    await page.get_by_label("Filter by device").fill("nowhere")
    await expect(page.locator("#empty-text")).to_have_text("No alert matches the filter")


async def test_many_alerts_are_counted_in_full_and_drawn_fifty_at_a_time(
    log: AlertLog, site: Site, page: Page
) -> None:
    await log.tell(*[now_event(f"a{n}", ago=n) for n in range(60)])
    await page.goto(site.http)
    await expect(page.locator("#count-open")).to_have_text("60")
    await expect(cards(page)).to_have_count(50)
    await page.get_by_role("button", name="Show 10 more").click()
    await expect(cards(page)).to_have_count(60)


async def test_times_are_in_the_viewers_zone_and_exact_on_hover(
    log: AlertLog, site: Site, browser: Browser
) -> None:
    page = await browser.new_page(locale="en-GB", timezone_id="Asia/Ho_Chi_Minh")
    at = datetime.now(UTC).replace(hour=1, minute=2, second=3, microsecond=4000) - timedelta(days=3)
    due = "Device hall: Offline, a reading was due by " + iso(at.timestamp())
    await log.tell(event(device_id="hall", message=due, started_at=iso(at.timestamp())))
    await page.goto(site.http)
    times = cards(page).locator("time")
    await expect(times).to_have_count(3)
    said, when, _ = await times.all()
    for one in (said, when):
        assert re.search(r"\b08:02:03$", await one.inner_text())
        title = str(await one.get_attribute("title"))
        assert "08:02:03.004 GMT+7" in title
        assert iso(at.timestamp()) in title
    await expect(cards(page)).to_contain_text(re.compile("[23] d ago"))  # 2 in the first hour
