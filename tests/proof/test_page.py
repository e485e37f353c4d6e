"""The page as its users meet it: a real worker, a real Kafka, a real Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest
import websockets
from playwright.async_api import Browser, Locator, Page, expect

from tests.chromium import chromium
from tests.lab import heard
from tests.proof.kafka import Sent, publish
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEEDS_CONSOLE = """
const ws = new WebSocket('ws://localhost:8000/ws/alerts/');

ws.onopen = () => console.log('✅ Connected');
ws.onmessage = (e) => console.log('📨 Message:', JSON.parse(e.data));
ws.onerror = (e) => console.error('❌ Error:', e);
ws.onclose = () => console.log('🔌 Disconnected');
"""
MINUTE = 60_000.0  # ms: where a test hangs, not how fast something has to be

expect.set_options(timeout=MINUTE)


class Visit:
    """A page that was opened, and whatever Chromium said against it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        page.set_default_timeout(MINUTE)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    async def open(self, worker: Worker) -> Visit:
        await self.page.goto(f"http://127.0.0.1:{worker.port}/")
        await self.is_live()
        return self

    @property
    def alerts(self) -> Locator:
        return self.page.locator("#alerts article")

    def row(self, device_id: str) -> Locator:
        return self.page.locator("#readings .rows .row").filter(has_text=device_id)

    async def is_live(self) -> None:
        await expect(self.page.locator("#connection")).to_have_text("Live")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def worker(kafka: Any, prefix: str, tmp_path: Path) -> AsyncIterator[Worker]:
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        yield worker


@pytest.fixture
async def visit(browser: Browser, worker: Worker) -> Visit:
    return await Visit(await browser.new_page()).open(worker)


@pytest.fixture
def say(kafka: Any, prefix: str) -> Any:
    async def say(device: str, **fields: float) -> None:
        await publish(kafka.bootstrap, prefix + "readings", [Sent(device, fields, time.time())])

    return say


async def test_alerts_come_live_newest_first_and_can_be_cleared(visit: Visit, say: Any) -> None:
    page = visit.page
    await expect(page.locator("#empty-text")).to_have_text("No alerts - All systems normal")
    await say("attic", temperature=36.2)
    await expect(visit.alerts).to_have_count(1)
    await say("cellar", humidity=91.0)
    await expect(visit.alerts).to_have_count(2)
    newest, first = visit.alerts.nth(0), visit.alerts.nth(1)
    await expect(newest).to_contain_text("💧 High Humidity Alert!")
    await expect(newest.get_by_role("link")).to_have_text("cellar")
    await expect(first).to_contain_text("Temperature is 36.2°C (threshold: 35.0°C)")
    assert await first.get_attribute("data-type") == "danger"
    await expect(page.locator("#count-open")).to_have_text("2")

    await page.get_by_role("button", name="Clear All").click()
    await expect(visit.alerts).to_have_count(0)
    await expect(page.locator("#empty-text")).to_have_text("List cleared - 2 alerts are still open")
    await say("attic", temperature=21.0)
    await say("cellar", humidity=50.0)
    await expect(visit.alerts).to_have_count(2)
    await page.get_by_role("button", name="Clear All").click()
    await expect(page.locator("#empty-text")).to_have_text("No alerts - All systems normal")
    # so nothing was against the Content-Security-Policy; 503 is what isn't read yet
    assert [text for text in visit.said if "503" not in text] == []


async def test_an_acknowledgement_is_seen_by_a_second_browser(
    visit: Visit, browser: Browser, worker: Worker, say: Any
) -> None:
    other = await Visit(await (await browser.new_context()).new_page()).open(worker)
    await say("attic", temperature=36.2)
    card = visit.alerts.first
    await card.get_by_role("button", name="Acknowledge").click()
    await card.get_by_label("Your name").fill("Ada")
    await card.get_by_label("Note").fill("on my <b>way</b>")
    await card.get_by_label("Note").press("Enter")
    for page in (visit, other):
        await expect(page.alerts.locator(".ack")).to_have_text(
            "Acknowledged by Adaon my <b>way</b>"
        )
        await expect(page.alerts).to_have_attribute("data-type", "danger")
        await expect(page.alerts.get_by_role("button", name="Acknowledge")).to_have_count(0)


async def test_the_table_fills_with_the_newest_readings(visit: Visit, say: Any) -> None:
    await expect(visit.page.locator("#readings-empty")).to_be_visible()
    await say("attic", temperature=21.5, humidity=48.0, battery=87.0, co2=612.0)
    attic = visit.row("attic")
    for words in ("Online", "21.5 °C", "48.0 %", "87 %", "CO₂ 612 ppm"):
        await expect(attic).to_contain_text(words)
    await say("attic", temperature=22.5)
    await expect(attic).to_contain_text("22.5 °C")
    await expect(visit.page.locator("#count-online")).to_have_text("1")


async def test_a_device_that_falls_silent_is_late_without_a_word_from_it(
    visit: Visit, say: Any
) -> None:
    for _ in range(3):
        await say("attic", temperature=21.5)
        await asyncio.sleep(1.5)
    await expect(visit.row("attic")).to_contain_text("Online")
    await expect(visit.row("attic")).to_contain_text("Late")


async def test_a_devices_page_draws_what_it_says_from_now_on_and_the_rules_that_hold_for_it(
    visit: Visit, say: Any
) -> None:
    await say("hall/1", temperature=21.5)
    await visit.row("hall/1").get_by_role("link").click()
    await expect(visit.page.locator(".values")).to_contain_text("21.5 °C")
    await say("hall/1", temperature=36.5)
    chart = visit.page.get_by_role("img", name="Temperature: between 21.5 °C and 36.5 °C")
    await expect(chart).to_be_visible()
    await expect(visit.alerts).to_contain_text("High Temperature Alert!")


async def test_a_page_reconnects_by_itself_when_the_worker_is_back(
    visit: Visit, worker: Worker, say: Any
) -> None:
    page = visit.page
    await page.evaluate("window.neverReloaded = true")
    await say("attic", temperature=36.2)
    await expect(visit.alerts).to_have_count(1)
    assert worker.stop() == 0
    await expect(page.locator("#connection")).to_have_attribute(
        "data-state", re.compile("reconnecting|stale")
    )
    await expect(page.locator("#readings-state")).to_have_text("No answer; trying again")
    await expect(visit.alerts).to_have_count(1)
    await say("cellar", humidity=91.0)  # while nobody is there
    worker.start()
    await visit.is_live()
    await expect(visit.alerts).to_have_count(2)  # the one that it knew isn't shown again
    await expect(visit.alerts.first).to_contain_text("cellar")
    await expect(visit.row("cellar")).to_contain_text("91.0 %")
    assert await page.evaluate("window.neverReloaded") is True


async def test_the_seeds_console_test_works_from_its_own_origin(
    browser: Browser, worker: Worker, say: Any
) -> None:
    console = SEEDS_CONSOLE.replace("8000", str(worker.port))
    with serving_an_empty_page(3000):
        visit = Visit(await browser.new_page())
        await visit.page.goto("http://localhost:3000/")
        # as a script: `evaluate` would call the function that its last line is worth
        await visit.page.add_script_tag(content=console)
        await said(visit, "Connected to alerts stream")
        await say("attic", temperature=36.2)
        await said(visit, "High Temperature Alert!")
        # and a page under development there may poll us too
        url = f"http://localhost:{worker.port}/api/alerts/active/"
        assert len(await visit.page.evaluate("url => fetch(url).then(a => a.json())", url)) == 1
    assert not [text for text in visit.said if "❌" in text or "🔌" in text]


async def said(visit: Visit, part: str) -> None:
    while not any(part in text for text in visit.said):
        await visit.page.wait_for_event("console")


@contextlib.contextmanager
def serving_an_empty_page(port: int) -> Any:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>a page under development</title>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", port), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


async def test_a_reading_reaches_the_api_and_the_sensor_streams_as_one_message(
    worker: Worker, say: Any
) -> None:
    base = f"127.0.0.1:{worker.port}"
    async with (
        websockets.connect(f"ws://{base}/ws/sensors/") as every,
        websockets.connect(f"ws://{base}/ws/sensors/hall%2F1/") as one,
        aiohttp.ClientSession() as session,
    ):
        for stream in (every, one):
            assert '"type": "connection"' in str(await stream.recv())
        await say("hall/1", temperature=21.5, humidity=48.0)
        messages = [await heard(stream.recv) for stream in (every, one)]
        assert messages[0] == messages[1]
        items: list[dict[str, Any]] = []
        while not items:
            async with session.get(f"http://{base}/api/readings/latest_all/") as answer:
                items = await answer.json() if answer.status == 200 else []
            await asyncio.sleep(0.1)
        assert messages == [{**items[0], "type": "reading"}] * 2
