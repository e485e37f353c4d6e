"""Whether a process is ready in; what a supervisor and Prometheus ask of it out, over HTTP."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from pipeline.metrics import REGISTRY

log = logging.getLogger(__name__)

Ready = Callable[[], str | None]


async def healthy(_: web.Request) -> web.Response:
    return web.json_response({"healthy": True})


async def metrics(request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


def readiness(problem: str | None) -> web.Response:
    if problem:
        return web.json_response({"ready": False, "reason": problem}, status=503)
    return web.json_response({"ready": True})


class Vitals:
    """`/metrics`, `/-/healthy` and `/-/ready` of a process that has no web view. `ready` is the
    reason why it isn't, or None."""

    def __init__(self, host: str, port: int, ready: Ready) -> None:
        self._host, self._port, self._ready = host, port, ready
        app = web.Application()
        app.router.add_get("/-/healthy", healthy)
        app.router.add_get("/-/ready", self.ready)
        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def ready(self, _: web.Request) -> web.Response:
        return readiness(self._ready())

    async def start(self) -> None:
        """Listen there, or on a free port where that is taken: one of several on this machine."""
        await self._runner.setup()
        with contextlib.suppress(OSError):
            await web.TCPSite(self._runner, self._host, self._port).start()
        if not self._runner.addresses:
            log.warning("port %d of %s is taken: taking a free one", self._port, self._host)
            await web.TCPSite(self._runner, self._host, 0).start()
        log.info("metrics: http://%s:%d/metrics", self._host, self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()
