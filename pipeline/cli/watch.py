"""The alert stream of a web view in; a line of text for every event out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import click
from yarl import URL

from pipeline.cli import Refusal
from pipeline.settings import from_environment
from pipeline.web.alerts import Highest

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SILENCE = 60.0  # seconds: the view says something every 25, so then the line is dead
BEGIN_ANEW = 1012
REMEMBERED = 10_000
LARGEST_MESSAGE = 4 << 20
COLOURS = {"danger": "red", "warning": "yellow", "info": "blue", "resolved": "green"}
UNPRINTABLE_IN_JSON = re.compile(
    "[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


@click.command()
@click.option("--url", help="The stream; else that of a web view on this machine.")
@click.option("--device", help="Only devices whose id matches this glob.")
@click.option("--severity", help="Only these: info, warning, danger; comma-separated.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds our token, where the view asks for one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
def watch(
    url: str | None,
    device: str | None,
    severity: str | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Show alerts as they come, until Ctrl-C; first those that are open."""
    address = URL(url or f"ws://127.0.0.1:{from_environment().web_port or 8000}/ws/alerts/")
    asked = {"device": device, "severity": severity}
    address = address.update_query({name: text for name, text in asked.items() if text})
    show = json_line if as_json else text_line
    token = token_file.read_text().strip() if token_file else None
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Watching(address, lambda event: click.echo(show(event)), token).run())


class Watching:
    """A viewer that comes back: with the cursor it has, after pauses that grow."""

    def __init__(
        self, address: URL, show: Callable[[dict[str, Any]], None], token: str | None = None
    ) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._show = show
        self._cursor: str | None = None
        self._missing = 0
        self._shown = Highest(REMEMBERED)
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                why = await self._watch(session)
                click.echo(f"{printable(why)}; trying again in {self._pause:g} s", err=True)
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def cursor(self) -> str | None:
        """Where we are, if all that we were to be told before is here."""
        return None if self._missing > 0 else self._cursor

    async def _watch(self, session: aiohttp.ClientSession) -> str:
        """One connection; why it ended."""
        address = self._address
        if cursor := self.cursor():
            address = address.update_query(cursor=cursor)
        try:
            async with session.ws_connect(
                address,
                heartbeat=SILENCE / 2,
                max_msg_size=LARGEST_MESSAGE,
                headers=self._headers,
            ) as socket:
                return await self._receive(socket)
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 500:
                raise Refusal(
                    f"{self._address} answers {error.status} {printable(error.message)}"
                ) from None
            return f"{self._address} answers {error.status}"
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise Refusal(f"{self._address} is no ws:// or wss:// address") from None
        except (aiohttp.ClientError, OSError) as error:
            return f"no connection to {self._address.origin()}: {error}"

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        while True:
            try:
                message = await socket.receive(timeout=SILENCE)
            except TimeoutError:
                return f"nothing heard for {SILENCE:g} s"
            if message.type is not aiohttp.WSMsgType.TEXT:
                if socket.close_code == BEGIN_ANEW:
                    self._cursor = None
                return f"the connection ended (code {socket.close_code})"
            self._take(message.data)

    def _take(self, text: str) -> None:
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        self._remember(event)
        if event.get("type") == "connection":
            self._greet(event)
        elif self._is_news(event):
            self._show(event)

    def _remember(self, event: dict[str, Any]) -> None:
        """A welcome's cursor counts once the open alerts that follow it are here."""
        cursor, backlog = event.get("cursor"), event.get("backlog")
        if isinstance(cursor, str):
            self._cursor = cursor
            self._missing = 0
        if event.get("type") == "connection" and isinstance(backlog, int):
            self._missing = backlog
        elif backlog is True:
            self._missing -= 1

    def _greet(self, event: dict[str, Any]) -> None:
        self._pause = FIRST_PAUSE
        if event.get("recovered") is False:
            click.echo("connected again; what is open now follows", err=True)
        elif event.get("recovered"):
            click.echo("connected again, where it was", err=True)

    def _is_news(self, event: dict[str, Any]) -> bool:
        alert_id, seq = event.get("alert_id"), event.get("seq")
        if not isinstance(alert_id, str) or not isinstance(seq, int):
            return True  # a view of the seed numbers nothing
        return self._shown.note(alert_id, seq)


def printable(text: object) -> str:
    """Text from the wire for a terminal: no escape sequence, no second line, no turned letters."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))


def text_line(event: dict[str, Any]) -> str:
    kind = printable(event.get("type"))
    time, title = printable(event.get("timestamp")), printable(event.get("title"))
    backlog = " (open)" if event.get("backlog") else ""
    coloured = click.style(f"{kind:8}", fg=COLOURS.get(kind))
    return f"{time} {coloured}{backlog} {title} {printable(event.get('message'))}"


def json_line(event: dict[str, Any]) -> str:
    """As it came. What a terminal could obey stands inside strings only, so it can be escaped."""
    text = json.dumps(event, ensure_ascii=False)
    return UNPRINTABLE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
