"""A real Chromium in; a page of it out. The real web view and its alert log come from above."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from tests.chromium import chromium
from tests.pipeline.web.page.visit import MINUTE


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> Page:
    page = await browser.new_page(locale="en-GB")
    page.set_default_timeout(MINUTE)
    return page
