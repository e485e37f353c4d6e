"""What the core costs a reading, plain and compiled, beside doing nothing and decoding alone.

    python -m tests.benchmarks.core [--devices N] [--readings N] [--compiled FOLDER]

Ordinary readings of three metrics, from devices drawn at random, one in a hundred of them hot, by
the default rules; as in a worker, a thousand are made and then judged, and memory is in huge pages
where Linux gives them. The last line is JSON; what compares is the ratios, the microseconds are
this machine's: of processor time, the loop's own included, in the best of the rounds that come once
most devices' cadences are known.

Each way runs in processes of its own, in turns. FOLDER is where a compiled core is installed
(`make bench-core`); without one only plain Python is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.hugepages import HugePages
from pipeline.rules import Device, Engine, Reading, engine

ROOT = Path(__file__).parent.parent.parent
TURNS = 2
WARM_UP, ROUNDS = 6, 10  # of two readings a device
CHUNK = 1_000
START = 1_795_341_600.0
WINDOW = 300.0  # the worker's default

Given = list[tuple[int, Reading, float]]
pages = HugePages()


class Wire(msgspec.Struct):
    device_id: str
    temperature: float
    humidity: float
    battery: float
    timestamp: float


def readings(devices: int, count: int) -> Given:
    draw = random.Random(7)
    made = []
    for number in range(count):
        device = draw.randrange(devices)
        at = START + number * 10.0 / devices
        hot = 36.0 if draw.random() < 0.01 else round(draw.uniform(18, 28), 1)
        values = {"temperature": hot, "humidity": round(draw.uniform(40, 60), 1), "battery": 87.0}
        made.append((device, Reading(f"device-{device}", at - 0.2, at, values), at))
    return made


class Judging:
    """Rounds of the same readings; each goes on where the last one ended: time only passes."""

    def __init__(self, devices: int, given: Given, engine: Engine) -> None:
        self.known = [Device(f"device-{number}") for number in range(devices)]
        self.given = given
        self.engine = engine
        self.span = given[-1][2] - START + 10.0 / devices
        self.rounds = 0

    def __call__(self) -> float:
        judge, seconds = self.judge(), 0.0
        gc.collect()
        if pages.have_grown():
            pages.settle()
        for start in range(0, len(self.given), CHUNK):
            chunk = [self.moved(*one) for one in self.given[start : start + CHUNK]]
            began = time.process_time()
            for device, reading, at in chunk:
                judge(device, reading, at, START)
            seconds += time.process_time() - began
        self.engine.take_closed()
        self.rounds += 1
        return seconds

    def judge(self) -> Callable[[Device, Reading, float, float], object]:
        return self.engine.reading

    def moved(self, number: int, reading: Reading, at: float) -> tuple[Device, Reading, float]:
        at += self.span * self.rounds
        device = self.known[number]
        return device, Reading(device.id, at - 0.2, at, dict(reading.values)), at


class Idle(Judging):
    """What the loop itself costs."""

    def judge(self) -> Callable[[Device, Reading, float, float], object]:
        return nothing


def nothing(_device: Device, _reading: Reading, _at: float, _judged_from: float) -> None:
    pass


def decoding(given: Given) -> Callable[[], float]:
    """One record after another; joined batches take less."""
    encode = msgspec.json.Encoder().encode
    lines = [
        encode({"device_id": reading.device_id, **reading.values, "timestamp": reading.time})
        for _, reading, _ in given
    ]
    decode = msgspec.json.Decoder(Wire).decode

    def run() -> float:
        began = time.process_time()
        for line in lines:
            decode(line)
        return time.process_time() - began

    return run


def measured(devices: int, count: int) -> dict[str, float]:
    """Microseconds a reading, by the core that this process has imported."""
    given = readings(devices, count)
    runs: dict[str, Callable[[], float]] = {
        "no_op": Idle(devices, given, Engine()),
        "decode": decoding(given),
        "ours": Judging(devices, given, Engine(window=WINDOW)),
        "ours_without_windows": Judging(devices, given, Engine()),
    }
    took = {name: [run() for _ in range(ROUNDS)] for name, run in runs.items()}
    return {name: min(rounds[WARM_UP:]) / count * 1e6 for name, rounds in took.items()}


def another_process(way: str, folder: Path, devices: int, count: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, f"--one={way}", f"--devices={devices}", f"--readings={count}"],
        env={**os.environ, "PYTHONPATH": str(folder.resolve())},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(ways: dict[str, Path], devices: int, count: int) -> dict[str, float]:
    """The best of each over all turns; what has nothing to do with the core is measured by all."""
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for way, folder in ways.items():
            for name, took in another_process(way, folder, devices, count).items():
                name = name.replace("ours", way)
                best[name] = round(min(took, best.get(name, took)), 3)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.core")
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--compiled", type=Path, metavar="FOLDER")
    parser.add_argument("--one", choices=["plain", "compiled"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        assert engine.__file__ is not None
        assert engine.__file__.endswith(".py") == (given.one == "plain")
        print(json.dumps(measured(given.devices, given.readings)))
        return
    ways = {"plain": ROOT} | ({"compiled": given.compiled} if given.compiled else {})
    best = compared(ways, given.devices, given.readings)
    print(json.dumps({"devices": given.devices, "readings": given.readings, "microseconds": best}))


if __name__ == "__main__":
    main()
