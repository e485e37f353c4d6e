"""Options in; a made-up fleet's readings on `readings` out, and the truth about it in a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import click

from pipeline.cli import Refusal
from pipeline.cli.delivery import Delivery, Record
from pipeline.records import iso, parse_time
from pipeline.rules import Reading
from pipeline.settings import from_environment
from pipeline.simulator import KINDS, Options, Trouble, live
from pipeline.simulator.fleet import LONGEST_INTERVAL, SHORTEST_INTERVAL

SHOWN_EVERY = 0.5  # seconds
LATEST = 60.0  # seconds behind the wall clock; more would be no fleet of now
AT_ONCE = float("inf")
DEFAULT = Options()


class Shares(click.ParamType):
    """`heat,silence=3` in, {"heat": 1, "silence": 3} out."""

    name = "KIND[=SHARE],…"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        shares = dict(self._one(part) for part in value.split(","))
        if not any(shares.values()):
            self.fail("none of these kinds has a share; without trouble: --trouble 0")
        return shares

    def _one(self, part: str) -> tuple[str, float]:
        kind, _, share = part.partition("=")
        if kind not in KINDS:
            self.fail(f"{kind!r} is not one of {', '.join(KINDS)}")
        try:
            number = float(share or 1)
        except ValueError:
            number = -1
        if not 0 <= number <= 1e6:
            self.fail(f"{part!r}: {share!r} is not a share, such as 3 or 0.5")
        return kind, number


@click.command()
@click.option(
    "--devices", default=DEFAULT.devices, show_default=True, type=click.IntRange(1, 100_000)
)
@click.option(
    "--interval",
    default=DEFAULT.interval,
    show_default=True,
    type=click.FloatRange(SHORTEST_INTERVAL, LONGEST_INTERVAL),
    help="Seconds between two readings of a device.",
)
@click.option(
    "--trouble",
    default=DEFAULT.trouble,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of its time that a device is in trouble.",
)
@click.option(
    "--episode",
    default=DEFAULT.episode,
    type=click.FloatRange(0, 30 * 86_400),
    help="Seconds that trouble lasts, about [15 readings].",
)
@click.option("--kinds", type=Shares(), help=f"Which trouble, how often: {', '.join(KINDS)} [all].")
@click.option(
    "--seed",
    default=DEFAULT.seed,
    show_default=True,
    help="Same seed, start and options: same readings.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every episode of trouble there, one JSON object a line.",
)
@click.option(
    "--since", help="Send history from this time on, at once; ISO 8601, or seconds since 1970."
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of readings [until Ctrl-C; with --since until now].",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Send history so many times as fast as it happened.",
)
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def simulate(
    devices: int,
    interval: float,
    trouble: float,
    episode: float,
    kinds: dict[str, float] | None,
    seed: int,
    truth: Path | None,
    since: str | None,
    duration: float | None,
    speed: float | None,
    bootstrap: str | None,
) -> None:
    """Send the readings of made-up devices, some of them in trouble, until Ctrl-C.

    \b
    smart-iot simulate
    smart-iot simulate --devices 500 --interval 60 --kinds heat=3,silence
    """
    settings = from_environment()
    if bootstrap:
        settings = replace(settings, bootstrap=bootstrap)
    if speed and not since:
        raise click.UsageError("--speed is for history, --since: what is sent now happens now")
    options = Options(devices, interval, trouble, episode, seed, kinds or DEFAULT.shares)
    start, until = _span(since, duration, ZoneInfo(settings.naive_timezone))
    pace = Pace(start, speed or AT_ONCE) if since else Pace(start, 1.0)
    with _file(truth) as file:
        simulation = Simulation(Delivery(settings), pace, live=not since, truth=file)
        asyncio.run(simulation.run(live(options, start, until)))
    simulation.report()


def _span(since: str | None, duration: float | None, zone: ZoneInfo) -> tuple[float, float]:
    """From when until before when; a time that isn't told is now, or never."""
    now = round(time.time(), 3)
    if since is None:
        return now, now + duration if duration else float("inf")
    start = _since(since, zone)
    until = start + duration if duration else now
    if not start < until <= now:
        raise click.UsageError(f"--since {since}: history is over before now, {iso(now)}")
    return start, until


def _since(since: str, zone: ZoneInfo) -> float:
    try:
        return parse_time(float(since))
    except ValueError:
        pass
    try:
        return parse_time(since, zone)
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from None


@contextlib.contextmanager
def _file(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{path} can't be written: {error.strerror}") from None
    with file:
        yield file


class Pace:
    """Simulated time beside ours: `speed` times as fast, from now on."""

    def __init__(self, start: float, speed: float) -> None:
        self._start = start
        self._speed = speed
        self._begun = time.monotonic()

    def wait(self, at: float) -> float:
        """Seconds until it is so late in the simulation."""
        if self._speed == AT_ONCE:
            return 0.0
        return self._begun + (at - self._start) / self._speed - time.monotonic()


class Simulation:
    """A fleet's life in; its readings delivered and its truth written, until it is stopped."""

    def __init__(
        self, delivery: Delivery, pace: Pace, *, live: bool, truth: IO[str] | None
    ) -> None:
        self._delivery = delivery
        self._pace = pace
        self._live = live
        self._truth = truth
        self._troubles = 0
        self._shown = 0.0
        self._screen = sys.stderr.isatty()

    async def run(self, happening: Iterator[tuple[float, Reading | Trouble]]) -> None:
        with _stop_signals() as stop:
            await self._delivery.send(self._records(happening, stop))

    async def _records(
        self, happening: Iterator[tuple[float, Reading | Trouble]], stop: asyncio.Event
    ) -> AsyncIterator[Record]:
        for at, happened in happening:
            await _set_within(stop, self._pace.wait(at))
            if stop.is_set():
                return
            if self._live and time.time() - at > LATEST:
                raise Refusal(f"{LATEST:.0f} s behind (did the machine sleep?): start again")
            if isinstance(happened, Trouble):
                self._note(happened)
            else:
                yield self._record(happened)
            self._show(at)

    def _record(self, reading: Reading) -> Record:
        own = round(reading.record_time * 1000) if not self._live else None
        return Record(reading_json(reading), reading.device_id.encode(), own)

    def _note(self, trouble: Trouble) -> None:
        self._troubles += 1
        if self._truth:
            self._truth.write(trouble_json(trouble) + "\n")
            self._truth.flush()

    def _show(self, at: float) -> None:
        now = time.monotonic()
        if self._screen and now - self._shown >= SHOWN_EVERY:
            self._shown = now
            click.echo(f"\r\x1b[K{iso(at)}  {self._told()}", nl=False, err=True)

    def _told(self) -> str:
        return f"{self._delivery.sent} readings sent, {self._troubles} episodes of trouble begun"

    def report(self) -> None:
        if self._screen:
            click.echo("\r\x1b[K", nl=False, err=True)
        click.echo(f"{self._told()}; topic {self._delivery.topic}")


def reading_json(reading: Reading) -> bytes:
    fields: dict[str, object] = {"device_id": reading.device_id, **reading.values}
    if reading.time is not None:
        fields["timestamp"] = iso(reading.time)
    return json.dumps(fields).encode()


def trouble_json(trouble: Trouble) -> str:
    times = {"started_at": iso(trouble.started_at), "ended_at": iso(trouble.ended_at)}
    return json.dumps({**trouble._asdict(), **times})


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
