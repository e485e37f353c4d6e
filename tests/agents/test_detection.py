"""What surrounds the judge: the clock that leaps, the flush that fails for good."""

from __future__ import annotations

import asyncio
import types

import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.exceptions import ProducerSendError

from agents import detection as module
from agents.detection import ASLEEP, detection
from agents.writer import Closed, Writer
from tests.agents.shell import T0, App, Batches, Chunk, Table, partition


class Ended(Exception):
    """Of the process."""


@pytest.mark.parametrize("leap", [ASLEEP + 1, -ASLEEP - 1])
def test_when_the_clock_leaps_silence_counts_from_then(monkeypatch, leap):
    owned = partition()
    owned.clock.see(T0, wall=T0 + 1e7)
    owned.clock.live = owned.clock.watching = True
    before = detection.wall()
    monkeypatch.setattr(detection.ownership, "owned", {0: owned})
    monkeypatch.setattr(detection.reach, "answered_at", before - leap)
    assert owned.clock.judged_from < before
    assert detection.wall() == owned.clock.judged_from


async def flushing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[str]:
    """What the task that flushes has come to, where the changelog fails so."""
    app, owned = App(), partition()
    app.producer.fails[app.names.changelog] = error
    owned.pending = [Chunk(app.log)]
    given = types.SimpleNamespace(settings=types.SimpleNamespace(flush_interval=0), should_stop=0)
    batches = Batches(app.producer)
    monkeypatch.setattr(detection, "app", given)
    monkeypatch.setattr(detection, "writer", Writer(app, Table(app.log), batches))  # type: ignore[arg-type]
    monkeypatch.setattr(detection.ownership, "owned", {0: owned})

    def end_process(_: str) -> None:
        raise Ended

    monkeypatch.setattr(module, "end_process", end_process)
    await asyncio.wait_for(detection.flush_for_ever(), 0.2)
    return app.log


@pytest.mark.parametrize("error", [KafkaTimeoutError(), ProducerSendError(), TimeoutError()])
async def test_a_flush_that_fails_for_good_ends_the_worker_and_acknowledges_nothing(
    monkeypatch, error
):
    log: list[str] = []
    monkeypatch.setattr(Chunk, "ack", lambda _: log.append("ack"))
    with pytest.raises(Ended):
        await flushing(monkeypatch, error)
    assert log == []


async def test_a_flush_of_what_was_given_away_meanwhile_ends_nothing(monkeypatch):
    with pytest.raises(TimeoutError):
        await flushing(monkeypatch, Closed("given away"))
