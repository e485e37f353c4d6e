"""A fleet's readings into a real worker, pictures of its page out: `make screenshot`.

Takes a bit more than a minute: a device has to be silent for that long to be called offline.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from playwright.async_api import Browser, Page

from pipeline.kafka.broker import running
from tests.chromium import chromium
from tests.proof.kafka import Sent, publish
from tests.proof.worker import Worker

PLACES = {"greenhouse": 26, "attic": 29, "cellar": 16, "cold-store": 13, "office": 22, "barn": 19}
STEP = 2.0  # seconds between two readings of a device
PAST, PAST_STEP = 23 * 3600, 60  # seconds of history, and between two readings of it


class Shot(NamedTuple):
    name: str
    colours: Literal["light", "dark"]
    width: int
    height: int
    address: str = ""
    locale: str = "en-GB"


SHOTS = (
    Shot("page", "light", 1440, 900),
    Shot("page-dark", "dark", 1440, 900),
    Shot("page-device", "light", 1440, 900, "#/device/greenhouse%2F2"),
    Shot("page-phone", "dark", 390, 844, locale="vi-VN"),
)


def fleet() -> dict[str, dict[str, float]]:
    draw = random.Random(7)
    devices = {
        f"{place}/{number}": {
            "temperature": usual + draw.uniform(-1.5, 1.5),
            "humidity": draw.uniform(38, 66),
            "battery": draw.uniform(45, 99),
        }
        for place, usual in PLACES.items()
        for number in (1, 2, 3)
    }
    for number in (1, 2):
        devices[f"attic/{number}"]["co2"] = draw.uniform(420, 800)
    return devices


def usual_values(
    number: int, usual: dict[str, float], ago: float, wave: float = 0.0
) -> dict[str, float]:
    """Warmer by day than by night, and never quite the same."""
    sun = math.sin((ago / 86_400) * 2 * math.pi + 2.2)
    swing = {"temperature": 2.2, "humidity": -5.0, "co2": 60.0}
    noise = {"temperature": 0.4, "humidity": 1.2, "co2": 15.0}
    return {
        metric: round(
            value
            + swing.get(metric, 0.0) * sun
            + noise.get(metric, 0.0) * math.sin(ago * 7.3 + number)
            + math.sin(wave + number) * 0.6,
            1,
        )
        for metric, value in usual.items()
    }


def history(devices: dict[str, dict[str, float]], now: float) -> Iterator[Sent]:
    """The day before, in the order of time."""
    for ago in range(PAST, 0, -PAST_STEP):
        for number, (device, usual) in enumerate(devices.items()):
            yield Sent(device, usual_values(number, usual, ago, ago / 1400), now - ago)


def readings(devices: dict[str, dict[str, float]], second: float) -> Iterator[Sent]:
    """What the devices say `second` seconds after the beginning: some are in trouble by then."""
    for number, (device, usual) in enumerate(devices.items()):
        if device == "barn/3" and second > 30:
            continue  # falls silent
        if device == "cellar/2" and second > 82:
            continue  # is about to
        values = usual_values(number, usual, 0, second / 9)
        trouble: dict[tuple[str, int], dict[str, float]] = {
            ("greenhouse/2", 30): {"temperature": 36.4},
            ("cold-store/1", 50): {"temperature": 8.7},
            ("cellar/3", 62): {"humidity": 83.5},
            ("office/3", 40): {"battery": 17.0},
        }
        for (name, since), wrong in trouble.items():
            if name == device and second > since:
                values |= wrong
        if device == "attic/1" and 20 < second < 58:
            values["temperature"] = 35.6
        yield Sent(device, values, time.time())


async def live(bootstrap: str, devices: dict[str, dict[str, float]]) -> NoReturn:
    began = time.monotonic()
    while True:
        await publish(bootstrap, "readings", readings(devices, time.monotonic() - began))
        await asyncio.sleep(STEP)


async def opened(browser: Browser, shot: Shot, port: int, **more: Any) -> Page:
    page = await browser.new_page(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.colours,
        locale=shot.locale,
        device_scale_factor=2 if shot.width < 600 else 1,
        **more,
    )
    await page.goto(f"http://127.0.0.1:{port}/{shot.address}")
    return page


async def in_trouble(page: Page) -> None:
    """One device late, one offline, and the first alert known to somebody."""
    for state in ("late", "offline"):
        await page.locator(f'#readings .status[data-status="{state}"]').wait_for(timeout=2e5)
    known = page.locator(".alert", has_text="office/3")
    await known.get_by_role("button", name="Acknowledge").click()
    await known.get_by_label("Your name").fill("Ada")
    await known.get_by_label("Note").fill("new cells are on their way")
    await known.get_by_role("button", name="Send").click()
    await page.locator('.alert[data-acked="true"]').wait_for()
    await page.locator("#alerts").focus()


async def pictures(bootstrap: str, folder: Path, target: Path) -> None:
    devices = fleet()
    with Worker(bootstrap, "", folder) as worker:
        await worker.ready()
        await publish(bootstrap, "readings", history(devices, time.time()))
        async with chromium() as browser, asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(live(bootstrap, devices))
            pages = [(shot, await opened(browser, shot, worker.port)) for shot in SHOTS]
            await in_trouble(pages[0][1])
            for shot, page in pages:
                await page.bring_to_front()
                await page.locator(".badge[data-state=live]").wait_for()
                await asyncio.sleep(1)  # what was just told comes in with a movement
                await page.screenshot(path=target / f"{shot.name}.png")
            speaking.cancel()
        worker.stop()


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "kafka", say=print) as kafka,
    ):
        asyncio.run(pictures(kafka.bootstrap, Path(folder), target))
    for shot in SHOTS:
        path = target / f"{shot.name}.png"
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
