"""The state moved, put back and moved again, by the commands: no alert changes its id, none is
missing, none comes twice, and each goes on counting where it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from pipeline import commands
from pipeline.commands import EVERYBODY, SilenceBody
from pipeline.home import home_of
from pipeline.names import Names
from tests.proof.history import wandering
from tests.proof.kafka import Sent, ends, open_alerts, publish, quiet, read_topic
from tests.proof.outcome import Outcome, assert_same, outcome, undisturbed
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()"]
START = time.time() - 3 * 86_400  # far from live: every alert follows from the readings alone
READINGS, FIRST = 6_000, 3_500


class Done(NamedTuple):
    code: int | None
    out: str
    err: str


async def smart_iot(bootstrap: str, prefix: str, *arguments: str) -> Done:
    ours = {"SMART_IOT_BOOTSTRAP": bootstrap, "SMART_IOT_TOPIC_PREFIX": prefix}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env={**os.environ, **ours},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Done(process.returncode, out.decode(), err.decode())


async def does(bootstrap: str, prefix: str, *arguments: str) -> Done:
    done = await smart_iot(bootstrap, prefix, *arguments)
    assert done.code == 0, done
    return done


@pytest.fixture(scope="module")
def history() -> list[Sent]:
    return list(wandering(seed=11, readings=READINGS, start=START))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(kafka, history, tmp_path_factory) -> Outcome:
    folder = tmp_path_factory.mktemp("clean")
    return await undisturbed(kafka.bootstrap, f"clean-{time.time_ns()}-", folder, history)


async def judged(kafka, prefix: str, worker: Worker, readings: list[Sent]) -> None:
    """By a worker that then ends well."""
    with worker:
        await worker.ready()
        await publish(kafka.bootstrap, prefix + "readings", readings)
        await quiet(kafka.bootstrap, prefix, seconds=1)
        await worker.leave()


def without_offsets(states: Mapping[str, Any]) -> dict[str, Any]:
    return {key: {**state, "applied": None} for key, state in states.items()}


def joined(*parts: Outcome) -> Outcome:
    """What was told one after the other; nothing twice. The last one has the state."""
    events = {key: event for part in parts for key, event in part.events.items()}
    assert len(events) == sum(len(part.events) for part in parts), "told again elsewhere"
    return parts[-1]._replace(
        events=events,
        states=without_offsets(parts[-1].states),
        published=sum(part.published for part in parts),
    )


def silence_of_nobody() -> commands.Quiet:
    ends_at = datetime.fromtimestamp(time.time() + 3_600, UTC)
    return commands.silence(SilenceBody("ada", ends_at, device="nobody"), time.time())


async def silenced(kafka, prefix: str, partitions: int) -> str:
    """The id of a silence that every partition is told."""
    command = silence_of_nobody()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    for number in range(partitions):
        value = commands.encode(command)
        await producer.send_and_wait(f"{prefix}commands", value, EVERYBODY, partition=number)
    await producer.stop()
    return command.silence_id


async def silences(worker: Worker) -> list[str]:
    """Those that its view knows, once it has read them."""
    address = f"http://127.0.0.1:{worker.port}/api/silences/"
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            async with session.get(address) as answer:
                if answer.status == 200:
                    return [one["silence_id"] for one in await answer.json()]
            await asyncio.sleep(0.1)


async def delete(kafka, *topics: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(topics))
        while set(topics) & set(await admin.list_topics()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def test_more_partitions_under_a_new_prefix_and_not_an_alert_notices(
    kafka, prefix, tmp_path, history, clean
):
    before, after = f"{prefix}before-", f"{prefix}after-"
    file = str(tmp_path / "state.jsonl.gz")
    old = Worker(kafka.bootstrap, before, tmp_path, name="same", SMART_IOT_PARTITIONS="3")
    with old:
        await old.ready()
        silence_id = await silenced(kafka, before, 3)
        await publish(kafka.bootstrap, f"{before}readings", history[:FIRST])
        await quiet(kafka.bootstrap, before, seconds=1)
        running = await does(kafka.bootstrap, before, "export", file)
        assert "1 worker ran meanwhile: this is a backup" in running.err
        refused = await smart_iot(kafka.bootstrap, before, "import", file, "--replace")
        assert (refused.code, "1 workers of the group" in refused.err) == (2, True), refused
        await old.leave()
    exported = await does(kafka.bootstrap, before, "export", file)
    first = await outcome(kafka.bootstrap, before)
    assert first.open, "no alert was open when the state moved"
    devices = len(first.states)
    what = f"{devices} devices, {len(first.open)} open alerts and 1 silence"
    assert f"exported {what} to {file}" in exported.out
    assert exported.err == ""

    imported = await does(kafka.bootstrap, after, "import", file, "--partitions", "8")
    assert f"imported {what} into 8 partitions" in imported.out
    assert await open_alerts(kafka.bootstrap, after) == first.open
    for topic, ids in ((Names(after).changelog, None), (Names(after).alerts_open, "|")):
        for record in await read_topic(kafka.bootstrap, topic):
            device = record.key.decode().partition(ids or "\n")[0]
            if not device.startswith("*"):
                assert record.partition == home_of(device, 8)

    # in the very folder of the old one, whose local state means nothing here
    new = Worker(kafka.bootstrap, after, tmp_path, name="same")
    with new:
        await new.ready()
        assert await silences(new) == [silence_id]
        await publish(kafka.bootstrap, f"{after}readings", history[FIRST:])
        await quiet(kafka.bootstrap, after, seconds=1)
        await new.leave()
    # a row notes where there are silences that its alerts are under none
    found = joined(first, await outcome(kafka.bootstrap, after))
    assert_same(found._replace(states=clean.states), clean)


async def test_fewer_partitions_in_topics_made_anew_with_what_was_not_announced_yet(
    kafka, prefix, tmp_path, history, clean
):
    file = str(tmp_path / "state.jsonl")
    name = {"name": "same", "SMART_IOT_PARTITIONS": "4"}
    await judged(kafka, prefix, Worker(kafka.bootstrap, prefix, tmp_path, **name), history[:FIRST])
    hot = Sent("attic", {"temperature": 41.0}, history[FIRST - 1].at)
    stopping = Worker(
        kafka.bootstrap,
        prefix,
        tmp_path,
        module="tests.proof.stopping_worker",
        STOP_AT="announce:1",
        SMART_IOT_SESSION_TIMEOUT="6",
        SMART_IOT_FLUSH_TIMEOUT="4",
        **name,
    )
    with stopping:
        await stopping.ready()
        await publish(kafka.bootstrap, f"{prefix}readings", [hot])
        await stopping.ended(within=20)
    first = await outcome(kafka.bootstrap, prefix)
    assert "attic|temperature-high" not in first.open, "it was announced"
    while (await does(kafka.bootstrap, prefix, "export", file)).err.startswith("1 worker"):
        pass  # who was killed is in the group for a while

    await delete(kafka, *Names(prefix).policies())
    imported = await does(kafka.bootstrap, prefix, "import", file, "--partitions", "2")
    assert "into 2 partitions" in imported.out
    cold = [Sent("attic", {"temperature": 20.0}, hot.at)]
    worker = Worker(kafka.bootstrap, prefix, tmp_path, **name)
    await judged(kafka, prefix, worker, [*cold, *history[FIRST:]])
    assert "is of another changelog and is dropped" in worker.tail()
    second = await outcome(kafka.bootstrap, prefix)
    attic = [one["event"] for one in second.events.values() if one["device_id"] == "attic"]
    assert attic[:2] == ["fired", "resolved"]
    assert_same(
        without(joined(first, second), "attic"),
        clean._replace(states=without_offsets(clean.states)),
    )


def without(found: Outcome, device: str) -> Outcome:
    return found._replace(
        events={k: event for k, event in found.events.items() if event["device_id"] != device},
        states={key: state for key, state in found.states.items() if key != device},
        open={key: event for key, event in found.open.items() if event["device_id"] != device},
    )


async def test_a_backup_takes_the_place_of_a_deleted_changelog_and_what_came_since_is_judged_again(
    kafka, prefix, tmp_path, history, clean
):
    file, changelog = str(tmp_path / "state.jsonl.gz"), Names(prefix).changelog
    worker = Worker(kafka.bootstrap, prefix, tmp_path)
    await judged(kafka, prefix, worker, history[:FIRST])
    await does(kafka.bootstrap, prefix, "export", file)
    first = await outcome(kafka.bootstrap, prefix)
    cold = Sent("attic", {"temperature": 3.0}, history[-1].at)  # nobody knew of it then
    await judged(kafka, prefix, worker, [*history[FIRST:], cold])
    told = await outcome(kafka.bootstrap, prefix)

    before = await ends(kafka.bootstrap, changelog)
    refused = await smart_iot(kafka.bootstrap, prefix, "import", file)
    assert (refused.code, "holds a state already" in refused.err) == (2, True), refused
    refused = await smart_iot(kafka.bootstrap, prefix, "import", file, "--partitions", "8")
    assert (refused.code, "has 4 partitions already, not 8" in refused.err) == (2, True), refused
    assert await ends(kafka.bootstrap, changelog) == before

    await delete(kafka, changelog)
    imported = await does(kafka.bootstrap, prefix, "import", file)
    since = READINGS - FIRST + 1
    assert f"workers will judge what came since, {since:,} readings" in imported.out
    await judged(kafka, prefix, worker, [])
    again = await outcome(kafka.bootstrap, prefix)  # a repeat that differed would fail here
    assert again.events == told.events
    assert again.published > told.published
    assert (again.states, again.open) == (told.states, told.open)
    assert_same(without(again, "attic"), clean)

    await does(kafka.bootstrap, prefix, "import", file, "--replace")
    back = await outcome(kafka.bootstrap, prefix)
    assert (back.states, back.open) == (first.states, first.open)


async def test_what_can_not_be_is_one_line(kafka, prefix, tmp_path):
    file = tmp_path / "state.jsonl"
    nothing = await smart_iot(kafka.bootstrap, prefix, "export", str(file))
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)
    assert f"has no topic {prefix}" in nothing.err
    assert not file.exists()
    file.write_text('{"kind": "end", "devices": 0, "alerts": 0}\n')
    broken = await smart_iot(kafka.bootstrap, prefix, "import", str(file))
    assert (broken.code, broken.err.count("\n")) == (2, 1)
    assert "line 1 doesn't belong there" in broken.err
    away = await smart_iot("127.0.0.1:9", prefix, "export", str(file))
    assert (away.code, away.err.count("\n")) == (2, 1), away
