"""Charts of each metric, and what a device has on a page of its own."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import RULES, answers, cards, now_event, readings, statistics


async def test_a_devices_page_has_its_values_charts_and_alerts(
    log: AlertLog, site: Site, page: Page
) -> None:
    item = {**readings(1)[0], "device_id": "hall/1", "temperature": 31.5}
    await answers(page, "**/api/readings/latest/hall%2F1/", item)
    await answers(page, "**/api/stats/?*", statistics("hall/1"))
    await answers(page, "**/api/rules/?device=hall%2F1", RULES)
    await log.tell(now_event("a", device_id="hall/1", ago=900), now_event("b", device_id="other"))
    async with page.expect_request("**/api/stats/?range=1h&device=hall%2F1"):
        await page.goto(f"{site.http}/#/device/hall%2F1")
    await expect(page.get_by_role("heading", name="hall/1")).to_be_visible()
    await expect(page.locator(".values")).to_contain_text("50.5 %")
    await expect(cards(page)).to_have_attribute("data-id", "a")
    chart = page.get_by_role("img", name="Temperature: between 28.0 °C and 36.0 °C, last 31.5 °C")
    await expect(chart).to_be_visible()
    painted = chart.locator("canvas")
    red = "c => { const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
    red += "let n = 0; for (let i = 0; i < data.length; i += 4)"
    red += " if (data[i] > 150 && data[i + 1] < 80 && data[i + 3] > 200) n += 1; return n; }"
    assert await painted.evaluate(red) > 40, "neither the threshold nor the alert is drawn"
    await chart.focus()
    readout = page.locator('.chart[data-metric="temperature"] .readout')
    last = await readout.inner_text()
    await chart.press("ArrowLeft")
    await expect(readout).not_to_have_text(last)
    async with page.expect_request("**/api/stats/?range=7d&device=hall%2F1"):
        await page.get_by_role("button", name="last 7 days").click()
    await page.get_by_role("link", name="All devices").click()
    await expect(cards(page)).to_have_count(2)


async def test_a_month_is_offered_where_the_server_keeps_one_and_what_it_lacks_of_it_is_said(
    log: AlertLog, site: Site, page: Page
) -> None:
    month = page.get_by_role("button", name="last 30 days")
    note = page.locator(".charts .note")
    await answers(page, "**/api/stats/?range=1h&*", statistics("hall"))
    await page.goto(f"{site.http}/#/device/hall")
    await expect(page.locator(".chart canvas").first).to_be_visible()
    await expect(note).to_have_text("")
    await expect(month).to_have_count(0)
    await answers(page, "**/api/stats/?range=*", statistics("hall", "30d", "365d"))
    await page.get_by_role("button", name="last 24 hours").click()
    await expect(page.get_by_role("group", name="Range")).to_have_text("1 h24 h7 d30 d")
    await expect(note).to_have_text(re.compile(r"^Complete since .*\d\d:\d\d$"))
    async with page.expect_request("**/api/stats/?range=30d&device=hall"):
        await month.click()
    await expect(month).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Ngôn ngữ: tiếng Việt").click()
    await expect(page.get_by_role("button", name="30 ngày qua")).to_have_text("30 ngày")
    await expect(note).to_contain_text("Đầy đủ từ")


async def test_where_there_are_no_statistics_the_page_says_so(
    log: AlertLog, site: Site, page: Page
) -> None:
    await answers(page, "**/api/stats/?*", {"error": "nothing is at /api/stats/"}, 404)
    await log.tell(now_event("a"))
    await page.goto(site.http)
    await expect(page.locator(".charts .empty")).to_have_text("This server keeps no statistics.")
    await expect(cards(page)).to_have_count(1)


async def test_the_values_around_an_alert_are_a_small_line(
    log: AlertLog, site: Site, page: Page
) -> None:
    await answers(page, "**/api/stats/?device=*", statistics("device-a"))
    await log.tell(now_event("a", ago=600))
    await page.goto(site.http)
    points = cards(page).locator(".sparkline polyline")
    await expect(points).to_have_attribute("points", re.compile(r"(\S+ ){10,}"))
