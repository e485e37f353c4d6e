"""The newest readings of few devices and of very many."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import answers, readings


async def test_five_thousand_devices_stay_smooth(log: AlertLog, site: Site, page: Page) -> None:
    await answers(page, "**/api/readings/latest_all/", readings(5_000, offline=3))
    await page.goto(site.http)
    rows = page.locator("#readings .rows .row")
    await expect(page.locator("#count-devices")).to_have_text("5,000")
    await expect(page.locator("#count-offline")).to_have_text("3")
    await expect(rows.first).to_contain_text("hall-4998")  # those that are offline come first
    await expect(rows.nth(3)).to_contain_text("hall-1")
    grid = page.get_by_role("grid")
    assert await grid.get_attribute("aria-rowcount") == "5001"
    drawn = await grid.evaluate(
        """async grid => {
          const frame = () => new Promise(requestAnimationFrame);
          let drawn = 0;
          await frame();
          for (let step = 1; step <= 60; step++) {
            grid.scrollTop = grid.scrollHeight * step / 60;
            await frame(); await frame();
            drawn = Math.max(drawn, grid.querySelectorAll('.rows .row').length);
          }
          return drawn;
        }"""
    )
    assert 0 < drawn < 80, "rows on the page at once, whatever is scrolled to"
    await expect(rows.last).to_contain_text("hall-4997")
    await grid.press("Home")
    await expect(page.locator("#row-0")).to_have_attribute("aria-selected", "true")
    await grid.press("End")
    await expect(page.locator("#row-4999")).to_be_visible()
    await grid.press("ArrowUp")
    await page.get_by_label("Search devices").fill("hall-77")
    await expect(page.locator("#readings-state")).to_have_text("11 of 5,000 devices")
    await page.get_by_label("Search devices").fill("hall-777")
    await grid.focus()
    await grid.press("Home")
    await grid.press("Enter")
    await expect(page.get_by_role("heading", name="hall-777")).to_be_focused()


async def test_the_age_of_a_reading_ticks_and_the_tiles_filter(
    log: AlertLog, site: Site, page: Page
) -> None:
    await answers(page, "**/api/readings/latest_all/", readings(10, offline=2))
    await page.goto(site.http)
    age = page.locator("#readings .rows .row").first.locator("time")
    said = await age.inner_text()
    await expect(age).not_to_have_text(said, timeout=5_000)
    assert re.fullmatch(r"\d+ s ago", await age.inner_text())
    await page.get_by_role("button", name="Offline").click()
    await expect(page.locator("#readings .rows .row")).to_have_count(2)
