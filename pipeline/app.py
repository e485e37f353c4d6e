"""What `faust -A pipeline.app worker` runs: agents, table and web view, put together."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

from aiokafka.client import AIOKafkaClient
from mode import Service

from agents.detection import detection
from pipeline.garbage import briefly, seldom
from pipeline.hugepages import HugePages
from pipeline.metrics import WORKER, expose
from pipeline.sensor import monitored
from pipeline.settings import Settings, SettingsError
from pipeline.streams import app, end_process, supervised
from pipeline.watchdog import Watchdog
from pipeline.web.identity import identities
from pipeline.web.rules import Judging
from pipeline.web.server import WebView
from pipeline.web.tasks import Deaf

__all__ = ["app"]

log = logging.getLogger(__name__)

SETTLE = 10.0  # seconds between two looks at whether what we keep has grown


class Web(Service):
    """The web view's life inside the worker: from the first second to the last."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.view = _view(app.settings)

    async def on_start(self) -> None:
        try:
            await self.view.start()
        except SettingsError as error:
            # a second worker on this machine: its alerts matter more than its port
            log.warning("%s: taking a free port instead", error)
            anywhere = dataclasses.replace(app.settings, web_port=0)
            self.view = _view(anywhere)
            await self.view.start()

    async def on_stop(self) -> None:
        try:
            await self.view.stop()
        except Deaf as deaf:  # nothing else of the worker is left by now
            end_process(str(deaf))


def _view(settings: Settings) -> WebView:
    judging = Judging(detection.reloading.rules, detection.reloading.commanding)
    return WebView(settings, detection.ownership.unready, judging)


async def identify(topic: str) -> str:
    """Which one it is of those that ever had that name."""
    client = AIOKafkaClient(**app.settings.kafka())
    try:
        await client.bootstrap()
        return (await identities(client, [topic]))[topic]
    finally:
        await client.close()


async def settle() -> None:
    """Have the devices in huge pages, as far as there are any."""
    pages = HugePages()
    try:
        while not app.should_stop:
            if pages.have_grown():
                await asyncio.to_thread(pages.settle)
            await asyncio.sleep(SETTLE)
    finally:
        pages.end()


def start() -> None:
    watchdog.start()
    seldom()
    briefly()


monitored(app, WORKER)
expose(WORKER)
app.on_identify = identify
app.on_release = detection.release
app.on_restore = detection.ownership.restore
app.on_positioned = detection.positioned
app.web_service = Web()
watchdog = Watchdog(app)
detection.beat = watchdog.beat
app.task(lambda: supervised(settle()))
app.on_setup = start
