"""Requests in; each with an id, and a line in the log where it matters, out.

Who asks may bring an id (`X-Request-ID`); else it is given one. It is in every answer but an
accepted WebSocket's, and in every line that is logged while the answer is made.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from aiohttp import web

from pipeline.logs import answering
from pipeline.web.gate import READING, asker, refusal

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-ID"
EXPOSED: Final = "Access-Control-Expose-Headers"
GONE: Final = 499  # who asked: nobody gets to see it
LONGEST_PATH: Final = 200  # of which a line shows so much
_ID: Final = web.RequestKey("id", str)
_BROUGHT: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")  # safe to be shown anywhere
_REFUSED: Final = frozenset({401, 403, 429})

View = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def followed(request: web.Request, handler: View) -> web.StreamResponse:
    id = request[_ID] = _id(request)
    began = monotonic()
    with answering(id):
        response = await _answered(request, handler)
        _note(request, response, monotonic() - began)
    return response


async def identified(request: web.Request, response: web.StreamResponse) -> None:
    """When an answer is about to go out."""
    if isinstance(response, web.WebSocketResponse):
        return  # no browser shows it there, and each viewer would keep it
    response.headers[HEADER] = request.get(_ID) or _id(request)
    if "Access-Control-Allow-Origin" in response.headers:
        shown = response.headers.get(EXPOSED)
        response.headers[EXPOSED] = f"{shown}, {HEADER}" if shown else HEADER


def _id(request: web.Request) -> str:
    brought = request.headers.get(HEADER, "")
    return brought if _BROUGHT.fullmatch(brought) else secrets.token_hex(8)


async def _answered(request: web.Request, view: View) -> web.StreamResponse:
    """What isn't caught elsewhere is a fault of ours."""
    try:
        return await view(request)
    except web.HTTPException:
        raise
    except Exception as error:
        transport = request.transport
        if isinstance(error, ConnectionError) and (transport is None or transport.is_closing()):
            return web.Response(status=GONE)
        log.exception("%s %s failed", request.method, _path(request))
        if transport is not None and request.writer.output_size > 0:
            transport.close()  # it is too late for another answer
        return refusal(500, f"a fault of ours; our log has it under {request[_ID]}")


def _note(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    level, how = _weighed(request, response)
    if not log.isEnabledFor(level):
        return
    more: dict[str, Any] = {
        "method": request.method,
        "path": _path(request),
        "status": response.status,
        "seconds": round(seconds, 6),
        "remote": request.remote,
        "by": asker(request),
    }
    by = f" for {more['by']}" if more["by"] else ""
    known = {name: one for name, one in more.items() if one is not None}
    log.log(level, "%s %s%s: %s", request.method, more["path"], by, how, extra=known)


def _weighed(request: web.Request, response: web.StreamResponse) -> tuple[int, str]:
    """How much it matters. Nobody wants to read of every poll; of who changes something, and of
    who is turned away, everybody does."""
    status = response.status
    if isinstance(response, web.WebSocketResponse):
        return logging.DEBUG, "watched"  # who turns a viewer away says so
    if status in _REFUSED:
        return logging.WARNING, f"refused with {status}"
    if request.method in READING or request.method == "OPTIONS" or 400 <= status <= 500:
        return logging.DEBUG, str(status)
    return (logging.INFO if status < 400 else logging.WARNING), str(status)


def _path(request: web.Request) -> str:
    """Without what is asked for in it, which may be anything."""
    return request.path[:LONGEST_PATH]
