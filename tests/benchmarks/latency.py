"""Readings a second in; milliseconds from a reading's sending to the alert at a viewer out.

    python -m tests.benchmarks.latency [--rate N] [--seconds S] [--devices N]

On an Apache Kafka of its own: one process (this one) sends readings at an even pace, one in a
hundred of them too hot, and watches `/ws/alerts/` of one worker. The device's next reading is cool
again, so each hot one makes two events: a `fired` and a `resolved`. What is timed is from before
the reading is given to the producer to after the event is decoded; all events must come. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import aiohttp
from confluent_kafka import Producer

from pipeline.home import home_of
from pipeline.kafka import running
from pipeline.names import Names
from tests.benchmarks.ours import ours, worker
from tests.benchmarks.process import Failed
from tests.benchmarks.throughput.stage import PARTITIONS, PREFIX

WARM_UP = 5.0  # seconds
STEP = 0.005  # seconds from one handful of readings to the next
HOT_SHARE = 0.01
PATIENCE = 10.0  # seconds for the last events to come


class Fleet:
    """Devices that send in turns; each remembers when it sent what an event must come of."""

    def __init__(self, bootstrap: str, topic: str, devices: int) -> None:
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 2})
        self.topic = topic
        self.names = [f"device-{number}" for number in range(devices)]
        self.draw = random.Random(11)
        self.sent = 0
        self.is_done = False
        self.due: dict[tuple[str, str], float] = {}  # device and event: when it was sent
        self.hot: set[str] = set()

    def send(self, count: int) -> None:
        for _ in range(count):
            name = self.names[self.sent % len(self.names)]
            self.sent += 1
            cools = name in self.hot
            heats = not cools and self.draw.random() < HOT_SHARE
            if cools or heats:
                self.due[name, "resolved" if cools else "fired"] = time.monotonic()
                self.hot ^= {name}
            self._produce(name, 36.5 if heats else 21.5)
        self.producer.poll(0)

    def _produce(self, name: str, temperature: float) -> None:
        value = {
            "device_id": name, "temperature": temperature, "humidity": 50.0, "battery": 87,
            "timestamp": time.time(),
        }  # fmt: skip
        self.producer.produce(
            self.topic, json.dumps(value), key=name, partition=home_of(name, PARTITIONS)
        )


async def pace(fleet: Fleet, rate: float, seconds: float) -> None:
    began, first = time.monotonic(), fleet.sent
    while (passed := time.monotonic() - began) < seconds:
        fleet.send(int(passed * rate) + first - fleet.sent)
        await asyncio.sleep(STEP)


async def watch(socket: aiohttp.ClientWebSocketResponse, fleet: Fleet, took: list[float]) -> None:
    async for message in socket:
        event = json.loads(message.data)
        if event.get("event") in ("fired", "resolved"):
            sent = fleet.due.pop((event["device_id"], event["event"]))
            took.append(time.monotonic() - sent)
        if fleet.is_done and not fleet.due:
            return


async def run(bootstrap: str, port: int, topic: str, given: argparse.Namespace) -> list[float]:
    """Seconds, of each event after the warm-up."""
    fleet, took = Fleet(bootstrap, topic, given.devices), list[float]()
    address = f"http://127.0.0.1:{port}/ws/alerts/"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        watching = asyncio.create_task(watch(socket, fleet, took))
        await pace(fleet, given.rate, WARM_UP)
        warm = len(took)
        await pace(fleet, given.rate, given.seconds)
        fleet.is_done = True
        try:
            if fleet.due:
                await asyncio.wait_for(watching, PATIENCE)
        except TimeoutError:
            raise Failed(f"{len(fleet.due)} events didn't come") from None
        finally:
            watching.cancel()
    return took[warm:]


def measured(given: argparse.Namespace) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        folder = Path(name)
        with (
            running(folder / "kafka", say=say) as kafka,
            worker(kafka.bootstrap, PREFIX, folder / "data", folder / "worker") as ready,
        ):
            topic = Names(PREFIX).readings
            return asyncio.run(run(kafka.bootstrap, ready.port, topic, given))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.latency")
    parser.add_argument("--rate", type=float, default=2_000.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--devices", type=int, default=1_000)
    given = parser.parse_args()
    took = measured(given)
    cuts = quantiles(took, n=100)
    found = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "last": max(took)}
    in_ms = {name: round(seconds * 1000, 1) for name, seconds in found.items()}
    print(f"{len(took):,} events of {given.rate:,.0f} readings a second; milliseconds: {in_ms}")
    print(json.dumps({"rate": given.rate, "core": ours().name, "events": len(took), **in_ms}))


if __name__ == "__main__":
    main()
