"""The device state in Kafka in; a file of it out, and what it is good for, in words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from aiokafka.errors import KafkaError

from pipeline.cli import Refusal
from pipeline.exchange import leaving
from pipeline.exchange.form import writing
from pipeline.exchange.leaving import Left
from pipeline.exchange.place import Unusable
from pipeline.rules.version import NewerState
from pipeline.settings import Settings, from_environment
from pipeline.topics import UnusableBroker, UnusableTopic


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def export(file: Path, bootstrap: str | None) -> None:
    """Write the state of all devices to FILE: what is remembered of each, the open alerts, the
    silences. JSON lines, packed where its name ends in .gz.

    Workers may run meanwhile. Where the topics are going to be others (as for another number of
    partitions) stop them first, once they have read everything.

    \b
    smart-iot export state.jsonl.gz
    """
    settings = with_bootstrap(from_environment(), bootstrap)
    with refusals(settings), _bar() as advance, writing(file) as put:
        left = asyncio.run(leaving.export(settings, put, advance))
    click.echo(
        f"exported {counted(left.devices, 'device')}, {counted(left.alerts, 'open alert')} and "
        f"{counted(left.silences, 'silence')} to {file}"
    )
    for warning in warnings(left):
        click.echo(warning, err=True)


def warnings(left: Left) -> Iterator[str]:
    if left.workers:
        yield (
            f"{counted(left.workers, 'worker')} ran meanwhile: this is a backup for the same "
            "topics. To move to others, stop the workers and export again."
        )
    if left.unjudged:
        yield (
            f"{counted(left.unjudged, 'reading')} of these topics, not judged yet, are in no row: "
            "they don't come along to other topics."
        )
    if left.untold:
        yield (
            f"of {counted(left.untold, 'open alert')} no topic has an event any more: nobody sees "
            "them before their next one."
        )
    if left.strangers:
        yield (
            f"{counted(left.strangers, 'row')} in partitions of other devices are left out: no "
            "worker minds them. Was the number of partitions changed without an import?"
        )


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        yield lambda read, size: None
        return
    with click.progressbar(length=1, label="state", file=sys.stderr) as bar:

        def advance(read: int, size: int) -> None:
            bar.length = max(1, size)
            bar.update(read - bar.pos)

        yield advance


def with_bootstrap(settings: Settings, bootstrap: str | None) -> Settings:
    return replace(settings, bootstrap=bootstrap or settings.bootstrap)


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def refusals(settings: Settings) -> Iterator[None]:
    """What can't be done is one line."""
    try:
        yield
    except KafkaError as error:
        raise Refusal(f"Kafka at {settings.bootstrap}: {error or type(error).__name__}") from None
    except (Unusable, UnusableTopic, UnusableBroker, NewerState, RuntimeError) as error:
        raise Refusal(str(error)) from None
