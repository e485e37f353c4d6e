"""Settings in; a process for each database that they name, and for who is told of alerts, or those
databases made fit, out."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from pipeline.cli import Refusal
from pipeline.logs import configure, is_json
from pipeline.settings import PREFIX, Settings, elsewhere, from_environment
from pipeline.sinks.known import SINKS, TOLD, NoSink, configured, sink_of, told
from pipeline.sinks.sink import SinkUnavailable
from pipeline.supervisor import Child, GivenUp, Say, Supervisor

log = logging.getLogger(__name__)

ENDS_WITHIN = 20.0  # seconds from SIGTERM to SIGKILL


@click.group(invoke_without_command=True)
@click.pass_context
def archive(ctx: click.Context) -> None:
    """Keep alerts and readings in databases (MySQL, MongoDB, Redis) and tell Alertmanagers and a
    webhook of alerts, until Ctrl-C.

    Those run whose URL is set, each in a process of its own.
    """
    if ctx.invoked_subcommand:
        return
    settings = from_environment()
    names = [*usable(settings), *told(settings)]
    if not names:
        raise Refusal(f"nobody is named to keep or tell anything: set one of {', '.join(_urls())}")
    folder = settings.state_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**elsewhere(os.environ), PREFIX + "DATA_DIR": str(folder)}
    children = [archive_of(name, folder, environment) for name in names]
    try:
        asyncio.run(Supervisor(children, sayer(settings)).run(lambda: None))
    except GivenUp as error:
        raise Refusal(str(error)) from None


@archive.command()
def migrate() -> None:
    """Make the tables and indexes that are missing; nothing else is touched."""
    settings = from_environment()
    if not configured(settings):
        raise Refusal(f"no database is named: set one of {', '.join(_urls()[: len(SINKS)])}")
    for name in usable(settings):
        click.echo(asyncio.run(_migrated(name, settings)))


def usable(settings: Settings) -> Sequence[str]:
    """The databases that are set, all of which can be talked to. Refusal where one can't."""
    names = configured(settings)
    for name in names:
        try:
            sink_of(name, settings)
        except NoSink as error:
            raise Refusal(str(error)) from None
    return names


def _urls() -> list[str]:
    databases = [f"{PREFIX}{name.upper()}_URL" for name in SINKS]
    return [*databases, f"{PREFIX}ALERTMANAGER_URLS", f"{PREFIX}WEBHOOK_URL"]


async def _migrated(name: str, settings: Settings) -> str:
    sink = sink_of(name, settings)
    try:
        return await sink.migrate()
    except SinkUnavailable as error:
        raise Refusal(f"{name} can't be migrated: {error}") from None
    finally:
        await sink.close()


def who_is_told(folder: Path, environment: Mapping[str, str]) -> list[Child]:
    """A process for each of those that are told of alerts, where it is set whom."""
    return [archive_of(name, folder, environment) for name in told(Settings.of(environment))]


def archive_of(name: str, folder: Path, environment: Mapping[str, str]) -> Child:
    return Child(
        name=name if name in TOLD else f"{name} archive",
        command=[sys.executable, "-P", "-m", "faust", "-A", f"pipeline.archive:{name}", "worker"],
        environment=environment,
        # Faust imports from its folder first: not from the user's, who may have `agents` there.
        cwd=folder,
        stop_within=ENDS_WITHIN,
    )


def sayer(settings: Settings) -> Say:
    """For machines every line is JSON: those of the children are, and stay as they are."""
    if not is_json(settings):
        return partial(click.echo, err=True)
    configure(settings)

    def say(line: str) -> None:
        if line.startswith("{"):
            click.echo(line, err=True)
        else:
            log.info("%s", line)

    return say
