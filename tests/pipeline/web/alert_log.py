"""Events of alerts in, records on a real broker's `alerts` and `alerts-open` out."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

PARTITIONS = 3


def event(alert_id: str = "a1", seq: int = 1, **changes: Any) -> dict[str, Any]:
    """An event of contract 1.4, `fired` unless the changes say otherwise."""
    device = changes.get("device_id", "greenhouse-7")
    return {
        "schema": 1,
        "type": "danger",
        "title": "🔥 High Temperature Alert!",
        "message": f"Device {device}: Temperature is 36.2°C (threshold: 35.0°C)",
        "device_id": device,
        "value": 36.2,
        "metric": "temperature",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "event": "fired",
        "alert_id": alert_id,
        "seq": seq,
        "rule": "temperature-high",
        "severity": "danger",
        "previous_severity": None,
        "threshold": 35.0,
        "clear": 33.0,
        "unit": "°C",
        "status": "active",
        "reason": "threshold",
        "count": 1,
        "started_at": "2026-11-22T10:00:00.000Z",
        "resolved_at": None,
        "acked": False,
        "acked_by": None,
        "note": None,
        "detected_at": "2026-11-22T10:00:00.000Z",
        "stale": False,
        "suppressed_by": None,
        **changes,
    }


def resolved(alert_id: str = "a1", seq: int = 2, **changes: Any) -> dict[str, Any]:
    end = {"type": "resolved", "event": "resolved", "status": "resolved", "reason": "value_normal"}
    return event(alert_id, seq, **end, **changes)


class AlertLog:
    """What the pipeline would write; every send is acknowledged."""

    def __init__(self, bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
        self.bootstrap = bootstrap
        self.alerts = f"{prefix}alerts"
        self.open = f"{prefix}alerts-open"
        self._producer = producer

    async def create(self, partitions: int = PARTITIONS) -> None:
        compacted = {"cleanup.policy": "compact"}
        await self._admin(
            "create_topics",
            [
                NewTopic(self.alerts, partitions, 1),
                NewTopic(self.open, partitions, 1, topic_configs=compacted),
            ],
        )

    async def grow(self, partitions: int) -> None:
        await self._admin("create_partitions", {self.alerts: NewPartitions(partitions)})

    async def delete(self) -> None:
        await self._admin("delete_topics", [self.alerts, self.open])

    async def _admin(self, what: str, *arguments: Any) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await getattr(admin, what)(*arguments)
        finally:
            await admin.close()

    async def tell(self, *events: dict[str, Any]) -> None:
        """To `alerts` and `alerts-open`, as the pipeline does."""
        for one in events:
            await self.to_alerts(one)
            await (self.tombstone(one) if one["status"] == "resolved" else self.to_open(one))

    async def to_alerts(self, one: dict[str, Any], *, at: float | None = None) -> None:
        stamp = round((time.time() if at is None else at) * 1000)
        await self.raw(self.alerts, json.dumps(one).encode(), one["device_id"].encode(), stamp)

    async def to_open(self, one: dict[str, Any], *, at: float | None = None) -> None:
        stamp = None if at is None else round(at * 1000)
        await self.raw(self.open, json.dumps(one).encode(), _key(one), stamp)

    async def tombstone(self, one: dict[str, Any], *, named: bool = True) -> None:
        headers = [("alert_id", one["alert_id"].encode()), ("seq", str(one["seq"]).encode())]
        await self.raw(self.open, None, _key(one), headers=headers if named else [])

    async def raw(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        stamp: int | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        await self._producer.send_and_wait(
            topic, value, key, timestamp_ms=stamp, headers=headers or []
        )


def _key(one: dict[str, Any]) -> bytes:
    return f"{one['device_id']}|{one['rule']}".encode()


@contextlib.asynccontextmanager
async def alert_log(bootstrap: str, prefix: str) -> AsyncIterator[AlertLog]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        yield AlertLog(bootstrap, prefix, producer)
    finally:
        await producer.stop()


def long_ago() -> float:
    """Before what the feed reads again at a start."""
    return datetime(2026, 1, 1, tzinfo=UTC).timestamp()
