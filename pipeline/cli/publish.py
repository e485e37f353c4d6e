"""Readings from arguments, a file or standard input in; acknowledged records of `readings` out."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from io import BufferedIOBase
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import click

from pipeline.cli import Refusal
from pipeline.cli.delivery import LONGEST_RECORD, Delivery, Record
from pipeline.cli.opened import opened
from pipeline.records import Rejected, decode
from pipeline.settings import Settings, from_environment

CHUNK = 1 << 16
SHOWN_REFUSALS = 20


class Line(NamedTuple):
    number: int
    text: bytes
    read: int
    """Bytes of the input that have been read so far."""


@click.command()
@click.argument("device", required=False)
@click.argument("values", nargs=-1, metavar="[METRIC=NUMBER]...")
@click.option("--timestamp", help="The reading's time: ISO 8601, or seconds or ms since 1970.")
@click.option("--file", "path", help="JSON lines to send; .gz is unpacked; - is standard input.")
@click.option("--preserve-time", is_flag=True, help="Give each record its reading's own time.")
@click.option("--raw", is_flag=True, help="Send lines untouched, also what is no reading.")
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def publish(
    device: str | None,
    values: tuple[str, ...],
    timestamp: str | None,
    path: str | None,
    preserve_time: bool,
    raw: bool,
    bootstrap: str | None,
) -> None:
    """Send readings to Kafka and wait until it has them.

    \b
    smart-iot publish greenhouse-7 temperature=36.2 humidity=55
    smart-iot publish --file readings.jsonl
    """
    settings = from_environment()
    if bootstrap:
        settings = replace(settings, bootstrap=bootstrap)
    if device == "-" and path is None:
        device, path = None, "-"
    if (device is None) == (path is None):
        raise click.UsageError("give either a device and its values, or --file")
    sending = Sending(settings, preserve_time=preserve_time, raw=raw)
    if path is None:
        sending.check_one = True
        lines = _only(one_reading(device or "", values, timestamp))
        asyncio.run(sending.send(lines, None))
    else:
        if values or timestamp:
            raise click.UsageError("values and --timestamp belong to one reading, not to --file")
        _send_file(sending, path)
    sending.report()


def one_reading(device: str, values: tuple[str, ...], timestamp: str | None) -> bytes:
    fields: dict[str, Any] = {"device_id": device}
    for value in values:
        metric, equals, number = value.partition("=")
        if not equals:
            raise click.UsageError(f"{value!r} is not METRIC=NUMBER")
        fields[metric] = _number(number, value)
    if timestamp is not None:
        try:
            fields["timestamp"] = _number(timestamp, timestamp)
        except click.UsageError:
            fields["timestamp"] = timestamp
    return json.dumps(fields, allow_nan=False).encode()


def _number(text: str, shown: str) -> int | float:
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if abs(value) < float("inf"):
            return value
    raise click.UsageError(f"{shown!r}: {text!r} is not a number")


class Sending:
    """Lines in; records sent, each acknowledged; lines refused, each with its number and why."""

    def __init__(self, settings: Settings, *, preserve_time: bool, raw: bool) -> None:
        self._delivery = Delivery(settings)
        self._preserve_time = preserve_time
        self._raw = raw
        self._naive_timezone = ZoneInfo(settings.naive_timezone)
        self.check_one = False
        self.refused = 0

    async def send(
        self, lines: AsyncIterator[Line], advance: Callable[[Line], None] | None
    ) -> None:
        await self._delivery.send(self._records(lines, advance))

    async def _records(
        self, lines: AsyncIterator[Line], advance: Callable[[Line], None] | None
    ) -> AsyncIterator[Record]:
        async for line in lines:
            if line.text.strip() and (record := self._record(line)):
                yield record
            if advance:
                advance(line)

    def _record(self, line: Line) -> Record | None:
        try:
            reading, _ = decode(
                line.text, time.time(), named=frozenset(), naive_timezone=self._naive_timezone
            )
        except Rejected as rejected:
            if self._raw:
                return Record(line.text, None, None)
            self._refuse(line, rejected)
            return None
        own = round((reading.time or 0) * 1000) if self._preserve_time else 0
        # a Kafka record has no time before 1970
        return Record(line.text, reading.device_id.encode(), own if own > 0 else None)

    def _refuse(self, line: Line, rejected: Rejected) -> None:
        if self.check_one:
            raise click.UsageError(f"no reading: {rejected}")
        self.refused += 1
        if self.refused <= SHOWN_REFUSALS:
            click.echo(f"line {line.number}: {rejected}", err=True)
        if self.refused == SHOWN_REFUSALS + 1:
            click.echo("more lines were refused; only their number follows", err=True)

    def report(self) -> None:
        sent = self._delivery.sent
        click.echo(f"sent {sent} reading{'' if sent == 1 else 's'} to {self._delivery.topic}")
        if self.refused:
            click.echo(f"refused {self.refused} lines that are no readings", err=True)
            raise click.exceptions.Exit(1)


def _send_file(sending: Sending, path: str) -> None:
    with opened(path) as (stream, size, tell):
        lines = read_lines(stream, tell)
        if size is None or not sys.stderr.isatty():
            asyncio.run(sending.send(lines, None))
            return
        with click.progressbar(length=size, label="readings", file=sys.stderr) as bar:
            asyncio.run(sending.send(lines, lambda line: bar.update(line.read - bar.pos)))


async def read_lines(stream: BufferedIOBase, tell: Callable[[], int]) -> AsyncIterator[Line]:
    """The lines as they arrive, also of a pipe that stays open."""
    number, begun = 0, b""
    while chunk := await _chunk(stream):
        *whole, begun = (begun + chunk).split(b"\n")
        for text in whole:
            number += 1
            yield Line(number, text.removesuffix(b"\r"), tell())
        if len(begun) > LONGEST_RECORD:
            raise Refusal(f"line {number + 1} is longer than {LONGEST_RECORD} bytes")
    if begun:
        yield Line(number + 1, begun, tell())


async def _chunk(stream: BufferedIOBase) -> bytes:
    if stream is not sys.stdin.buffer:
        return stream.read(CHUNK)
    # a thread that waits without end would outlive Ctrl-C; what was sent meanwhile must get out
    while not await asyncio.to_thread(_has_input, stream.fileno()):
        pass
    return os.read(stream.fileno(), CHUNK)


def _has_input(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0.2)[0])


async def _only(reading: bytes) -> AsyncIterator[Line]:
    yield Line(1, reading, 0)
