"""A broker in; a real web view with its alert log, and viewers on real sockets, out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from pipeline.kafka.broker import RunningKafka
from pipeline.metrics import REGISTRY, VIEW, expose
from pipeline.settings import Settings
from pipeline.web.server import WebView
from tests.pipeline.web.alert_log import AlertLog, alert_log

PATIENCE = 60.0


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():  # noqa: ASYNC110  another process decides it
            await asyncio.sleep(0.02)


def metric(name: str, **labels: str) -> float:
    expose(VIEW)
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Socket:
    """A viewer: what the view says to it, one message after another."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}

    async def next(self) -> dict[str, Any]:
        """What it says next, the pings apart: a busy machine may need as long as they do."""
        while (content := await self.said()).get("event") == "ping":
            pass
        return content

    async def said(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=PATIENCE)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        content: dict[str, Any] = json.loads(message.data)
        return content

    async def code(self) -> int | None:
        """The close code, after whatever was said before."""
        while (await self.socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code

    async def event(self) -> tuple[str, int]:
        content = await self.next()
        return content["alert_id"], content["seq"]


class Site:
    """A web view that listens, and a client to it."""

    def __init__(self, view: WebView, client: aiohttp.ClientSession) -> None:
        self.view = view
        self.client = client
        self.http = f"http://127.0.0.1:{view.port}"
        self.ws = f"ws://127.0.0.1:{view.port}/ws/alerts/"

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.client.get(self.http + path, **more) as answer:
            return answer.status, await answer.json()

    async def until_ready(self) -> None:
        async def ready() -> bool:
            return (await self.get("/-/ready"))[0] == 200

        await until(ready)

    async def until_open(self, *alert_ids: str) -> None:
        async def open_now() -> bool:
            return await self.open() == list(alert_ids)

        await until(open_now)

    async def until_viewers(self, number: int) -> None:
        async def watching() -> bool:
            return metric("smart_iot_web_viewers") == number

        await until(watching)

    async def open(self) -> list[str]:
        status, alerts = await self.get("/api/alerts/active/")
        return [alert["alert_id"] for alert in alerts] if status == 200 else [f"status {status}"]

    @contextlib.asynccontextmanager
    async def viewer(self, query: str = "", **more: Any) -> AsyncIterator[Socket]:
        async with self.client.ws_connect(self.ws + query, **more) as connection:
            socket = Socket(connection)
            socket.welcome = await socket.next()
            yield socket

    async def refused(self, query: str = "", **more: Any) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with self.client.ws_connect(self.ws + query, **more):
                pass
        return raised.value.status


def narrow(address: Any) -> socket.socket:
    """A client's socket that takes little before its reader reads."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def running(settings: Settings, **more: Any) -> AsyncIterator[Site]:
    view = WebView(settings, **more)
    await view.start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Site(view, client)
    finally:
        await view.stop()


@pytest.fixture
def settings(kafka: RunningKafka, prefix: str) -> Settings:
    return replace(Settings(), bootstrap=kafka.bootstrap, topic_prefix=prefix, web_port=0)


@pytest.fixture
async def unborn_log(kafka: RunningKafka, prefix: str) -> AsyncIterator[AlertLog]:
    """Its topics don't exist yet."""
    async with alert_log(kafka.bootstrap, prefix) as log:
        yield log


@pytest.fixture
async def log(unborn_log: AlertLog) -> AlertLog:
    await unborn_log.create()
    return unborn_log


@pytest.fixture
async def site(log: AlertLog, settings: Settings) -> AsyncIterator[Site]:
    async with running(settings) as site:
        await site.until_ready()
        yield site
