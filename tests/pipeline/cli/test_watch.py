"""A real web view in, the lines of `smart-iot watch` out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from yarl import URL

from pipeline.access import parse
from pipeline.cli.watch import Watching, json_line, printable, text_line
from pipeline.settings import Settings
from tests.pipeline.web.alert_log import AlertLog, event, resolved
from tests.pipeline.web.conftest import PATIENCE, Site, running

COMMAND = [sys.executable, "-u", "-c", "from pipeline.cli import main; main()", "watch"]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202eevil\u2028"


class Watch:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode().strip()

    async def complaint(self) -> str:
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)).decode().strip()


@contextlib.asynccontextmanager
async def watching(*arguments: str, **environment: str) -> AsyncIterator[Watch]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Watch(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_every_event_is_a_line_and_what_was_open_is_marked(
    log: AlertLog,
    site: Site,
) -> None:
    await log.tell(event())
    await site.until_open("a1")
    async with watching("--url", site.ws) as watch:
        assert await watch.line() == (
            "2026-11-22T10:00:00.000Z danger   (open) 🔥 High Temperature Alert! "
            "Device greenhouse-7: Temperature is 36.2°C (threshold: 35.0°C)"
        )
        await log.tell(resolved(message="It is over."))
        assert await watch.line() == (
            "2026-11-22T10:00:00.000Z resolved 🔥 High Temperature Alert! It is over."
        )


async def test_json_prints_the_events_and_nothing_else(
    log: AlertLog,
    site: Site,
) -> None:
    await log.tell(event())
    await site.until_open("a1")
    async with watching("--json", "--url", site.ws) as watch:
        assert json.loads(await watch.line()) == event(backlog=True)
        await log.tell(resolved())
        told = json.loads(await watch.line())
        assert told.pop("cursor")
        assert told == resolved()


async def test_the_filters_are_asked_of_the_view(
    log: AlertLog,
    site: Site,
) -> None:
    await log.tell(
        event("a1", device_id="hall/1", message="not this device"),
        event("a2", severity="info", message="not this severity"),
        event("a3", message="this one"),
    )
    await site.until_open("a3", "a2", "a1")
    async with watching("--url", site.ws, "--device", "green*", "--severity", "danger") as watch:
        assert (await watch.line()).endswith("this one")


async def test_it_comes_back_with_its_cursor_and_misses_and_repeats_nothing(
    log: AlertLog,
    settings: Settings,
) -> None:
    async with running(settings) as first:
        await first.until_ready()
        port = first.view.port
        async with watching(SMART_IOT_WEB_PORT=str(port)) as watch:
            await first.until_viewers(1)
            await log.tell(event("a1", message="before"))
            assert (await watch.line()).endswith("before")
            await first.view.stop()
            assert "code 1001" in await watch.complaint()
            await log.tell(event("a2", device_id="hall/1", message="missed"))
            async with running(replace(settings, web_port=port)) as second:
                await second.until_ready()
                line = await watch.line()
                assert line.endswith("missed")
                assert "(open)" not in line
                await log.tell(event("a3", device_id="hall/1", message="after"))
                assert (await watch.line()).endswith("after")
                while "connected again, where it was" not in await watch.complaint():
                    pass


async def test_it_sends_the_token_of_its_file(
    log: AlertLog, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-of-ada\n")
    tokens = parse('[{"token": "token-of-ada", "name": "ada"}]')
    async with running(replace(settings, tokens=tokens)) as site:
        await site.until_ready()
        await log.tell(event())
        async with watching("--url", site.ws, "--token-file", str(tmp_path / "token")) as watch:
            assert "High Temperature" in await watch.line()
        async with watching("--url", site.ws) as watch:
            assert "code 4401" in await watch.complaint()


@pytest.mark.parametrize(
    ("told", "cursor"),
    [
        ([{"type": "connection", "cursor": "c1", "backlog": 0}], "c1"),
        ([{"type": "connection", "cursor": "c1", "backlog": 2}, {"backlog": True}], None),
        ([{"type": "connection", "cursor": "c1", "backlog": 1}, {"backlog": True}], "c1"),
        ([{"type": "connection", "cursor": "c1", "backlog": 1}, {"cursor": "c2"}], "c2"),
        ([{"type": "connection", "cursor": "c1"}, {"cursor": 7}], "c1"),
    ],
)
def test_a_welcomes_cursor_counts_once_its_backlog_is_here(
    told: list[dict[str, object]], cursor: str | None
) -> None:
    watching = Watching(URL("ws://nowhere"), lambda _: None)
    for message in told:
        watching._take(json.dumps(message))
    assert watching.cursor() == cursor


async def test_ctrl_c_ends_it_cleanly(site: Site) -> None:
    async with watching("--url", site.ws) as watch:
        await site.until_viewers(1)
        watch.process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(watch.process.communicate(), PATIENCE)
        assert (watch.process.returncode, out, err) == (0, b"", b"")


async def test_a_view_that_is_not_there_is_tried_again_after_growing_pauses() -> None:
    async with watching("--url", "ws://127.0.0.1:1/ws/alerts/") as watch:
        for pause in ("0.5 s", "1 s", "2 s"):
            complaint = await watch.complaint()
            assert "no connection to ws://127.0.0.1:1" in complaint
            assert complaint.endswith(f"trying again in {pause}")


@pytest.mark.parametrize(
    ("url", "arguments"),
    [("{http}/nothing", []), ("{ws}", ["--severity", "grave"]), ("nonsense", [])],
)
async def test_a_refusal_that_will_not_change_ends_it_in_one_line(
    site: Site,
    url: str,
    arguments: list[str],
) -> None:
    address = url.format(http=site.http, ws=site.ws)
    async with watching("--url", address, *arguments) as watch:
        out, err = await asyncio.wait_for(watch.process.communicate(), PATIENCE)
        assert (watch.process.returncode, out) == (2, b"")
        assert err.decode().startswith("smart-iot: ")
        assert err.count(b"\n") == 1


def test_text_of_a_device_cannot_command_the_terminal() -> None:
    fields = ("type", "title", "message", "timestamp")
    told = text_line(dict.fromkeys(fields, HOSTILE))
    assert all(letter.isprintable() for letter in told.replace("\x1b[0m", ""))
    assert printable("🔥 ❄️ ⚙️ 36.2°C") == "🔥 ❄️ ⚙️ 36.2°C"


def test_json_stays_the_same_json_and_cannot_command_the_terminal() -> None:
    hostile = {"title": HOSTILE + "\ud800"}
    told = json_line(hostile)
    assert told.isprintable()
    assert json.loads(told) == hostile
