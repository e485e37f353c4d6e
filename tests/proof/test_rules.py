"""Other rules after a restart of a real worker: unchanged ones say nothing, the others end well."""

from __future__ import annotations

import asyncio
import re
import signal
import time

import aiohttp
import pytest

from tests.proof.kafka import Sent, alerts, publish, quiet
from tests.proof.outcome import of_rule, outcome
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

HOT = """
[rules.hot]
metric = "temperature"
levels = [{{ severity = "warning", above = {line}, clear = 20 }}]

[group.oven.hot]
enabled = false
"""
HUMID = """
[rules.humid]
metric = "humidity"
levels = [{ severity = "warning", above = 80, clear = 75 }]
"""


async def test_a_worker_that_comes_back_with_other_rules_judges_by_them(kafka, prefix, tmp_path):
    file = tmp_path / "rules.toml"
    devices = ["attic", "cellar/1", "oven/1"]
    readings = [
        Sent(device, {"temperature": 36.0, "humidity": 90.0}, time.time() - 9_000)
        for device in devices
    ]
    runs = {
        "both": (HOT.format(line=35) + HUMID, ["fired"] * 2, ["fired"] * 3),
        "the same": (HOT.format(line=35) + HUMID, ["fired"] * 2, ["fired"] * 3),
        "others": (HOT.format(line=40), ["fired"] * 2, ["fired"] * 3 + ["resolved"] * 3),
        "back": (HOT.format(line=37), ["fired"] * 2, ["fired"] * 3 + ["resolved"] * 3),
    }
    for number, (rules, hot, humid) in enumerate(runs.values()):
        file.write_text(rules)
        with Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_RULES=str(file)) as worker:
            await worker.ready()
            if number == 0:
                await publish(kafka.bootstrap, prefix + "readings", readings)
            await quiet(kafka.bootstrap, prefix)
            assert worker.stop() == 0, worker.tail()
        found = await outcome(kafka.bootstrap, prefix)
        assert sorted(event for _, event in of_rule(found, "hot")) == hot
        assert sorted(event for _, event in of_rule(found, "humid")) == humid
    assert {device for device, _ in of_rule(found, "hot")} == {"attic", "cellar/1"}
    reasons = {e["reason"] for e in found.events.values() if e["event"] == "resolved"}
    assert reasons == {"rule_removed"}


async def test_a_worker_does_not_start_by_rules_that_can_not_be_meant(kafka, prefix, tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(HUMID.replace("warning", "warnign"))
    with Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_RULES=str(file)) as worker:
        await worker.ended(within=30)
        assert "did you mean warning?" in worker.tail()


async def test_a_running_worker_reads_its_rules_anew_and_keeps_the_last_good_ones(
    kafka, prefix, tmp_path
):
    file = tmp_path / "rules.toml"
    file.write_text(HOT.format(line=35))
    with Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_RULES=str(file)) as worker:
        await worker.ready()
        hot = [Sent("attic", {"temperature": 36.0}, time.time())]
        await publish(kafka.bootstrap, prefix + "readings", hot)
        await until_events(kafka, prefix, ["fired"])
        for number in range(100):  # each time there is another rule beside the one that fires
            file.write_text(HOT.format(line=35) + HUMID.replace("80", str(80 + number)))
            status, said = await reload(worker)
            assert (status, said["reloaded"]) == (200, True)
        assert 'smart_iot_rules_reloads_total{result="applied"} 100.0' in await metrics(worker)
        file.write_text(HOT.format(line="high"))
        status, said = await reload(worker)
        assert status == 422
        assert "no TOML" in said["mistakes"][0]
        file.write_text(HUMID)
        assert (await reload(worker, Origin="http://elsewhere.example"))[0] == 403
        await quiet(kafka.bootstrap, prefix)
        assert await events(kafka, prefix) == ["fired"]
        worker.process.send_signal(signal.SIGHUP)
        await until_events(kafka, prefix, ["fired", "resolved"])
        assert worker.stop() == 0, worker.tail()


async def test_a_reload_at_one_worker_reaches_the_others_each_with_its_own_file(
    kafka, prefix, tmp_path
):
    files = [tmp_path / "one.toml", tmp_path / "two.toml"]
    for file in files:
        file.write_text(HOT.format(line=35))
    one, two = (
        Worker(kafka.bootstrap, prefix, tmp_path, name=file.stem, SMART_IOT_RULES=str(file))
        for file in files
    )
    with one, two:
        await one.ready()
        await two.ready()
        devices = [f"attic-{number}" for number in range(12)]  # in partitions of both
        hot = [Sent(device, {"temperature": 36.0}, time.time()) for device in devices]
        await publish(kafka.bootstrap, prefix + "readings", hot)
        await until_events(kafka, prefix, ["fired"] * 12)
        before = await rules_of(one)
        assert await rules_of(two) == before
        files[0].write_text(HOT.format(line=37) + HUMID)
        files[1].write_text(HOT.format(line=37))
        status, said = await reload(one)
        assert (status, said["reloaded"]) == (200, True)
        await until_other_rules(two, before)
        found = {await rules_of(one), await rules_of(two)}
        assert len(found) == 2, "workers with different rules show it"
        files[1].write_text(HOT.format(line=37) + HUMID.replace("80", "eighty"))
        status, _ = await reload(one)
        assert status == 200
        await until_shown(two, 'smart_iot_rules_reloads_total{result="refused"} 1.0')
        assert {await rules_of(one), await rules_of(two)} == found
        files[1].write_text(files[0].read_text())
        assert (await reload(two))[0] == 200
        assert await rules_of(one) == await rules_of(two)
        await quiet(kafka.bootstrap, prefix)
        assert await events(kafka, prefix) == ["fired"] * 12
        for worker in (one, two):  # what they hear on coming back is old
            worker.kill()
        one.start()
        await one.ready()
        assert 'smart_iot_rules_reloads_total{result="applied"} 0.0' in await metrics(one)


async def test_a_worker_that_watches_its_file_needs_nobodys_word(kafka, prefix, tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(HOT.format(line=35))
    environment = {"SMART_IOT_RULES": str(file), "SMART_IOT_RULES_WATCH": "0.2"}
    with Worker(kafka.bootstrap, prefix, tmp_path, **environment) as worker:
        await worker.ready()
        before = await rules_of(worker)
        file.write_text(HOT.format(line="high"))
        await asyncio.sleep(2)
        assert worker.log.read_text().count("the rules stay as they were") == 1
        assert await rules_of(worker) == before
        file.write_text(HOT.format(line=36))
        await until_other_rules(worker, before)


async def metrics(worker):
    address = f"http://127.0.0.1:{worker.port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        return await answer.text()


async def rules_of(worker):
    """The hash of the rules that it judges by: one."""
    (found,) = re.findall(r'^smart_iot_rules_info{hash="(\w+)"} 1.0$', await metrics(worker), re.M)
    return found


async def until_other_rules(worker, before):
    async with asyncio.timeout(30):
        while await rules_of(worker) == before:
            pass


async def until_shown(worker, text):
    async with asyncio.timeout(30):
        while text not in await metrics(worker):
            pass


async def reload(worker, **headers):
    address = f"http://127.0.0.1:{worker.port}/-/reload"
    async with aiohttp.ClientSession() as session, session.post(address, headers=headers) as answer:
        return answer.status, await answer.json()


async def events(kafka, prefix):
    return [event["event"] for event in await alerts(kafka.bootstrap, prefix)]


async def until_events(kafka, prefix, expected):
    async with asyncio.timeout(30):
        while await events(kafka, prefix) != expected:
            pass
