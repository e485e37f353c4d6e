"""Readings in, alerts out: confluent-kafka, msgspec and a dict. Nothing of the state is persisted.

The practical limit of one Python process: batches from librdkafka, one decode a batch, a commit a
second after the alerts are delivered. A restart forgets all devices.
"""

from __future__ import annotations

import os
import signal
import time

import msgspec
from confluent_kafka import Consumer, Producer

from tests.benchmarks.throughput.job import Device, Reading, judge

BATCH = 10_000
COMMIT_EVERY = 1.0


def run(bootstrap: str, topic: str, prefix: str) -> None:
    address = {"bootstrap.servers": bootstrap}
    read = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**address, **read, "group.id": f"{prefix}group"})
    producer = Producer({**address, "enable.idempotence": True})
    consumer.subscribe([topic])
    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(list[Reading]).decode
    devices: dict[str, Device] = {}
    commit_at, uncommitted = 0.0, False
    while True:
        messages = [one for one in consumer.consume(BATCH, 0.1) if not one.error()]
        for reading in decode(b"[%b]" % b",".join([one.value() or b"" for one in messages])):
            device = devices.get(reading.device_id)
            if device is None:
                device = devices[reading.device_id] = Device()
            for alert in judge(device, reading):
                producer.produce(f"{prefix}alerts", encode(alert), reading.device_id)
        producer.poll(0)
        uncommitted = uncommitted or bool(messages)
        if uncommitted and time.monotonic() >= commit_at:
            producer.flush()
            consumer.commit(asynchronous=False)
            commit_at, uncommitted = time.monotonic() + COMMIT_EVERY, False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    run(os.environ["BENCH_BOOTSTRAP"], os.environ["BENCH_TOPIC"], os.environ["BENCH_PREFIX"])
