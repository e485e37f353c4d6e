"""HTTP requests in; the page, what is open, the newest readings, health and metrics out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

import msgspec
from aiohttp import web

from pipeline.web.changes import LARGEST_BODY, Changes
from pipeline.web.devices import Devices, Listing
from pipeline.web.door import Door, refusal
from pipeline.web.feed import Feed
from pipeline.web.live import Live
from pipeline.web.rules import Rules
from pipeline.web.sensors import Sensors
from pipeline.web.vitals import healthy, metrics, readiness

STATIC = Path(__file__).parent / "static"
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

View = Callable[[web.Request], Awaitable[web.StreamResponse]]
DeviceView = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


class Views:
    def __init__(
        self,
        feed: Feed,
        devices: Devices,
        door: Door,
        live: Live,
        sensors: Sensors,
        changes: Changes,
        rules: Rules,
        ready: Callable[[], str | None],
    ) -> None:
        self._feed = feed
        self._devices = devices
        self._door = door
        self._live = live
        self._sensors = sensors
        self._changes = changes
        self._rules = rules
        self._ready = ready

    def application(self) -> web.Application:
        app = web.Application(middlewares=[json_errors], client_max_size=LARGEST_BODY)
        app.on_response_prepare.append(self._headers)
        for path, view in {
            "/": self.page,
            "/ws/alerts/": self._live.alerts,
            "/ws/sensors/": self._sensors.every,
            "/api/alerts/active/": self.active,
            "/api/readings/latest_all/": self.latest_all,
            "/api/devices/": self.devices,
            "/-/healthy": healthy,
            "/-/ready": self.ready,
            "/metrics": metrics,
        }.items():
            app.router.add_get(path, view)
            if path.endswith("/") and path != "/":
                app.router.add_get(path.rstrip("/"), view)
        for prefix, device_view in {
            "/api/readings/latest/": self.latest,
            "/ws/sensors/": self._sensors.one,
        }.items():
            app.router.add_get(prefix + "{device:.+}", of_a_device(prefix, device_view))
        self._changes.add_to(app.router)
        self._rules.add_to(app.router)
        app.router.add_get("/static/{name}", static)
        return app

    async def page(self, _: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return web.FileResponse(STATIC / "index.html", headers=headers)

    async def active(self, _: web.Request) -> web.Response:
        """Every open alert, newest first, however old."""
        if problem := self._feed.unknown():
            return refusal(503, problem)
        newest_first = reversed(self._feed.open_alerts())
        return json_body(b"[" + b",".join(alert.text for alert in newest_first) + b"]")

    async def latest_all(self, _: web.Request) -> web.Response:
        return await self._listing(self._devices.latest)

    async def devices(self, _: web.Request) -> web.Response:
        return await self._listing(self._devices.cards)

    async def latest(self, _: web.Request, device_id: str) -> web.Response:
        if problem := self._devices.unknown():
            return refusal(503, problem)
        fleet = self._devices.fleet
        latest = fleet.get(device_id)
        if latest is None:
            return refusal(404, f"no device {device_id} is known")
        return json_body(msgspec.json.encode(fleet.item(latest, time.time())))

    async def _listing(self, listing: Listing) -> web.Response:
        if problem := self._devices.unknown():
            return refusal(503, problem)
        return json_body(await listing.body())

    async def ready(self, _: web.Request) -> web.Response:
        return readiness(self._feed.problem or self._ready())

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        origin = request.headers.get("Origin")
        response.headers["Vary"] = "Origin"
        if origin and self._door.allows(request):
            # a page under development on this machine polls us from its own port
            response.headers["Access-Control-Allow-Origin"] = origin


async def static(request: web.Request) -> web.StreamResponse:
    """One of the page's few files; its name is looked up, never a path made of it."""
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in (".js", ".css", ".svg")}
    found = files.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.FileResponse(found, headers={"Cache-Control": "no-cache"})


def of_a_device(prefix: str, view: DeviceView) -> View:
    """The view, told the device that the rest of the path names, with a last slash or without.

    Of the path as it was sent: an id may hold slashes, and end in one that is percent-encoded."""

    async def told(request: web.Request) -> web.StreamResponse:
        rest = request.rel_url.raw_path.removeprefix(prefix)
        return await view(request, unquote(rest.removesuffix("/")))

    return told


def json_body(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")


@web.middleware
async def json_errors(request: web.Request, handler: View) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(404, f"nothing is at {request.path}")
    except web.HTTPClientError as error:
        response = refusal(error.status, error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
