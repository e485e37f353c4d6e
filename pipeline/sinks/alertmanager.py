"""A board in; one Alertmanager that knows what stands there out, over its API (v2).

It is told what changes at once, and all of it every `refresh` seconds, five times before it would
take an alert for resolved. One that couldn't be told hears all of it as soon as it can be: it may
have been started anew, and then it knows nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from pipeline import metrics
from pipeline.sinks.board import Board, Listed, listed_of
from pipeline.sinks.posting import Refusal, Server
from pipeline.sinks.sink import SinkRejected, SinkUnavailable

log = logging.getLogger(__name__)

ALERTS: Final = "api/v2/alerts"
MOST_AT_ONCE: Final = 500  # alerts in a request: 300 kB
LONGEST_REFRESH: Final = 60.0  # seconds, so that one which is started anew isn't empty for long
UNFIT: Final = (400, 422)  # by anything else it says that it is no Alertmanager, or not for us
KEPT: Final = 900.0  # seconds for which Prometheus tells what is over, and so do we

_encode = msgspec.json.Encoder().encode


class Alertmanager:
    """`told` is the version of the board that it has."""

    def __init__(self, address: str, source: str, hold: float) -> None:
        self._server = Server(address)
        self.name = self._server.name
        self._source = source
        self._hold = hold
        self._refresh = min(LONGEST_REFRESH, hold / 5)
        self.began_again()

    def began_again(self) -> None:
        """Another board: tell it all, and ask what it has besides."""
        self._asked = False
        self._lost()

    def _lost(self) -> None:
        """Nobody knows what it has."""
        self.told = 0
        self._refresh_at = 0.0

    def is_due(self, board: Board, at: float) -> bool:
        return self.told < board.version or at >= self._refresh_at

    async def tell(self, board: Board, at: float) -> None:
        """SinkUnavailable, and then it is told all the next time."""
        try:
            await self._tell(board, at)
        except SinkUnavailable:
            self._lost()
            raise

    async def _tell(self, board: Board, at: float) -> None:
        is_all = at >= self._refresh_at
        version = board.version
        alerts = list(board.told(0 if is_all else self.told, at, self._hold))
        for some in _slices(alerts):
            await self._post(some)
        if is_all and not alerts:
            await self._post([])  # so that we know whether it can be told
        self.told = version
        if is_all:
            self._refresh_at = at + self._refresh
        if is_all and not self._asked:
            board.listed(await self._list(), at)

    async def _list(self) -> Sequence[Listed]:
        """What it has of ours; nothing where it may not be asked, or doesn't answer: that it is
        told hangs on nothing."""
        try:
            raw = await self._server.get(ALERTS, filter=f'source="{self._source}"')
            self._asked = True
            return listed_of(raw)
        except SinkUnavailable as why:
            log.warning("what an Alertmanager has can't be seen, and is asked again: %s", why)
        except (SinkRejected, msgspec.MsgspecError) as why:
            self._asked = True
            log.warning("what an Alertmanager has can't be seen: %s", why)
        return ()

    async def _post(self, alerts: Sequence[dict[str, Any]]) -> None:
        try:
            with metrics.ARCHIVE_SECONDS.labels("alertmanager").time():
                await self._server.post(_encode(alerts), ALERTS)
        except Refusal as why:
            if why.status not in UNFIT:
                raise SinkUnavailable(str(why)) from None
            # It has taken the others. These are sent again anyway, and may be right then.
            metrics.ARCHIVE_REFUSED.labels("alertmanager").inc(len(alerts))
            log.error("an Alertmanager refuses some of %d alerts: %s", len(alerts), why)

    async def close(self) -> None:
        await self._server.close()


def _slices(alerts: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (alerts[i : i + MOST_AT_ONCE] for i in range(0, len(alerts), MOST_AT_ONCE))
