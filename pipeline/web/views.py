"""HTTP requests in; what is open now, health and metrics out, all of it JSON but the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from pipeline.metrics import REGISTRY
from pipeline.web.feed import Feed
from pipeline.web.live import Live, refusal

INDEX = {
    "ws": ["/ws/alerts/"],
    "http": ["/api/alerts/active/", "/-/healthy", "/-/ready", "/metrics"],
}
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Views:
    def __init__(self, feed: Feed, live: Live, ready: Callable[[], str | None]) -> None:
        self._feed = feed
        self._live = live
        self._ready = ready

    def application(self) -> web.Application:
        app = web.Application(middlewares=[json_errors])
        app.on_response_prepare.append(self._headers)
        for path, view in {
            "/": self.index,
            "/ws/alerts/": self._live.alerts,
            "/api/alerts/active/": self.active,
            "/-/healthy": self.healthy,
            "/-/ready": self.ready,
            "/metrics": self.metrics,
        }.items():
            app.router.add_get(path, view)
            if path.endswith("/") and path != "/":
                app.router.add_get(path.rstrip("/"), view)
        return app

    async def index(self, _: web.Request) -> web.Response:
        return web.json_response(INDEX)

    async def active(self, _: web.Request) -> web.Response:
        """Every open alert, newest first, however old."""
        if not self._feed.caught_up:
            return refusal(503, self._feed.problem or "the open alerts are not known yet")
        newest_first = reversed(self._feed.open_alerts())
        body = b"[" + b",".join(alert.text for alert in newest_first) + b"]"
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def healthy(self, _: web.Request) -> web.Response:
        return web.json_response({"healthy": True})

    async def ready(self, _: web.Request) -> web.Response:
        problem = self._feed.problem or self._ready()
        if problem:
            return web.json_response({"ready": False, "reason": problem}, status=503)
        return web.json_response({"ready": True})

    async def metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(SECURITY_HEADERS)
        origin = request.headers.get("Origin")
        response.headers["Vary"] = "Origin"
        if origin and self._live.allows(request):
            # a page under development on this machine polls us from its own port
            response.headers["Access-Control-Allow-Origin"] = origin


@web.middleware
async def json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal(404, f"nothing is at {request.path}")
    except web.HTTPClientError as error:
        response = refusal(error.status, error.text or error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
