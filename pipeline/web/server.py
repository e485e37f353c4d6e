"""Settings in; the web view out, started and stopped inside the caller's event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable

from aiohttp import web

from pipeline.settings import Settings, SettingsError
from pipeline.web.changes import Changes, Sender
from pipeline.web.devices import Devices
from pipeline.web.door import Door
from pipeline.web.feed import Feed
from pipeline.web.hub import Hub
from pipeline.web.live import Live
from pipeline.web.rules import Judging, Rules
from pipeline.web.sensors import Sensors
from pipeline.web.views import Views

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT = 2.0  # seconds that viewers have to take their close frame


class WebView:
    """The server and the tasks that feed it. `ready` is the reason why its owner isn't, or None,
    `judging` what that judges by, if it does."""

    def __init__(
        self,
        settings: Settings,
        ready: Callable[[], str | None] = lambda: None,
        judging: Judging | None = None,
        *,
        ping_every: float = 5.0,
    ) -> None:
        self._settings = settings
        self._hub = Hub(settings.viewers, settings.viewer_queue)
        self._feed = Feed(settings, self._hub)
        door = Door(settings, self._hub)
        self._live = Live(door, self._hub, self._feed, ping_every)
        self._devices = Devices(settings, lambda: self._feed.problem or ready())
        self._sensors = Sensors(settings, door, ping_every)
        sender = Sender(settings)
        self._changes = Changes(door, sender, self._feed, self._devices)
        rules = Rules(settings, door, sender, judging)
        views = Views(
            self._feed, self._devices, door, self._live, self._sensors, self._changes, rules, ready
        )
        app = views.application()
        app.on_shutdown.append(self._send_viewers_away)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0

    async def start(self) -> None:
        """Listen, then read. SettingsError where we can't listen."""
        await self._runner.setup()
        try:
            await self._listen()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        self._tasks = [
            asyncio.create_task(self._feed.run(), name="alert feed"),
            asyncio.create_task(self._live.ping(), name="viewers' ping"),
            asyncio.create_task(self._devices.run(), name="reading of the devices"),
            asyncio.create_task(self._sensors.run(), name="sensor streams"),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)
        log.info("web view: http://%s:%d/", self._settings.web_host, self.port)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self._changes.stop()

    async def _listen(self) -> None:
        host, port = self._settings.web_host, self._settings.web_port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            why = "is in use" if in_use else os.strerror(error.errno or 0)
            raise SettingsError(
                f"SMART_IOT_WEB_PORT={port} can't be listened on: port {port} of {host} {why}"
            ) from None

    async def _send_viewers_away(self, _: web.Application) -> None:
        self._hub.close()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("web view: the %s ended", task.get_name(), exc_info=error)
