"""A body for an HTTP server in; what it made of it out, as a decision.

A server that can't be reached, is too busy or has a fault of its own may take the body later
(SinkUnavailable, with what it said of when). Every other answer but 2xx is a Refusal, a redirect
too: who follows one hands what is meant for one server to another.

An address can hold a password or a token, so it is never in what is raised: only `name` is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    encode_basic_auth,
)
from yarl import URL

from pipeline.about import VERSION
from pipeline.sinks.sink import SinkRejected, SinkUnavailable

TIMEOUT: Final = 10.0  # seconds for one answer
PATIENT: Final = 30.0  # to a question: twenty thousand alerts are 15 MB
CONNECT_TIMEOUT: Final = 5.0
KNOWN: Final = {status.value: status.phrase for status in HTTPStatus}
LATER: Final = frozenset({408, 429})


class Busy(SinkUnavailable):
    """It says itself for how many seconds nothing more should come."""

    def __init__(self, why: str, pause: float) -> None:
        super().__init__(why)
        self.pause = pause


class Refusal(SinkRejected):
    """And by what status."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


class Server:
    """One HTTP server; the session is made when it is first used. `name` is host and port."""

    def __init__(self, address: str) -> None:
        url = URL(address)
        self.name = url.host_port_subcomponent or str(url.host)
        self._url = url.with_user(None)
        self._headers = {"User-Agent": f"smart-iot/{VERSION}"}
        if url.user:
            self._headers["Authorization"] = encode_basic_auth(url.user, url.password or "")
        self._session: ClientSession | None = None

    async def post(
        self, body: bytes, path: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Returns once it has said that it has taken the body."""
        told = {"Content-Type": "application/json", **(headers or {})}
        await self._ask("POST", path, data=body, headers=told)

    async def get(self, path: str, **query: str) -> bytes:
        return await self._ask("GET", path, params=query, timeout=ClientTimeout(total=PATIENT))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, path: str, **more: object) -> bytes:
        if self._session is None:
            self._session = ClientSession(
                headers=self._headers,
                timeout=ClientTimeout(total=TIMEOUT, sock_connect=CONNECT_TIMEOUT),
                cookie_jar=DummyCookieJar(),
            )
        where = self._url / path if path else self._url
        try:
            async with self._session.request(
                method,
                where,
                allow_redirects=False,
                **more,  # type: ignore[arg-type]
            ) as answer:
                self._check(answer)
                return await answer.content.read() if method == "GET" else b""
        except (ClientError, OSError) as error:  # TimeoutError is an OSError
            raise SinkUnavailable(f"{self.name}: {_words(error)}") from None

    def _check(self, answer: ClientResponse) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        said = f"{self.name} answers {status}{_phrase(status)}"
        if status < 500 and status not in LATER:
            why = f"{said}, and is not followed" if 300 <= status < 400 else said
            raise Refusal(why, status)
        pause = retry_after(answer.headers.get("Retry-After", ""), time.time())
        raise SinkUnavailable(said) if pause is None else Busy(said, pause)


def retry_after(text: str, at: float) -> float | None:
    """Seconds of the header of this name, which has them or a date; None where it has neither."""
    if text.strip().isdecimal():
        return float(min(int(text), 10**9))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - at)
    except (ValueError, TypeError, OverflowError):
        return None


def _phrase(status: int) -> str:
    """The server's own words may repeat what we sent; those of the standard don't."""
    return f" ({KNOWN[status]})" if status in KNOWN else ""


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionTimeoutError):
        return f"no connection within {CONNECT_TIMEOUT:.0f} s"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    because = getattr(error, "os_error", error)
    return getattr(because, "strerror", None) or type(error).__name__
