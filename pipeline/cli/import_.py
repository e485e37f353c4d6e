"""A file of device state in; the same in Kafka, for workers to go on from, out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from pipeline.cli import Refusal
from pipeline.cli.export import counted, refusals, with_bootstrap
from pipeline.cli.opened import opened
from pipeline.exchange.arriving import Arrived, arrive
from pipeline.exchange.contents import looked_at
from pipeline.exchange.form import Line, Unreadable, lines
from pipeline.settings import from_environment


@click.command("import")
@click.argument("file")
@click.option("--partitions", type=click.IntRange(1), help="Of the topics; else as in FILE.")
@click.option("--replace", "replaced", is_flag=True, help="What is there gives way to FILE.")
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def import_(file: str, partitions: int | None, replaced: bool, bootstrap: str | None) -> None:
    """Put the state that `smart-iot export` wrote to FILE into Kafka: the same one or another, with
    as many partitions or more or less. No worker may be running.

    \b
    SMART_IOT_TOPIC_PREFIX=v2- smart-iot import state.jsonl.gz --partitions 16
    smart-iot import state.jsonl.gz --replace
    """
    settings = with_bootstrap(from_environment(), bootstrap)
    with refusals(settings):
        with _lines(file, "looking") as found:
            contents = looked_at(found)
        settings = replace(settings, partitions=partitions or contents.head.partitions)
        with _lines(file, "state") as found:
            arrived = asyncio.run(arrive(settings, contents, found, replace=replaced))
    click.echo(
        f"imported {counted(contents.devices, 'device')}, "
        f"{counted(contents.alerts, 'open alert')} and {counted(arrived.silences, 'silence')} "
        f"into {counted(arrived.partitions, 'partition')}"
    )
    for line in told(arrived):
        click.echo(line)


def told(arrived: Arrived) -> Iterator[str]:
    if arrived.replaced:
        yield f"in the place of {counted(arrived.replaced, 'row')}"
    which, what = "others than those", "is in them"
    if arrived.kept:
        which, what = "those", "came since"
    waiting = counted(arrived.unjudged, "reading")
    yield f"the topics are {which} of the export: workers will judge what {what}, {waiting}"


@contextmanager
def _lines(path: str, label: str) -> Iterator[Iterator[Line]]:
    """With a bar on a terminal."""
    try:
        with opened(path) as (stream, size, tell):
            found = lines(stream)
            if size is None:
                raise Refusal("an export is read twice: give the name of a file")
            if not sys.stderr.isatty():
                yield found
                return
            with click.progressbar(length=size, label=label, file=sys.stderr) as bar:

                def shown() -> Iterator[Line]:
                    for line in found:
                        yield line
                        if (read := tell()) > bar.pos:
                            bar.update(read - bar.pos)

                yield shown()
    except Unreadable as error:
        raise Refusal(f"{path} can't be imported: {error}") from None
