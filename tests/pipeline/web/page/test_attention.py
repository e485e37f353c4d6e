"""Notifications, a sound and a count in the title, for who asks for them."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import Page, expect

from pipeline.kafka.broker import free_port
from pipeline.settings import Settings
from tests.pipeline.web.alert_log import AlertLog, resolved
from tests.pipeline.web.conftest import Site, running
from tests.pipeline.web.page.visit import cards, is_live, now_event

RECORDING = """
window.asked = 0; window.told = [];
window.Notification = class {
  static permission = 'default';
  static async requestPermission() { asked += 1; return this.permission = 'granted'; }
  constructor(title, { body, tag }) { told.push([title, body, tag]); }
  close() {}
};
"""


async def test_notifications_are_asked_for_on_a_click_and_told_once(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    settings = replace(settings, web_port=free_port())
    await page.add_init_script(RECORDING)
    async with running(settings) as site:
        await site.until_ready()
        await log.tell(now_event("before"))
        await page.goto(site.http)
        await expect(cards(page)).to_have_count(1)
        assert await page.evaluate("[asked, told.length]") == [0, 0]  # silent for a backlog
        await page.get_by_role("button", name="Notifications").click()
        await expect(page.get_by_role("button", name="Notifications")).to_have_attribute(
            "aria-pressed", "true"
        )
        await log.tell(now_event("a"), now_event("a"), now_event("old", ago=7_200))
        await expect(cards(page)).to_have_count(3)
    async with running(settings) as site:
        await is_live(page)  # the open alerts come once more
        await log.tell(now_event("a", 2, event="updated", reason="value"))
        await log.tell(resolved("a", 3, device_id="device-a"), now_event("b"))
        await expect(cards(page)).to_have_count(4)
        told = await page.evaluate("told")
    message = "Temperature is 36.2°C (threshold: 35.0°C)"
    assert told == [
        ["🔥 High Temperature Alert!", f"device-{one}: {message}", one] for one in ("a", "b")
    ]
    assert await page.evaluate("asked") == 1


async def test_what_is_seen_once_its_suppression_ends_is_told_once(
    log: AlertLog, site: Site, page: Page
) -> None:
    """Silenced from the start, or after it was told; and where it got worse in silence."""
    over = {"event": "updated", "reason": "unsuppressed"}
    await page.add_init_script(RECORDING)
    await page.goto(site.http)
    await is_live(page)
    await page.get_by_role("button", name="Notifications").click()
    await log.tell(
        now_event("hidden", severity="warning", suppressed_by="s1"),
        now_event("known", severity="warning"),
        now_event("worse", severity="warning"),
    )
    await expect(cards(page)).to_have_count(2)
    await log.tell(
        now_event("known", 2, severity="warning", event="reminder", suppressed_by="s1"),
        now_event("worse", 2, previous_severity="warning", event="updated", suppressed_by="s1"),
        now_event("hidden", 2, severity="warning", **over),
        now_event("known", 3, severity="warning", **over),
        now_event("worse", 3, **over),
        now_event("hidden", 2, severity="warning", **over),
        now_event("hidden", 3, severity="warning", **over),
        now_event("last"),
    )
    await expect(cards(page)).to_have_count(4)
    told = [tag for _, _, tag in await page.evaluate("told")]
    assert sorted(told[:2]) == ["known", "worse"]
    # three within a short time, and then one for all others
    assert told[2:] == ["hidden", "more", "more"]


async def test_the_title_counts_what_came_while_nobody_looked(
    log: AlertLog, site: Site, page: Page
) -> None:
    await page.goto(site.http)
    await is_live(page)
    await page.evaluate("document.hasFocus = () => false")
    await log.tell(now_event("a"), now_event("b"))
    await expect(page).to_have_title("(2) smart-iot")
    await page.keyboard.press("Tab")
    await expect(page).to_have_title("smart-iot")


async def test_a_sound_is_made_by_the_page_itself_once_it_was_asked_for(
    log: AlertLog, site: Site, page: Page
) -> None:
    await page.add_init_script(
        "window.tones = 0; const start = OscillatorNode.prototype.start;"
        "OscillatorNode.prototype.start = function (at) { tones += 1; start.call(this, at); }"
    )
    await page.goto(site.http)
    await is_live(page)
    await log.tell(now_event("a"))
    await expect(cards(page)).to_have_count(1)
    assert await page.evaluate("tones") == 0
    await page.get_by_role("button", name="Sound").click()
    await log.tell(now_event("b"))
    await page.wait_for_function("tones >= 3")
