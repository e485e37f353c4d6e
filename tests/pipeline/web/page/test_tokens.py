"""A view that asks for tokens, met by a page."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import Page, expect

from pipeline.access import parse
from pipeline.settings import Settings
from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import running
from tests.pipeline.web.page.visit import cards, now_event

TOKENS = """[{"token": "the-right-one", "name": "ada", "devices": ["attic-*"], "can": ["read"]}]"""


async def test_a_view_that_wants_a_token_gets_it_and_never_in_an_address(
    log: AlertLog, settings: Settings, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    await log.tell(now_event("a", device_id="attic-1"), now_event("b", device_id="cellar-1"))
    async with running(replace(settings, tokens=parse(TOKENS))) as site:
        await site.until_ready()
        await page.goto(site.http)
        token = page.get_by_label("Token")
        await token.fill("a-wrong-one")
        await token.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("That token is not known here.")
        await token.fill("the-right-one")
        await token.press("Enter")
        await expect(cards(page)).to_have_count(1)
        await expect(cards(page)).to_contain_text("attic-1")
        await expect(cards(page).get_by_role("button", name="Acknowledge")).to_have_count(0)
        await page.reload()
        await expect(cards(page)).to_have_count(1)
        assert not [url for url in asked if "the-right-one" in url]
        await page.get_by_role("button", name="Sign out (ada)").click()
        await expect(token).to_be_visible()
