"""What no worker would ever send the page stays text."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import answers, cards

HOSTILE = '<img src=x onerror="document.title=0/0">'


async def test_a_hostile_alert_stays_text(log: AlertLog, site: Site, page: Page) -> None:
    words = {"title": HOSTILE, "message": HOSTILE, "timestamp": HOSTILE, "type": HOSTILE}
    more = {"started_at": HOSTILE, "severity": HOSTILE, "rule": HOSTILE, "unit": HOSTILE}
    known = {"acked": True, "acked_by": HOSTILE, "note": HOSTILE}
    await log.tell(event(device_id=HOSTILE, **words, **more, **known))
    await page.goto(site.http)
    entry = cards(page)
    await expect(entry.locator("h3")).to_have_text(HOSTILE)
    await expect(entry.locator(".said")).to_have_text(HOSTILE)
    await expect(entry.locator(".meta")).to_contain_text(HOSTILE)
    await expect(entry.locator(".ack")).to_contain_text(f"Acknowledged by {HOSTILE}{HOSTILE}")
    assert await entry.get_attribute("data-type") == "info"
    await entry.get_by_role("link").click()
    await expect(page.locator("#device-title")).to_have_text(HOSTILE)
    assert await page.locator("img[src=x]").count() == 0
    assert await page.title() == f"{HOSTILE} · smart-iot"


async def test_a_hostile_reading_stays_text(log: AlertLog, site: Site, page: Page) -> None:
    item = {"device_id": HOSTILE, "__proto__": 5, "constructor": 6, "status": HOSTILE}
    items = [{**item, "timestamp": HOSTILE, "temperature": 21.5}]
    await answers(page, "**/api/readings/latest_all/", items)
    await page.goto(site.http)
    row = page.locator("#readings .rows .row")
    await expect(row.locator(".device")).to_have_text(HOSTILE)
    await expect(row).to_contain_text("21.5 °C")
    await expect(row).to_contain_text("Proto 5 · Constructor 6")
    assert await page.locator("img[src=x]").count() == 0
    assert await page.title() == "smart-iot"


async def test_no_script_but_the_pages_own_can_run(log: AlertLog, site: Site, page: Page) -> None:
    await page.goto(site.http)
    async with page.expect_console_message(lambda said: "Content Security" in said.text):
        await page.evaluate(
            "document.body.append(Object.assign(document.createElement('div'), {id: 'x'}));"
            f"document.getElementById('x').innerHTML = {HOSTILE!r};"
        )
    assert await page.title() == "smart-iot"
