"""What the real Alertmanager makes of what it is told; either side started anew, too."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import metrics
from pipeline.records import iso
from pipeline.shapes import AlertEvent
from pipeline.sinks import alertmanager as module
from pipeline.sinks.alertmanager import Alertmanager
from pipeline.sinks.board import Board
from pipeline.sinks.sink import SinkUnavailable
from tests.alertmanager import Alertmanager as Server
from tests.alertmanager import Told, notified
from tests.pipeline.sinks.shell import T0, alert_of
from tests.receiver import Receiver, receiving
from tests.stores import running

HOLD = 2.5


def event(device_id: str, seq: int = 1, **more: Any) -> AlertEvent:
    return alert_of(device_id, seq, at=time.time(), **more)


def resolved(device_id: str, seq: int = 2, **more: Any) -> AlertEvent:
    more = {"event": "resolved", "status": "resolved", "resolved_at": iso(time.time()), **more}
    return event(device_id, seq, **more)


class Telling:
    """A bridge's part: a board, and who tells an Alertmanager of it until it is gone."""

    def __init__(self, server: Server, source: str, hold: float) -> None:
        self.board = Board(source, "http://page", 900)
        self.alertmanager = Alertmanager(server.url, source, hold)

    def say(self, *events: AlertEvent) -> None:
        for one in events:
            self.board.apply(one, time.time())

    async def tell(self, *events: AlertEvent) -> None:
        self.say(*events)
        if self.alertmanager.is_due(self.board, time.time()):
            await self.alertmanager.tell(self.board, time.time())

    async def tell_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.tell()
            await asyncio.sleep(0.05)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def server(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Server]:
    with running(Server(tmp_path / "alertmanager", receiver)) as server:
        yield server


class Bridges:
    """Those of one source, one after the other."""

    def __init__(self, server: Server) -> None:
        self._server, self._source = server, f"t{secrets.token_hex(4)}"
        self._made: list[Telling] = []

    def another(self, hold: float = HOLD, server: Server | None = None) -> Telling:
        self._made.append(Telling(server or self._server, self._source, hold))
        return self._made[-1]

    async def close(self) -> None:
        for one in self._made:
            await one.alertmanager.close()


@pytest.fixture
async def bridges(server: Server) -> AsyncIterator[Bridges]:
    bridges = Bridges(server)
    yield bridges
    await bridges.close()


async def test_what_is_open_goes_on_firing_for_as_long_as_it_is_and_not_longer(
    server, bridges, receiver
):
    """Also once nobody tells it any more."""
    bridge = bridges.another()
    await bridge.tell(event("attic"), event("cellar"))
    (shown,) = server.amtool("alert", "query", "device_id=attic")
    assert shown["labels"]["alertname"] == "temperature-high"
    assert shown["annotations"]["title"] == "🔥 High Temperature Alert!"
    assert shown["generatorURL"] == "http://page/#/device/attic"
    await bridge.tell_for(1.0)
    await bridge.tell(resolved("attic"))
    await bridge.tell_for(2.5)
    assert server.alerts().keys() == {("cellar", "danger")}
    assert sorted(notified(receiver)) == [
        Told("firing", "attic", "danger"),
        Told("firing", "cellar", "danger"),
        Told("resolved", "attic", "danger"),
    ]
    await asyncio.sleep(HOLD + 0.2)
    assert server.alerts() == {}


async def test_another_severity_leaves_none_of_the_one_before(server, bridges, receiver):
    bridge = bridges.another(hold=60)
    await bridge.tell(event("attic", severity="warning"))
    await bridge.tell(event("attic", 2))
    assert server.alerts().keys() == {("attic", "danger")}
    await bridge.tell(event("attic", 3, severity="warning"))
    assert server.alerts().keys() == {("attic", "warning")}
    await bridge.tell(resolved("attic", 4, severity="warning"))
    assert server.alerts() == {}


async def test_one_that_was_away_hears_all_that_is_open_and_what_has_ended(
    server, bridges, receiver
):
    bridge = bridges.another(hold=60)
    await bridge.tell(event("attic"), event("cellar"))
    async with asyncio.timeout(20):
        while len(notified(receiver)) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    server.stop()
    with pytest.raises(SinkUnavailable):
        await bridge.tell(resolved("attic"))
    server.start()
    assert server.alerts() == {}
    await bridge.tell()
    assert server.alerts().keys() == {("cellar", "danger")}
    async with asyncio.timeout(20):
        while Told("resolved", "attic", "danger") not in notified(receiver):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert Told("resolved", "cellar", "danger") not in notified(receiver)


async def test_one_that_was_started_anew_unnoticed_hears_all_within_a_refresh(server, bridges):
    bridge = bridges.another(hold=HOLD)
    await bridge.tell(event("attic"))
    server.kill()
    server.start()
    with contextlib.suppress(SinkUnavailable):  # where its connection was cut without a word
        await bridge.tell_for(HOLD / 5 + 0.2)
    await bridge.tell()
    assert server.alerts().keys() == {("attic", "danger")}


async def test_a_bridge_that_was_started_anew_ends_what_changed_meanwhile(
    server, bridges, receiver
):
    before = bridges.another(hold=60)
    quiet = event("shed", 2, suppressed_by="silence")
    await before.tell(event("attic"), event("cellar"), event("shed"), event("roof"), quiet)
    again = bridges.another(hold=60)
    again.say(event("attic", 2, severity="warning"), resolved("cellar"), quiet)
    again.say(event("well", 2, suppressed_by="silence"), event("roof"))
    await again.tell()
    await again.tell()  # what it has now, and isn't so
    assert server.alerts().keys() == {("attic", "warning"), ("shed", "danger"), ("roof", "danger")}
    assert server.alerts()["roof", "danger"]["startsAt"] == iso(T0)


async def test_a_silent_device_is_one_message_as_the_readme_has_it(server, receiver):
    bridge = Telling(server, "smart-iot", 60)
    try:
        await bridge.tell(event("attic"), event("cellar"))
        silent = event("attic", 2, suppressed_by="offline", stale=True)
        await bridge.tell(event("attic", rule="offline"), silent)
        (shown,) = server.amtool("alert", "query", "--inhibited")
        assert shown["labels"]["alertname"] == "temperature-high"
        assert shown["labels"]["device_id"] == "attic"
        assert shown["annotations"]["stale"] == "true"
    finally:
        await bridge.alertmanager.close()


async def test_two_of_a_cluster_are_both_told(server, bridges, receiver, tmp_path):
    with running(Server(tmp_path / "other", receiver)) as other:
        both = [bridges.another(hold=60), bridges.another(hold=60, server=other)]
        for one in both:
            await one.tell(event("attic"))
        assert server.alerts().keys() == other.alerts().keys() == {("attic", "danger")}


async def test_many_are_told_in_requests_of_a_bounded_size_and_none_is_refused(
    server, bridges, monkeypatch
):
    monkeypatch.setattr(module, "MOST_AT_ONCE", 100)
    refused = metrics.ARCHIVE_REFUSED.labels("alertmanager")
    before = refused._value.get()
    bridge = bridges.another(hold=60)
    await bridge.tell(*(event(f"d/{n}:@._-") for n in range(950)), resolved("*fleet"))
    assert len(server.alerts()) == 950
    assert refused._value.get() == before


async def test_an_alertmanager_that_refuses_something_is_told_the_rest_and_it_is_counted(
    server, bridges
):
    refused = metrics.ARCHIVE_REFUSED.labels("alertmanager")
    before = refused._value.get()
    bridge = bridges.another(hold=60)
    bridge.board._page = "ht tp://"  # no address
    await bridge.tell(event("attic"))
    assert refused._value.get() == before + 1
    assert bridge.alertmanager.told == bridge.board.version


@pytest.mark.parametrize("status", [301, 401, 404])
async def test_what_is_no_alertmanager_or_not_for_us_is_tried_again(receiver, status):
    receiver.always = status
    alertmanager = Alertmanager(receiver.address, "source", HOLD)
    try:
        with pytest.raises(SinkUnavailable, match=f"answers {status}"):
            await alertmanager.tell(Board("source", "http://page", 900), time.time())
        receiver.always = 200  # and says nothing that we understand
        await alertmanager.tell(Board("source", "http://page", 900), time.time())
    finally:
        await alertmanager.close()


async def test_one_that_cant_say_what_it_has_is_told_all_the_same(receiver):
    receiver.answers["GET"] += [503]
    alertmanager, board = Alertmanager(receiver.address, "source", HOLD), Board("s", "http://p", 9)
    board.apply(event("attic"), time.time())
    try:
        await alertmanager.tell(board, time.time())
        assert [one.path for one in receiver.taken] == ["/api/v2/alerts"]
        assert not alertmanager.is_due(board, time.time())
        await alertmanager.tell(board, time.time() + HOLD)
        assert "filter" in receiver.taken[-1].path
    finally:
        await alertmanager.close()


async def test_one_that_has_nothing_to_hear_is_asked_whether_it_is_there(server, bridges):
    bridge = bridges.another(hold=1)
    await bridge.tell()
    server.kill()
    with pytest.raises(SinkUnavailable):
        await bridge.tell_for(1.0)
    server.start()
    await bridge.tell()
