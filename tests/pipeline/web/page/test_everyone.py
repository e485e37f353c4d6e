"""Both languages, any width, either theme, the keyboard, and what axe says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.pipeline.rules.history import LADDER, History, play, wire
from tests.pipeline.web.alert_log import AlertLog, resolved
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import (
    RULES,
    answers,
    cards,
    is_live,
    now_event,
    readings,
    state,
    statistics,
)


async def test_the_browsers_language_is_spoken_and_can_be_switched(
    log: AlertLog, site: Site, browser: Browser
) -> None:
    page = await browser.new_page(locale="vi-VN")
    await log.tell(now_event("a", device_id="nhà-kính"))
    await page.goto(site.http)
    await expect(page.locator("html")).to_have_attribute("lang", "vi")
    await expect(state(page)).to_have_text("Trực tiếp")
    await expect(cards(page).locator("h3")).to_have_text("🔥 Cảnh báo nhiệt độ cao!")
    await expect(cards(page).locator(".said")).to_have_text("Nhiệt độ 36,2°C (ngưỡng: 35,0°C)")
    await page.get_by_role("button", name="Language: English").click()
    await expect(state(page)).to_have_text("Live")
    await expect(cards(page).locator("h3")).to_have_text("🔥 High Temperature Alert!")
    await page.reload()
    await expect(state(page)).to_have_text("Live")  # it is remembered


def all_that_is_said() -> list[dict[str, Any]]:
    """An event of each kind, in the pipeline's own words; each an alert of its own."""
    told = History()
    days = [
        {},
        {"temperature": 36.2},
        {"temperature": 8.0, "humidity": 91.0},
        {"humidity": 10.0, "battery": 15.0},
        {"battery": 3.0},
        {"temperature": 99.0},
        {},
    ]
    for number, values in enumerate(days):
        told.reading(60 * number, values={"temperature": 20.0, **values})
    told.settle(3_000)
    told.reading(3_100)
    ladder = play("load", [(0, 61), (10, 73), (20, 85), (30, 40)], LADDER)
    events = enumerate(wire([*told.events, *ladder]))
    ours = {"seq": 1, "suppressed_by": None}
    said = [{**one, **ours, "alert_id": f"a{number}"} for number, one in events]
    rare = [{**said[0], "title": title, "message": message} for title, message in RARE]
    return [*said, *({**one, "alert_id": f"r{number}"} for number, one in enumerate(rare))]


RARE = (
    ("✅ Rule Removed", "The rule heat is no more"),
    ("✅ Rule Changed", "Temperature is 36.0°C, which the changed rule heat allows"),
    ("✅ Rule Changed", "Temperature is not known, which the changed rule heat allows"),
    ("✅ Rule Changed", "The changed rule offline allows longer silence"),
    ("✅ Device Retired", "Retired after a long silence"),
    ("🔥 High Temperature Alert!", "No reading since, Temperature is unknown"),
    ("🔥 High Temperature Alert!", "Temperature is not known (threshold: 35.0°C)"),
    ("⚙️ Sensor Fault!", "Humidity is 50.0% and has not moved for 30 readings"),
    ("📴 Device Offline!", "Still offline at 2026-11-22T11:00:30.000Z, danger"),
    ("📴 Fleet Offline!", "6 devices fell silent together (a, b, c, d, e, …)"),
    ("📴 Nothing Arrives!", "2 devices fell silent together (a, b) and nothing arrives"),
    ("✅ Fleet Back Online", "Most devices are back at 2026-11-22T10:01:35.000Z"),
)


async def test_in_vietnamese_nothing_that_the_pipeline_says_stays_english(
    log: AlertLog, site: Site, browser: Browser
) -> None:
    page = await browser.new_page(locale="vi-VN")
    await page.goto(site.http)
    await is_live(page)
    events = all_that_is_said()
    assert len({event["title"] for event in events}) > 10
    await log.tell(*events)
    await expect(cards(page)).to_have_count(len(events))
    said = "\n".join(await cards(page).locator("h3, .said").all_inner_texts())
    english = (
        r"\b(Alert|High|Low|Fault|Back|Device|Fleet|Rule|is|was|are|by|at|after|and|due|which|no|not"
        r"|allows|threshold|Offline|Retired)\b"
    )
    assert re.findall(english, said) == [], said


SAID = {"en-US": ("Acknowledge", "Your name"), "vi-VN": ("Xác nhận", "Tên của bạn")}


@pytest.mark.parametrize(
    ("language", "width", "colours"),
    [
        *[("en-US", width, colours) for width in (360, 1440) for colours in ("light", "dark")],
        ("vi-VN", 360, "light"),  # its words are longer
        ("vi-VN", 3840, "dark"),  # on the wall
    ],
)
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    log: AlertLog, site: Site, browser: Browser, language: str, width: int, colours: Any
) -> None:
    page = await browser.new_page(
        viewport={"width": width, "height": 800},
        color_scheme=colours,
        locale=language,
        reduced_motion="reduce",
    )
    acknowledge, your_name = SAID[language]
    violations: list[str] = []
    page.on("console", lambda said: violations.append(said.text))
    long = "a-device-with-rather-a-long-name/" + "x" * 95
    item = {**readings(1)[0], "device_id": long, "co2": 1e300, "battery": 87}
    await answers(page, "**/api/readings/latest_all/", [item, *readings(30, offline=2)])
    await answers(page, f"**/api/readings/latest/{long.replace('/', '%2F')}/", item)
    await answers(page, "**/api/stats/?*", statistics(None, "30d"))
    await answers(page, "**/api/rules/**", RULES)
    known = {"acked": True, "acked_by": "Ada", "note": "on my way", "event": "acked"}
    await log.tell(
        now_event("a", device_id=long),
        now_event("b", severity="warning"),
        now_event("c", severity="info", **known),
    )
    await page.goto(site.http)
    await expect(cards(page)).to_have_count(3)
    await log.tell(resolved("b", device_id="device-b", severity="warning"))
    await expect(cards(page).last).to_have_attribute("data-type", "resolved")
    await page.locator("#alerts [data-id=a]").get_by_role("button", name=acknowledge).click()
    await expect(page.get_by_label(your_name)).to_be_focused()
    await fits_and_is_accessible(page)
    await page.goto(f"{site.http}/#/device/{long.replace('/', '%2F')}")
    await expect(page.locator(".values")).to_be_visible()
    await expect(page.locator(".chart canvas").first).to_be_visible()
    await fits_and_is_accessible(page)
    assert [text for text in violations if "503" not in text] == []  # which is: not read yet


async def fits_and_is_accessible(page: Page) -> None:
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(wide) == 0
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


async def test_the_keyboard_reaches_everything(log: AlertLog, site: Site, page: Page) -> None:
    await answers(page, "**/api/readings/latest_all/", readings(3))
    await log.tell(now_event("a"))
    await page.goto(site.http)
    await expect(cards(page)).to_have_count(1)
    await expect(page.get_by_role("grid")).to_be_visible()
    reached = []
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                "(e => e.id || e.getAttribute('aria-label') || e.textContent)"
                "(document.activeElement)"
            )
        )
    for wanted in (
        "Skip to the alerts", "Notifications", "Sound", "Online0", "clear", "Danger", "alerts",
        "device-a", "Acknowledge: 🔥 High Temperature Alert! device-a", "last 24 hours", "search",
        "readings",
    ):  # fmt: skip
        assert wanted.replace("Online0", "Online3") in reached
