"""What the core costs a reading, beside doing nothing and beside decoding alone, in one run.

    python -m tests.benchmarks.core [DEVICES] [READINGS]

Ordinary readings of three metrics, from devices drawn at random, one in a hundred of them hot. The
last line is JSON; what compares is the ratios, the microseconds are this machine's
(of processor time, in the best of the rounds after the first).
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable

import msgspec

from pipeline.rules import Device, Engine, Reading

ROUNDS = 5
START = 1_795_341_600.0


class Wire(msgspec.Struct):
    device_id: str
    temperature: float
    humidity: float
    battery: float
    timestamp: float


def readings(devices: int, count: int) -> list[tuple[int, Reading, float]]:
    draw = random.Random(7)
    made = []
    for number in range(count):
        device = draw.randrange(devices)
        at = START + number * 10.0 / devices
        hot = 36.0 if draw.random() < 0.01 else round(draw.uniform(18, 28), 1)
        values = {"temperature": hot, "humidity": round(draw.uniform(40, 60), 1), "battery": 87.0}
        made.append((device, Reading(f"device-{device}", at - 0.2, at, values), at))
    return made


def judging(
    devices: int, given: list[tuple[int, Reading, float]], window: float
) -> Callable[[], None]:
    engine = Engine(window=window)
    known = [Device(f"device-{number}") for number in range(devices)]
    span = given[-1][2] - START + 10.0 / devices

    def run() -> None:
        # Each round goes on where the last one ended: time only passes.
        moved = span * run.rounds  # type: ignore[attr-defined]
        run.rounds += 1  # type: ignore[attr-defined]
        shifted = [
            (
                known[device],
                Reading(r.device_id, at - 0.2 + moved, at + moved, r.values),
                at + moved,
            )
            for device, r, at in given
        ]
        gc.collect()
        began = time.process_time()
        for device, reading, at in shifted:
            engine.reading(device, reading, at, START)
        run.seconds = time.process_time() - began  # type: ignore[attr-defined]
        engine.take_closed()

    run.rounds = 0  # type: ignore[attr-defined]
    return run


def nothing(_device: Device, _reading: Reading, _at: float, _judged_from: float) -> None:
    """What the loop itself costs."""


def idle(devices: int, given: list[tuple[int, Reading, float]]) -> Callable[[], None]:
    known = [Device(f"device-{number}") for number in range(devices)]

    def run() -> None:
        shifted = [(known[device], reading, at) for device, reading, at in given]
        began = time.process_time()
        for device, reading, at in shifted:
            nothing(device, reading, at, START)
        run.seconds = time.process_time() - began  # type: ignore[attr-defined]

    return run


def decoding(given: list[tuple[int, Reading, float]]) -> Callable[[], None]:
    """One record after another; joined batches take less."""
    encode = msgspec.json.Encoder().encode
    lines = [
        encode({"device_id": reading.device_id, **reading.values, "timestamp": reading.time})
        for _, reading, _ in given
    ]
    decode = msgspec.json.Decoder(Wire).decode

    def run() -> None:
        began = time.process_time()
        for line in lines:
            decode(line)
        run.seconds = time.process_time() - began  # type: ignore[attr-defined]

    return run


def main() -> None:
    devices, count = [int(text) for text in (*sys.argv[1:], "100000", "200000")[:2]]
    given = readings(devices, count)
    runs = {
        "no_op": idle(devices, given),
        "decode": decoding(given),
        "ours": judging(devices, given, 0.0),
        "ours_with_windows": judging(devices, given, 300.0),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            run()
            took[name].append(run.seconds / count * 1e6)  # type: ignore[attr-defined]
    micro = {name: round(min(rounds[1:]), 3) for name, rounds in took.items()}
    result = {
        "devices": devices,
        "readings": count,
        "microseconds": micro,
        "ours_to_no_op": round(micro["ours"] / micro["no_op"], 1),
        "ours_to_decode": round(micro["ours"] / micro["decode"], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
