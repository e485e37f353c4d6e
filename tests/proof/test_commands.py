"""Acknowledgements and silences by HTTP, through a worker that is killed: kept, never twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from pipeline.records import iso
from tests.proof.kafka import Sent, alerts, publish
from tests.proof.outcome import assert_seq_without_holes, outcome
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

QUICK = {"SMART_IOT_SESSION_TIMEOUT": "6", "SMART_IOT_FLUSH_TIMEOUT": "4"}
PATIENCE = 40.0


class House:
    """A worker on a broker: readings in, and what it said."""

    def __init__(self, bootstrap: str, prefix: str, worker: Worker) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.worker = worker

    async def say(self, device: str, **fields: float) -> None:
        reading = Sent(device, fields, time.time())
        await publish(self.bootstrap, self.prefix + "readings", [reading])

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{self.worker.port}") as session,
            session.request(method, path, **more) as answer,
        ):
            return answer.status, await answer.json()

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await true():
            assert time.monotonic() < deadline, f"it doesn't come:\n{self.worker.tail()}"
            await asyncio.sleep(0.2)

    async def events(self, device: str) -> list[dict[str, Any]]:
        """What viewers see: each (alert_id, seq) once, in order."""
        seen = {}
        for event in await alerts(self.bootstrap, self.prefix):
            if event["device_id"] == device:
                assert seen.setdefault((event["alert_id"], event["seq"]), event) == event
        return list(seen.values())

    async def until_events(self, device: str, number: int) -> list[dict[str, Any]]:
        async def so_many() -> bool:
            return len(await self.events(device)) >= number

        await self.until(so_many)
        return await self.events(device)

    async def holds(self, silences: list[str]) -> bool:
        status, found = await self.ask("GET", "/api/silences/")
        return status == 200 and [one["silence_id"] for one in found] == silences

    async def killed(self) -> None:
        self.worker.kill()
        self.worker.start()
        await self.worker.ready()


@pytest.fixture
async def house(kafka, prefix, tmp_path):
    with Worker(kafka.bootstrap, prefix, tmp_path, **QUICK) as worker:
        await worker.ready()
        house = House(kafka.bootstrap, prefix, worker)

        async def knows_its_silences() -> bool:
            return (await house.ask("GET", "/api/silences/"))[0] == 200

        await house.until(knows_its_silences)
        yield house
    assert_seq_without_holes(await outcome(kafka.bootstrap, prefix))


async def test_an_acknowledgement_survives_a_kill_is_not_doubled_and_is_undone_by_a_rise(house):
    await house.say("attic", battery=15)
    (fired,) = await house.until_events("attic", 1)

    async def acknowledged() -> bool:
        path = f"/api/alerts/{fired['alert_id']}/ack"
        status, answer = await house.ask("POST", path, json={"by": "ada", "note": "mine"})
        return status == 202 and bool(answer["command_id"])

    await house.until(acknowledged)
    await house.until_events("attic", 2)
    await house.killed()

    async def still_acked() -> bool:
        status, found = await house.ask("GET", "/api/alerts/active/")
        return status == 200 and [(one["acked_by"], one["note"]) for one in found] == [
            ("ada", "mine")
        ]

    await house.until(still_acked)
    await house.until(acknowledged)  # the same again changes nothing
    await house.say("attic", battery=14)
    await house.say("attic", battery=3)
    found = await house.until_events("attic", 3)
    assert [(one["event"], one["severity"], one["acked"]) for one in found] == [
        ("fired", "warning", False),
        ("acked", "warning", True),
        ("updated", "danger", False),
    ]
    assert found[1]["type"] == "info"


async def test_a_silence_holds_an_alert_through_a_kill_and_its_end_lets_it_out(house):
    ends_at = time.time() + 25
    body = {"by": "ada", "device": "hall/*", "comment": "paint", "ends_at": iso(ends_at)}
    status, made = await house.ask("POST", "/api/silences/", json=body)
    assert status == 202

    body = {"by": "ada", "rule": "co2-*", "ends_at": iso(ends_at + 3_600)}
    _, lasting = await house.ask("POST", "/api/silences/", json=body)
    both = [made["silence_id"], lasting["silence_id"]]
    await house.until(lambda: house.holds(both))
    await house.say("hall/1", temperature=41)
    await house.say("hall/2", humidity=90)
    await house.say("cellar", temperature=41)
    await house.until_events("hall/1", 1)
    await house.until_events("hall/2", 1)
    await house.say("hall/2", humidity=50)
    await house.until_events("hall/2", 2)
    await house.killed()
    await house.until(lambda: house.holds(both[1:]))
    let_out = await house.until_events("hall/1", 2)
    assert [(one["event"], one["suppressed_by"]) for one in let_out] == [
        ("fired", made["silence_id"]),
        ("updated", None),
    ]
    assert (let_out[1]["reason"], let_out[1]["timestamp"]) == ("unsuppressed", iso(ends_at))
    assert [(one["event"], one["suppressed_by"]) for one in await house.events("hall/2")] == [
        ("fired", made["silence_id"]),
        ("resolved", None),
    ]
    assert [one["suppressed_by"] for one in await house.events("cellar")] == [None]
    await house.say("hall/1", temperature=20)
    assert [one["event"] for one in await house.until_events("hall/1", 3)][2] == "resolved"
    status, _ = await house.ask("DELETE", f"/api/silences/?id={both[1]}&by=ada")
    assert status == 202
    await house.until(lambda: house.holds([]))
