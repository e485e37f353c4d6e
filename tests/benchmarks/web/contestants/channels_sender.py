"""Alerts of the user's own design to their group: what its Celery task does, without the detour of
`async_to_sync`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# settings and set-up of Django
import tests.benchmarks.web.contestants.django_design  # noqa: F401  # isort: skip

from channels.layers import get_channel_layer

from tests.benchmarks.web.marks import name_of
from tests.benchmarks.web.pace import Send, run


def alert(number: int) -> dict[str, object]:
    name = name_of(number)
    return {
        "type": "danger",
        "title": "🔥 High Temperature Alert!",
        "message": f"Device {name}: Temperature is 36.2°C (threshold: 35.0°C)",
        "device_id": name,
        "value": 36.2,
        "metric": "temperature",
        "timestamp": "2026-11-22T10:00:00.000Z",
    }


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    layer = get_channel_layer()

    async def send(number: int) -> None:
        await layer.group_send("alerts", {"type": "alert_message", "message": alert(number)})

    yield send


if __name__ == "__main__":
    run(sending)
