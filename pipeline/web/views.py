"""HTTP requests in; the page, what is open, the newest readings, health and metrics out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

import msgspec
from aiohttp import web

from pipeline.access import Scope
from pipeline.records import is_device_id
from pipeline.web import asyncapi, openapi
from pipeline.web.alerts import Alert
from pipeline.web.asking import Unanswered
from pipeline.web.changes import LARGEST_BODY
from pipeline.web.devices import Devices, Listing, of_redis
from pipeline.web.feed import Feed
from pipeline.web.files import STATIC, static
from pipeline.web.gate import Gate, refusal, scope_of
from pipeline.web.live import Live
from pipeline.web.requests import followed, identified
from pipeline.web.sensors import Sensors
from pipeline.web.vitals import healthy, metrics, readiness

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.newest import Newest

SOURCE: Final = "X-Source"
REDIS, TOPIC = "redis", "topic"
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
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}

View = Callable[[web.Request], Awaitable[web.StreamResponse]]
DeviceView = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


class HasViews(Protocol):
    def add_to(self, router: web.UrlDispatcher) -> None: ...


class Views:
    """`others` have views of their own, behind ours. What Redis knows goes before what we read."""

    def __init__(
        self,
        feed: Feed,
        devices: Devices,
        gate: Gate,
        live: Live,
        sensors: Sensors,
        others: Iterable[HasViews],
        ready: Callable[[], str | None],
        newest: Newest | None = None,
    ) -> None:
        self._feed = feed
        self._devices = devices
        self._gate = gate
        self._live = live
        self._sensors = sensors
        self._others = others
        self._ready = ready
        self._newest = newest
        self._listed = None if newest is None else Listing(of_redis(newest, devices.fleet))

    def application(self) -> web.Application:
        app = web.Application(middlewares=[followed, self._guarded], client_max_size=LARGEST_BODY)
        app.on_response_prepare.extend((self._headers, identified))
        for path, view in {
            "/": self.page,
            "/ws/alerts/": self._live.alerts,
            "/ws/sensors/": self._sensors.every,
            "/api/alerts/active/": self.active,
            "/api/readings/latest_all/": self.latest_all,
            "/api/devices/": self.devices,
            "/api/me/": self._gate.me,
            "/api/openapi.json": openapi.served,
            "/api/asyncapi.json": asyncapi.served,
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
        for other in self._others:
            other.add_to(app.router)
        app.router.add_get("/static/{name}", static)
        return app

    async def page(self, _: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return web.FileResponse(STATIC / "index.html", headers=headers)

    async def active(self, request: web.Request) -> web.Response:
        """Every open alert, newest first, however old."""
        if self._newest is not None:
            with suppress(Unanswered):
                return alerts_body(await self._newest.open_alerts(), scope_of(request), REDIS)
        if problem := self._feed.unknown():
            return refusal(503, problem)
        return alerts_body(reversed(self._feed.open_alerts()), scope_of(request), TOPIC)

    async def latest_all(self, request: web.Request) -> web.Response:
        if self._listed is not None:
            with suppress(Unanswered):
                return json_body(await self._listed.body(scope_of(request)), REDIS)
        return await self._listing(self._devices.latest, scope_of(request))

    async def devices(self, request: web.Request) -> web.Response:
        return await self._listing(self._devices.cards, scope_of(request))

    async def latest(self, request: web.Request, device_id: str) -> web.Response:
        if not scope_of(request).sees(device_id):
            return refusal(403, "this token may not see that device")
        if self._newest is not None:
            with suppress(Unanswered):
                if known := await self._newest.get(device_id):
                    return item_body(self._devices.fleet.item_of(known, time.time()), REDIS)
        if problem := self._devices.unknown():
            return refusal(503, problem)
        fleet = self._devices.fleet
        latest = fleet.get(device_id)
        if latest is None:
            return refusal(404, f"no device {device_id} is known")
        return item_body(fleet.item(latest, time.time()), TOPIC)

    async def _listing(self, listing: Listing, scope: Scope) -> web.Response:
        if problem := self._devices.unknown():
            return refusal(503, problem)
        return json_body(await listing.body(scope), TOPIC)

    async def ready(self, _: web.Request) -> web.Response:
        return readiness(self._feed.problem or self._ready())

    @web.middleware
    async def _guarded(self, request: web.Request, handler: View) -> web.StreamResponse:
        try:
            refused = self._gate.refuses(request)
            return await handler(request) if refused is None else refused
        except web.HTTPNotFound:
            return refusal(404, f"nothing is at {request.path}")
        except web.HTTPClientError as error:
            response = refusal(error.status, error.text or error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            return  # no browser heeds them there, and each viewer would keep them
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        origin = request.headers.get("Origin")
        response.headers["Vary"] = "Origin"
        if origin and self._gate.allows(request):
            # a page of another origin that may, as one under development on this machine
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = SOURCE


def of_a_device(prefix: str, view: DeviceView) -> View:
    """The view, told the device that the rest of the path names, with a last slash or without.

    Of the path as it was sent: an id may hold slashes, and end in one that is percent-encoded."""

    async def told(request: web.Request) -> web.StreamResponse:
        rest = request.rel_url.raw_path.removeprefix(prefix)
        device_id = unquote(rest.removesuffix("/"))
        if not is_device_id(device_id):
            return refusal(400, "no device can have such an id")
        return await view(request, device_id)

    return told


def alerts_body(alerts: Iterable[Alert], scope: Scope, source: str) -> web.Response:
    texts = b",".join(alert.text for alert in alerts if scope.sees(alert.device_id))
    return json_body(b"[" + texts + b"]", source)


def item_body(item: dict[str, Any], source: str) -> web.Response:
    return json_body(msgspec.json.encode(item), source)


def json_body(body: bytes, source: str) -> web.Response:
    """A list has no place for its source: a header says it."""
    headers = {SOURCE: source}
    return web.Response(
        body=body, content_type="application/json", charset="utf-8", headers=headers
    )
