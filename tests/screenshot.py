"""A fleet's readings into a real worker, a picture of its page out: `make screenshot`.

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
from typing import NoReturn

from pipeline.kafka.broker import running
from tests.chromium import chromium
from tests.proof.kafka import Sent, publish
from tests.proof.worker import Worker

PLACES = {"greenhouse": 26, "attic": 29, "cellar": 16, "cold-store": 13, "office": 22, "barn": 19}
STEP = 2.0  # seconds between two readings of a device
SIZE = {"width": 1240, "height": 780}


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


def readings(devices: dict[str, dict[str, float]], second: float) -> Iterator[Sent]:
    """What the devices say `second` seconds after the beginning: some are in trouble by then."""
    for number, (device, usual) in enumerate(devices.items()):
        if device == "barn/3" and second > 9:
            continue  # falls silent
        if device == "cellar/2" and second > 62:
            continue  # is about to
        values = {
            metric: round(value + math.sin(second / 9 + number) * 0.6, 1)
            for metric, value in usual.items()
        }
        trouble = {
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


async def live(bootstrap: str) -> NoReturn:
    devices, began = fleet(), time.monotonic()
    while True:
        await publish(bootstrap, "readings", readings(devices, time.monotonic() - began))
        await asyncio.sleep(STEP)


async def picture(bootstrap: str, folder: Path, target: Path) -> None:
    with Worker(bootstrap, "", folder) as worker:
        await worker.ready()
        async with chromium() as browser:
            page = await browser.new_page(viewport=SIZE, color_scheme="light", locale="en-GB")
            await page.goto(f"http://127.0.0.1:{worker.port}/")
            async with asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(live(bootstrap))
                for state in ("late", "offline"):
                    await page.locator(f'#readings [data-status="{state}"]').wait_for(timeout=2e5)
                await page.screenshot(path=target)
                speaking.cancel()
        worker.stop()


def main() -> None:
    target = Path(sys.argv[1])
    target.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "kafka", say=print) as kafka,
    ):
        asyncio.run(picture(kafka.bootstrap, Path(folder), target))
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
