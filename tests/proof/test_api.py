"""What a real worker has decided, as its web view tells it, in the shapes of the document."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pipeline.records import iso
from pipeline.web.openapi import document
from tests.proof.kafka import Sent, as_said, publish, read_topic
from tests.proof.test_commands import House
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BEHIND = 6 * 3_600.0
PATHS = document()["paths"]


def readings(now: float) -> list[Sent]:
    """A quarter of an hour of a barn that was too hot for a while, and of a shed with a wrong
    clock; then the barn is too hot again."""
    sent = []
    for number in range(46):
        at = now - 900 + number * 20
        temperature = 37.0 if 10 <= number < 20 or number == 45 else 21.0
        sent.append(Sent("barn", {"temperature": temperature, "timestamp": iso(at)}, at))
        sent.append(Sent("shed", {"temperature": 20.0, "timestamp": iso(at - BEHIND)}, at))
    return sent


async def told(house: House, path: str, template: str = "") -> Any:
    """The answer, once it is known, which has the shape that the document says."""
    answer: Any = None

    async def known() -> bool:
        nonlocal answer
        status, answer = await house.ask("GET", path)
        return status == 200

    await house.until(known)
    response = PATHS[template or path.partition("?")[0]]["get"]["responses"]["200"]
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": document()["components"]}).validate(answer)
    return answer


async def test_what_a_worker_has_decided_is_told_in_the_shapes_of_the_document(
    kafka, prefix, tmp_path
):
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        house = House(kafka.bootstrap, prefix, await worker.ready())
        now = time.time()
        await publish(kafka.bootstrap, prefix + "readings", readings(now))
        await house.until_events("barn", 3)
        ack = {"by": "ada", "note": "on my way"}
        (hot,) = await told(house, "/api/alerts/active/")
        await house.ask("POST", f"/api/alerts/{hot['alert_id']}/ack", json=ack)
        await house.until_events("barn", 4)

        async def acked() -> bool:
            return (await told(house, "/api/alerts/"))["alerts"][0]["acked"] is True

        await house.until(acked)
        history = (await told(house, "/api/alerts/?device=barn"))["alerts"]
        assert [(one["event"], one["status"]) for one in history] == [
            ("acked", "active"), ("resolved", "resolved"),
        ]  # fmt: skip
        page = await told(house, "/api/alerts/?status=resolved&severity=danger&rule=temp*")
        assert page["alerts"] == history[1:]
        story = await told(house, f"/api/alerts/{hot['alert_id']}/", "/api/alerts/{alert_id}/")
        assert [one["event"] for one in story["events"]] == ["fired", "acked"]

        async def closed() -> bool:
            found = (await told(house, "/api/stats/?device=barn&range=1h"))["metrics"]
            return len(found.get("temperature", {"buckets": ()})["buckets"]) >= 3

        await house.until(closed)
        (metric,) = (await told(house, "/api/stats/?device=barn"))["metrics"].values()
        assert (metric["unit"], max(one["max"] for one in metric["buckets"])) == ("°C", 37.0)
        fleet = (await told(house, "/api/stats/"))["metrics"]["temperature"]["buckets"]
        assert sum(one["count"] for one in fleet) > sum(one["count"] for one in metric["buckets"])

        offsets = {
            one["device_id"]: one["clock_offset"] for one in await told(house, "/api/devices/")
        }
        assert offsets == {"barn": None, "shed": pytest.approx(BEHIND, abs=1)}

        async def counted() -> bool:
            return await worker.metric("smart_iot_wrong_clocks") == 1

        await house.until(counted)
        for path in ("/api/readings/latest_all/", "/api/silences/", "/api/rules/"):
            assert await told(house, path) is not None
    (command,) = as_said("command", await read_topic(kafka.bootstrap, prefix + "commands"))
    assert command["note"] == "on my way"
    for one in as_said("window", await read_topic(kafka.bootstrap, prefix + "windows")):
        assert one["count"] <= 15
    as_said("reading", await read_topic(kafka.bootstrap, prefix + "readings"))
