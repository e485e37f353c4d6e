"""Requests in; a refusal for who may not pass, and everybody else with a scope, out.

The page and what watches over us (health, metrics) are open to everybody who can reach us. All else
is for whom the settings let: pages by their origin, people and programs by their token, on REST and
WebSocket alike.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from pipeline.access import ACKNOWLEDGE, EVERYTHING, READ, Scope, known
from pipeline.metrics import VIEWERS_REFUSED
from pipeline.settings import Settings
from pipeline.web.origins import Origins

OPEN: Final = frozenset({"/", "/-/healthy", "/-/ready", "/metrics"})
STREAMS, STATIC = "/ws/", "/static/"
ME: Final = frozenset({"/api/me/", "/api/me"})
READING: Final = frozenset({"GET", "HEAD"})
PREFLIGHT_SECONDS: Final = 600
_SCOPE: Final = web.RequestKey("scope", Scope)


def scope_of(request: web.Request) -> Scope:
    """What who asks may see and do; of a request that the gate let through."""
    return request[_SCOPE]


def asker(request: web.Request) -> str | None:
    """The name of the token that the gate has let through; None where there is none."""
    scope = request.get(_SCOPE)
    return (scope.name or None) if scope else None


class Gate:
    def __init__(self, settings: Settings) -> None:
        self._origins = Origins(settings.web_host, settings.origins)
        self._tokens = settings.tokens

    @property
    def asks_for_tokens(self) -> bool:
        return bool(self._tokens)

    def refuses(self, request: web.Request) -> web.Response | None:
        """The answer for who may not pass; None where the request goes on."""
        if request.path in OPEN or request.path.startswith(STATIC):
            return None
        if problem := self._foreign(request):
            if request.path.startswith(STREAMS):
                VIEWERS_REFUSED.labels("foreign").inc()
            return refusal(403, problem)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return self._preflight()
        if request.path.startswith(STREAMS):  # which ask themselves: a browser sends no header
            return None
        scope = self.scope(request)
        if scope is None:
            return _unknown()
        if problem := _too_small(request, scope):
            return refusal(403, problem)
        request[_SCOPE] = scope
        return None

    def scope(self, request: web.Request) -> Scope | None:
        """By its header, where tokens are asked for."""
        if not self._tokens:
            return EVERYTHING
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.known(token.strip()) if kind.lower() == "bearer" else None

    def known(self, token: str) -> Scope | None:
        return known(self._tokens, token)

    def allows(self, request: web.Request) -> bool:
        """Whether the page that asks may."""
        host = request.headers.get("Host", "")
        return self._origins.allows(request.headers.get("Origin"), host)

    async def me(self, request: web.Request) -> web.Response:
        scope = scope_of(request)
        told = {
            "tokens": self.asks_for_tokens,
            "name": scope.name or None,
            "can": sorted(scope.can),
            "devices": list(scope.devices),
        }
        return web.json_response(told)

    def _foreign(self, request: web.Request) -> str | None:
        """Why a page, or a name for us, may not; None if they may. What a foreign page only reads
        its browser doesn't show it, so that needs no refusal."""
        host = request.headers.get("Host")
        if host is not None and not self._origins.knows(host):
            return f"we are not {host}; SMART_IOT_ORIGINS says by which names we go"
        if self.allows(request):
            return None
        if request.path.startswith(STREAMS):
            return "this page's origin may not watch; open the page that we serve"
        if request.method not in READING:
            return "this page's origin may change nothing; open the page that we serve"
        return None

    def _preflight(self) -> web.Response:
        """What a page of another origin, one that may, is allowed to send."""
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Request-ID",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
        return web.Response(status=204, headers=headers)


def refusal(status: int, why: str) -> web.Response:
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return web.json_response({"error": why}, status=status, headers=headers)


def _unknown() -> web.Response:
    answer = refusal(401, "send Authorization: Bearer, and a token that is known here")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="smart-iot"'
    return answer


def _too_small(request: web.Request, scope: Scope) -> str | None:
    needed = READ if request.method in READING else ACKNOWLEDGE
    if needed in scope.can or request.path in ME:
        return None
    return f"this token may not {needed}"
