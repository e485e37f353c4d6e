"""A view that asks for tokens, met by a page."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page, expect

from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site
from tests.pipeline.web.page.visit import cards, now_event


async def test_a_view_that_wants_a_token_gets_it_and_never_in_an_address(
    log: AlertLog, site: Site, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    right = "Bearer s3cret"

    async def me(route: Any) -> None:
        known = route.request.headers.get("authorization") == right
        who = {"tokens": True, "name": "ada", "can": ["read"], "devices": ["*"]}
        await route.fulfill(json=who if known else {"error": "no"}, status=200 if known else 401)

    await page.route("**/api/me/", me)
    await log.tell(now_event("a"))
    await page.goto(site.http)
    token = page.get_by_label("Token")
    await token.fill("wrong")
    await token.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("That token is not known here.")
    await token.fill("s3cret")
    await token.press("Enter")
    await expect(cards(page)).to_have_count(1)
    await expect(cards(page).get_by_role("button", name="Acknowledge")).to_have_count(0)
    await page.reload()
    await expect(cards(page)).to_have_count(1)
    assert not [url for url in asked if "s3cret" in url]
    await page.get_by_role("button", name="Sign out (ada)").click()
    await expect(token).to_be_visible()
