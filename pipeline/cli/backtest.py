"""Recorded readings in; the alert events that rules would have made of them, and a summary, out."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import click

from pipeline.backtest import topic as topics
from pipeline.backtest.files import csv_rows, json_lines
from pipeline.backtest.recording import Batch, Unreadable
from pipeline.backtest.run import Backtest
from pipeline.cli import Refusal
from pipeline.cli.opened import opened
from pipeline.garbage import seldom
from pipeline.records import parse_time
from pipeline.rules import Event, Rulebook
from pipeline.rules.faults import RulesError
from pipeline.rulesource import read_rules, rules_of
from pipeline.settings import Settings, from_environment
from pipeline.words import event_json

BY_CTRL_C = 130  # as a shell has it
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Source(NamedTuple):
    batches: Iterable[Batch]
    size: int | None
    """In the unit of a batch's `read`; None where nobody knows."""
    partitions: int | None = None


@click.command()
@click.argument("readings", required=False)
@click.option("--rules", type=FILE, help="Rules to judge by; else SMART_IOT_RULES, the built-in.")
@click.option("--compare", type=FILE, help="Other rules: tell what they would add and remove.")
@click.option("--partitions", type=click.IntRange(1), help="As `readings` has; else the setting.")
@click.option("--topic", help="Read this topic of Kafka instead of a file.")
@click.option("--from", "since", help="Of the topic: from this time on (ISO 8601, or s or ms).")
@click.option("--to", "until", help="Of the topic: before this time.")
@click.option("--bootstrap", help="Kafka's addresses; else SMART_IOT_BOOTSTRAP.")
def backtest(
    readings: str | None,
    rules: Path | None,
    compare: Path | None,
    partitions: int | None,
    topic: str | None,
    since: str | None,
    until: str | None,
    bootstrap: str | None,
) -> None:
    """Judge recorded READINGS as a worker would have, and tell what it would have said.

    READINGS are JSON lines, or CSV with named columns (.csv), also packed (.gz); - is standard
    input. Each line arrived when its field arrived_at says, else at its own timestamp, and lines
    are in the order of arrival. Alert events are lines of JSON on standard output, the summary is
    on standard error.

    \b
    smart-iot backtest --rules rules.toml readings.jsonl.gz >events.jsonl
    smart-iot backtest --compare rules.toml --topic readings --from 2026-11-01
    """
    settings = from_environment()
    if (readings is None) == (topic is None):
        raise click.UsageError("give either a file of readings or --topic")
    if topic is None and (since or until or bootstrap):
        raise click.UsageError("--from, --to and --bootstrap belong to --topic")
    if topic is not None and partitions:
        raise click.UsageError("--partitions belongs to a file: a topic has its own")
    settings = replace(settings, bootstrap=bootstrap or settings.bootstrap)
    book = _rules(settings, rules)
    others = None if compare is None else _rules(settings, compare)
    if topic is not None:
        source = _topic(settings, topic, _time(since, settings), _time(until, settings))
    else:
        source = _file(readings or "")
    seldom()
    with source as found:
        run = Backtest(
            book,
            partitions=found.partitions or partitions or settings.partitions,
            naive_timezone=ZoneInfo(settings.naive_timezone),
            others=others,
        )
        _run(run, found)


def _rules(settings: Settings, path: Path | None) -> Rulebook:
    try:
        return rules_of(settings) if path is None else read_rules(path)
    except RulesError as error:
        raise Refusal(str(error)) from None


def _time(text: str | None, settings: Settings) -> float | None:
    if text is None:
        return None
    try:
        claim: str | float = float(text)
    except ValueError:
        claim = text
    try:
        return parse_time(claim, ZoneInfo(settings.naive_timezone))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _file(path: str) -> Iterator[Source]:
    batches = csv_rows if path.removesuffix(".gz").endswith(".csv") else json_lines
    with opened(path) as (stream, size, tell):
        try:
            yield Source(batches(stream, tell), size)
        except Unreadable as error:
            raise Refusal(f"{path} can't be read: {error}") from None


@contextmanager
def _topic(
    settings: Settings, name: str, since: float | None, until: float | None
) -> Iterator[Source]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said once, by us
    try:
        with topics.reading(settings.kafka(), name, since, until) as topic:
            yield Source(topic.batches(), topic.size, topic.partitions)
    except Unreadable as error:
        raise Refusal(f"{name} at {settings.bootstrap} can't be read: {error}") from None


def _run(run: Backtest, source: Source) -> None:
    stopped = False
    try:
        with _progress(source.size) as advance:
            for batch in source.batches:
                _print(run.take(batch))
                advance(batch.read)
        _print(run.end())
    except KeyboardInterrupt:
        stopped = True
        click.echo("stopped by Ctrl-C: this is what came before", err=True)
    for line in run.tally.lines():
        click.echo(line, err=True)
    if run.comparison is not None and not stopped:
        click.echo("", err=True)
        for line in run.comparison.lines():
            click.echo(line, err=True)
    if stopped:
        raise click.exceptions.Exit(BY_CTRL_C)


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, where the events don't go there too."""
    if size is None or not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda read: None
        return
    with click.progressbar(length=size, label="readings", file=sys.stderr) as bar:
        yield lambda read: bar.update(read - bar.pos)


def _print(events: list[Event]) -> None:
    if not events:
        return
    try:
        sys.stdout.buffer.write(b"".join([event_json(event) + b"\n" for event in events]))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read our output has gone. What is left in the buffer has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(1) from None
    except OSError as error:
        raise Refusal(f"the events can't be written: {error.strerror}") from None
