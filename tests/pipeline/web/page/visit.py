"""What the tests of the page share: where to look on it, and what a worker would have said."""

from __future__ import annotations

import time
from typing import Any

from playwright.async_api import Locator, Page, expect

from pipeline.records import iso
from tests.pipeline.web.alert_log import event

MINUTE = 60_000.0  # ms: where a test hangs, not how fast something has to be

expect.set_options(timeout=MINUTE)


def cards(page: Page) -> Locator:
    return page.locator("#alerts article")


def state(page: Page) -> Locator:
    return page.locator("#connection")


async def is_live(page: Page) -> None:
    await expect(state(page)).to_have_attribute("data-state", "live")


def now_event(alert_id: str, seq: int = 1, ago: float = 0.0, **changes: Any) -> dict[str, Any]:
    """One that has just happened, on a device of its own."""
    at = iso(time.time() - ago)
    times = {"timestamp": at, "started_at": at, "detected_at": at}
    return event(alert_id, seq, **{"device_id": f"device-{alert_id}", **times, **changes})


async def answers(page: Page, path: str, content: Any, status: int = 200) -> None:
    """What a path answers where no worker is there that could."""
    await page.route(path, lambda route: route.fulfill(json=content, status=status))


def readings(number: int, offline: int = 0) -> list[dict[str, Any]]:
    now = iso(time.time())
    return [
        {
            "device_id": f"hall-{n}",
            "temperature": 20 + n % 7,
            "humidity": 50.5,
            "timestamp": now,
            "status": "offline" if n > number - offline else "online",
        }
        for n in range(1, number + 1)
    ]


def statistics(device: str | None, *more: str) -> dict[str, Any]:
    """Of the last hour. `more` are ranges that are kept beside the usual ones."""
    now = time.time() // 300 * 300
    buckets = [
        {"start": iso(now - 300 * n), "count": 9, "mean": 30 + n % 5, "min": 28, "max": 36}
        for n in range(12, 0, -1)
    ]
    metrics = {name: {"unit": "°C", "buckets": buckets} for name in ("temperature", "co2")}
    whole = {"source": "topic", "device": device, "from": iso(now - 3_600), "to": iso(now)}
    return {**whole, "seconds": 300, "ranges": ["1h", "24h", "7d", *more], "metrics": metrics}


RULES = {
    "rules": {
        "temperature-high": {
            "metric": "temperature",
            "levels": [{"severity": "danger", "above": 35, "clear": 33}],
        }
    }
}
