"""Settings in; the web view out, started and stopped inside the caller's event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from typing import cast

from aiohttp import web

from pipeline.metrics import VIEW, expose
from pipeline.settings import Settings, SettingsError
from pipeline.web.changes import Changes, Sender
from pipeline.web.databases import newest_of, past_of
from pipeline.web.devices import Devices
from pipeline.web.door import Door
from pipeline.web.feed import Feed
from pipeline.web.gate import Gate
from pipeline.web.history import History
from pipeline.web.hub import Hub
from pipeline.web.live import Live
from pipeline.web.pulse import feel
from pipeline.web.rules import Judging, Rules
from pipeline.web.sensors import Sensors
from pipeline.web.stats import Statistics
from pipeline.web.tasks import Tasks
from pipeline.web.views import Views

log = logging.getLogger(__name__)

BACKLOG = 4096  # connections that may wait to be accepted, when all viewers come back at once
ACCEPTED = 8  # connections in a turn of the event loop, fewer than are heard in one (`A_TURN`)
OTHER_FILES = 500  # beside the viewers' sockets
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
        expose(VIEW)
        self._settings = settings
        self._hub = Hub(settings.viewers, settings.viewers_per_address, settings.viewer_queue)
        self._feed = Feed(settings, self._hub)
        gate = Gate(settings)
        door = Door(settings, self._hub, gate)
        self._live = Live(door, self._hub.audience, self._feed, ping_every)

        def first() -> str | None:
            return self._feed.problem or ready()

        past, newest = past_of(settings), newest_of(settings)
        self._asked = [one for one in (past, newest) if one is not None]
        self._devices = Devices(settings, first)
        self._history = History(settings, self._feed, first, past)
        self._statistics = Statistics(settings, first, past)
        self._sensors = Sensors(settings, door, ping_every)
        sender = Sender(settings)
        self._changes = Changes(sender, self._feed, self._devices, self._history)
        rules = Rules(settings, sender, judging)
        others = (self._changes, rules, self._history, self._statistics)
        views = Views(
            self._feed, self._devices, gate, self._live, self._sensors, others, ready, newest
        )
        app = views.application()
        app.on_shutdown.append(self._send_viewers_away)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
        self._tasks = Tasks(
            {
                "alert feed": self._feed.run,
                "telling of the viewers": self._hub.audience.tell,
                "viewers' ping": self._live.ping,
                "look for viewers that are gone": self._hub.ping,
                "look at the event loop": feel,
                "reading of the devices": self._devices.run,
                "reading of the alerts' history": self._history.run,
                "reading of the windows": self._statistics.run,
                "sensor streams": self._sensors.run,
            }
        )
        self.port = 0

    async def start(self) -> None:
        """Listen, then read. SettingsError where we can't listen."""
        tls = self._settings.web_tls()
        make_room(self._settings.viewers)
        await self._runner.setup()
        try:
            await self._listen(tls)
        except BaseException:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        self._tasks.start()
        scheme = "https" if tls else "http"
        log.info("web view: %s://%s:%d/", scheme, self._settings.web_host, self.port)

    async def stop(self) -> None:
        """Deaf where a task of ours goes on; everything else has ended then."""
        try:
            await self._tasks.stop()
        finally:
            await self._runner.cleanup()
            await self._changes.stop()
            for asked in self._asked:
                await asked.stop()

    async def _listen(self, tls: ssl.SSLContext | None) -> None:
        host, port = self._settings.web_host, self._settings.web_port
        try:
            await Site(self._runner, host, port, ssl_context=tls, backlog=ACCEPTED).start()
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            why = "is in use" if in_use else os.strerror(error.errno or 0)
            raise SettingsError(
                f"SMART_IOT_WEB_PORT={port} can't be listened on: port {port} of {host} {why}"
            ) from None

    async def _send_viewers_away(self, _: web.Application) -> None:
        self._hub.close()


class Site(web.TCPSite):
    """asyncio accepts in one turn as many as may wait. Here more may wait."""

    __slots__ = ()

    async def start(self) -> None:
        await super().start()
        for listening in cast(asyncio.Server, self._server).sockets:
            with socket.socket(fileno=os.dup(listening.fileno())) as again:
                again.listen(BACKLOG)


def make_room(viewers: int) -> None:
    """Every viewer is an open file: as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = viewers + OTHER_FILES
    if resource.RLIM_INFINITY in (soft, hard) or soft >= wanted:
        return
    room = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    if room < wanted:
        log.warning(
            "%d viewers may come, but only %d files be open: raise the hard limit (ulimit -Hn)",
            viewers,
            hard,
        )
