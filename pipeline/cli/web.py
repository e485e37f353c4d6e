"""Settings in; a web view that stands alone out: any number of them, beside the workers.

Each reads all partitions, without a group, and judges nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal

import click

from pipeline.about import CORE, VERSION
from pipeline.eventloop import Loop
from pipeline.garbage import seldom
from pipeline.logs import configure
from pipeline.settings import Settings, from_environment
from pipeline.web.server import WebView
from pipeline.web.tasks import Deaf

log = logging.getLogger("pipeline.web")


@click.command()
@click.option("--host", help="The address to listen on; else SMART_IOT_WEB_HOST.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; else SMART_IOT_WEB_PORT.")
def web(host: str | None, port: int | None) -> None:
    """Show alerts and readings on a page and over WebSockets, apart from any worker."""
    settings = from_environment()
    settings = dataclasses.replace(
        settings,
        web_host=host or settings.web_host,
        web_port=settings.web_port if port is None else port,
    )
    configure(settings)
    seldom()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    """Until it is asked to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    view = WebView(settings)
    await view.start()
    log.info("version %s, %s core, Kafka at %s", VERSION, CORE, settings.bootstrap)
    try:
        await ended.wait()
    finally:
        await _stop(view)
        log.info("ended, as it was asked to")


async def _stop(view: WebView) -> None:
    try:
        await view.stop()
    except Deaf as deaf:  # the event loop, too, would wait for it for ever
        log.critical("ending this process: %s", deaf)
        os._exit(70)
