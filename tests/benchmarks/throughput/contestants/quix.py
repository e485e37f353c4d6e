"""Readings in, alerts out, with Quix Streams: one stateful function, a row a device.

As its documentation has it: state by key in RocksDB with a changelog, committed with the offsets
every 5 s. Readings and rows are decoded by msgspec, which is faster than its own JSON.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from quixstreams import Application, State

from tests.benchmarks.throughput.job import Device, Reading, judge

STATE = "device"

encode = msgspec.json.Encoder().encode
decode_reading = msgspec.json.Decoder(Reading).decode
pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Device).decode


def detect(value: bytes, state: State) -> list[bytes]:
    packed = state.get_bytes(STATE)
    device = unpack(packed) if packed else Device()
    alerts: Any = judge(device, decode_reading(value))
    state.set_bytes(STATE, pack(device))
    return [encode(alert) for alert in alerts]


def run(bootstrap: str, topic: str, prefix: str, folder: str) -> None:
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{prefix}group",
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="WARNING",
    )
    raw = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
    readings = app.dataframe(app.topic(topic, **raw))
    alerts = app.topic(f"{prefix}alerts", key_serializer="bytes", value_serializer="bytes")
    readings.apply(detect, stateful=True, expand=True).to_topic(alerts)
    app.run()


if __name__ == "__main__":
    run(*(os.environ[f"BENCH_{name}"] for name in ("BOOTSTRAP", "TOPIC", "PREFIX", "FOLDER")))
