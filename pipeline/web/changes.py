"""Requests to change something in; commands on their topic, and what the worker keeps, out.

A view decides nothing: an answer of 202 says that the command is on the topic, from where the
device's own partition takes it. What is refused here is refused early, for people: the worker looks
at every command again. Ids are computed from what is asked for, so who asks twice gets one id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline import commands
from pipeline.access import Scope
from pipeline.commands import EVERYBODY, AckBody, Command, SilenceBody
from pipeline.names import Names
from pipeline.records import iso
from pipeline.rules.silence import AT_MOST, Silence
from pipeline.settings import Settings
from pipeline.shapes import Severity, Time, one_of
from pipeline.web.devices import Devices
from pipeline.web.feed import Feed
from pipeline.web.gate import refusal, scope_of
from pipeline.web.history import History
from pipeline.web.source import existing

LARGEST_BODY: Final = 8_192  # bytes
PATIENCE: Final = 10.0  # seconds that the broker may take
RATE: Final = 5.0  # changes a second of all who come, and so many at once:
BURST: Final = 50.0

BEYOND: Final = "this token may not change that: it goes beyond its devices"

Body = TypeVar("Body", AckBody, SilenceBody)
Change = Callable[[web.Request], Awaitable[web.Response]]


class ShownSilence(msgspec.Struct, frozen=True):
    """What is kept quiet, and until when."""

    silence_id: str
    state: Annotated[str, one_of("pending", "active")]
    device: str | None
    rule: str | None
    severity: Severity | None
    by: str
    comment: str | None
    created_at: Time
    starts_at: Time
    ends_at: Time


class Allowance:
    """So many at once, refilled at so many a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def take(self, at: float) -> bool:
        """Whether there is one left; `at` never goes back."""
        self._left = min(self._burst, self._left + (at - self._at) * self._rate)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Sender:
    """Sends commands; connects when there is the first one."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka()
        self._topic = Names(settings.topic_prefix).commands
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def send(self, command: Command, key: bytes) -> None:
        """Acknowledged by the broker. KafkaError or TimeoutError where that can't be had."""
        async with asyncio.timeout(PATIENCE):
            producer = await self._connected()
            value = commands.encode(command)
            if key == EVERYBODY:
                numbers: Sequence[int | None] = sorted(await producer.partitions_for(self._topic))
            else:
                numbers = [None]  # that of the key: the device's own
            sent = [await producer.send(self._topic, value, key, number) for number in numbers]
            await asyncio.gather(*sent)

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                # a broker that creates what it is asked for must not be asked too early
                await existing(self._kafka, [self._topic], lambda _: None)
                producer = AIOKafkaProducer(**self._kafka, acks="all")
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


class Changes:
    """The views of what can be changed."""

    def __init__(self, sender: Sender, feed: Feed, devices: Devices, history: History) -> None:
        self._sender = sender
        self._feed = feed
        self._devices = devices
        self._history = history
        self._allowance = Allowance(RATE, BURST)

    def add_to(self, router: web.UrlDispatcher) -> None:
        for slash in ("/", ""):
            router.add_post("/api/alerts/{alert_id}/ack" + slash, self.guarded(self.acknowledge))
            router.add_get("/api/silences" + slash, self.silences)
            router.add_post("/api/silences" + slash, self.guarded(self.silence))
            router.add_delete("/api/silences" + slash, self.guarded(self.unsilence))

    def guarded(self, change: Change) -> Change:
        """The change for who may make one, and not too often."""

        async def guarded(request: web.Request) -> web.Response:
            if request.method == "POST" and request.content_type != "application/json":
                return refusal(415, "send Content-Type: application/json")
            if not self._allowance.take(time.monotonic()):
                answer = refusal(429, f"more than {RATE:.0f} changes a second: wait a little")
                answer.headers["Retry-After"] = "1"
                return answer
            try:
                return await change(request)
            except ValueError as error:
                return refusal(400, str(error))
            except (KafkaError, TimeoutError, OSError):
                return refusal(503, "Kafka doesn't take the command")

        return guarded

    async def acknowledge(self, request: web.Request) -> web.Response:
        if problem := self._feed.unknown():
            return refusal(503, problem)
        alert_id = request.match_info["alert_id"]
        body = await read_body(request, AckBody)
        alert = self._feed.find(alert_id)
        if alert is None:
            if self._feed.is_resolved(alert_id) or await self._history.is_resolved(alert_id):
                return refusal(409, "the alert is resolved")
            return refusal(404, "no such alert is known")
        if not scope_of(request).sees(alert.device_id):
            return refusal(403, BEYOND)
        command = commands.acknowledge(alert.device_id, alert_id, body, time.time())
        await self._sender.send(command, alert.device_id.encode())
        return _accepted(command)

    async def silences(self, request: web.Request) -> web.Response:
        """Those that aren't over, the one that ends first at the top."""
        if problem := self._devices.unknown():
            return refusal(503, problem)
        wall = time.time()
        known = sorted(self._devices.fleet.silences(), key=lambda one: (one.ends_at, one.id))
        scope = scope_of(request)
        shown = [_shown(one, wall) for one in known if one.ends_at > wall and _covers(scope, one)]
        return web.json_response(body=msgspec.json.encode(shown))

    async def silence(self, request: web.Request) -> web.Response:
        if problem := self._devices.unknown():
            return refusal(503, problem)
        command = commands.silence(await read_body(request, SilenceBody), time.time())
        if not scope_of(request).covers(command.device or "*"):
            return refusal(403, BEYOND)
        known = {silence.id for silence in self._devices.fleet.silences()}
        if len(known) >= AT_MOST and command.silence_id not in known:
            return refusal(409, f"there are {AT_MOST} silences: end one first")
        await self._sender.send(command, EVERYBODY)
        return _accepted(command, silence_id=command.silence_id)

    async def unsilence(self, request: web.Request) -> web.Response:
        if problem := self._devices.unknown():
            return refusal(503, problem)
        silence_id, by = request.query.get("id", ""), request.query.get("by", "")
        if not silence_id or not 1 <= len(by) <= 128:
            return refusal(400, "say which silence and who: ?id=...&by=...")
        named = [one for one in self._devices.fleet.silences() if one.id == silence_id]
        if not named:
            return refusal(404, "no such silence is known")
        if not _covers(scope_of(request), named[0]):
            return refusal(403, BEYOND)
        command = commands.unsilence(silence_id, by, time.time())
        await self._sender.send(command, EVERYBODY)
        return _accepted(command)

    async def stop(self) -> None:
        await self._sender.stop()


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """ValueError, in words, where it isn't one."""
    raw = await request.read()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _covers(scope: Scope, silence: Silence) -> bool:
    return scope.covers(silence.device or "*")


def _accepted(command: Command, **more: str) -> web.Response:
    return web.json_response({"command_id": command.command_id, **more}, status=202)


def _shown(silence: Silence, wall: float) -> ShownSilence:
    return ShownSilence(
        silence_id=silence.id,
        state="pending" if wall < silence.starts_at else "active",
        device=silence.device,
        rule=silence.rule,
        severity=silence.severity,
        by=silence.by,
        comment=silence.comment,
        created_at=iso(silence.created_at),
        starts_at=iso(silence.starts_at),
        ends_at=iso(silence.ends_at),
    )
