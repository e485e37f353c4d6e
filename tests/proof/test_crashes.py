"""kill -9, restarts and rebalances change nothing of what is announced and remembered.

The short form: `soak` does the same for as long as one likes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice

import pytest
import pytest_asyncio

from pipeline.kafka import running
from tests.proof.crew import ANYWHERE, QUICK
from tests.proof.history import wandering
from tests.proof.kafka import Sent, publish, quiet
from tests.proof.load import Load
from tests.proof.outcome import Outcome, assert_same, of_rule, outcome, undisturbed
from tests.proof.soak import Plan, soak
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

READINGS = 12_000
PLACES = ("announce", "half", "store", "acknowledge", "recover", "taken", "revoke", ANYWHERE)
GONE_WITHIN = 5.0  # seconds from SIGTERM on
REPLAYED = 'smart_iot_readings_total{result="replayed"}'
START = time.time() - 3 * 86_400  # far from live: every alert follows from the readings alone


@pytest.fixture(scope="module")
def history():
    return list(wandering(seed=5, readings=READINGS, start=START))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(kafka, history, tmp_path_factory) -> Outcome:
    folder = tmp_path_factory.mktemp("clean")
    found = await undisturbed(kafka.bootstrap, f"clean-{time.time_ns()}-", folder, history)
    rules = {event["rule"] for event in found.events.values()}
    assert rules == {
        *("temperature-high", "temperature-low", "humidity-high", "battery"),
        *("sensor-fault", "offline"),
    }
    return found


async def test_kills_wherever_they_fall_with_every_second_data_folder_lost_change_nothing(tmp_path):
    plan = Plan(minutes=0, seed=2, kills=len(PLACES), places=PLACES, rate=120)
    with running(tmp_path / "kafka") as kafka:
        report = await soak(kafka, tmp_path, plan)
    print(report.table(), report.line(), sep="\n")
    assert report.faults() == []
    assert report.repeats > 0, "no kill fell between announcing and remembering"


async def test_sigterm_under_full_load_is_quick_and_leaves_nothing_to_do_again(
    kafka, prefix, tmp_path
):
    first = Worker(kafka.bootstrap, prefix, tmp_path, name="first", **QUICK)
    second = Worker(kafka.bootstrap, prefix, tmp_path, name="second", **QUICK)
    load = Load(kafka.bootstrap, prefix, endless())
    with first, second:
        await first.ready()
        await second.ready()
        async with load:
            await load.beyond(0)
            assert await first.leave() < GONE_WITHIN
            await load.beyond(await load.look())
            assert await second.metric(REPLAYED) == 0
            assert await second.leave() < GONE_WITHIN
            await load.look()
            assert load.lag > 0, "there was nothing left to do"
            first.start()
            await load.beyond(load.committed)
            await load.finish(within=60)
        await quiet(kafka.bootstrap, prefix)
        assert await first.metric(REPLAYED) == 0
        assert await first.leave() < GONE_WITHIN
    found = await outcome(kafka.bootstrap, prefix)
    some = islice(endless(), load.sent)
    assert_same(found, await undisturbed(kafka.bootstrap, prefix + "clean-", tmp_path, some))
    assert found.published == len(found.events), "a graceful stop repeated events"


def endless() -> Iterator[Sent]:
    return wandering(seed=6, readings=1_000_000, start=START)


async def test_sigterm_is_a_graceful_stop_though_a_rebalance_falls_into_it(kafka, prefix, tmp_path):
    first = Worker(kafka.bootstrap, prefix, tmp_path, name="one", **QUICK)
    second = Worker(
        kafka.bootstrap,
        prefix,
        tmp_path,
        name="two",
        module="tests.proof.unhurried_worker",
        **QUICK,
    )
    with first, second:
        await first.ready()
        await second.ready()
        assert first.stop() == 0, first.tail()
        assert second.stop() == 0, second.tail()
        assert "is rebalancing" in second.tail(), "no rebalance fell into the stop"


async def test_an_owner_that_is_frozen_before_it_announces_says_nothing_old_when_it_wakes(
    kafka, prefix, tmp_path, history, clean
):
    frozen = Worker(
        kafka.bootstrap,
        prefix,
        tmp_path,
        name="frozen",
        module="tests.proof.stopping_worker",
        STOP_AT="announce:3 SIGSTOP",
        **QUICK,
    )
    awake = Worker(kafka.bootstrap, prefix, tmp_path, name="awake", **QUICK)
    with frozen, awake:
        await frozen.ready()
        await awake.ready()
        await publish(kafka.bootstrap, prefix + "readings", history[:-500])
        await quiet(kafka.bootstrap, prefix)  # all of it has been judged, by the other one
        assert frozen.state() == "T"
        frozen.thaw()
        await frozen.ended(within=60)
        await publish(kafka.bootstrap, prefix + "readings", history[-500:])
        await quiet(kafka.bootstrap, prefix)
        assert awake.stop() == 0, awake.tail()
    assert_same(await outcome(kafka.bootstrap, prefix), clean)


async def test_a_device_with_thousands_of_events_at_once_gets_them_all_in_order(
    kafka, prefix, tmp_path
):
    swings = [Sent("attic", {"temperature": 40 - 20 * (n % 2)}, START + n) for n in range(6_000)]
    found = await undisturbed(kafka.bootstrap, prefix, tmp_path, swings)
    assert of_rule(found, "temperature-high") == [
        *([("attic", "fired"), ("attic", "resolved")] * 3_000)
    ]


async def test_a_broker_that_is_killed_and_comes_back_under_load_changes_nothing(
    prefix, tmp_path, history, clean
):
    with running(tmp_path / "kafka") as kafka, Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        publishing = asyncio.create_task(
            publish(kafka.bootstrap, prefix + "readings", history, rate=600)
        )
        await asyncio.sleep(5)
        kafka.kill()
        await asyncio.sleep(8)
        kafka.start()
        assert not publishing.done()
        await publishing
        await quiet(kafka.bootstrap, prefix)
        assert worker.process is not None
        assert worker.process.poll() is None, worker.tail()
        assert worker.stop() == 0, worker.tail()
        found = await outcome(kafka.bootstrap, prefix)
        written = worker.log.read_text()
    assert_same(found, clean)
    assert len(written.splitlines()) < 200, "an outage of seconds floods the log"
