"""Devices in; the longest calls of a worker's event loop while it reads them all from a backlog,
out.

    python -m tests.benchmarks.turns [--devices N]

On an Apache Kafka of its own: two readings of each device in the mean, of which one in a hundred is
hot, from the worker's first moment to its last. Other threads than the event loop's are left out.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.kafka import running
from tests.benchmarks.ours import ours, worker
from tests.benchmarks.process import Failed
from tests.benchmarks.throughput.generator import Job, records
from tests.benchmarks.throughput.stage import PARTITIONS, PREFIX, Stage

READINGS_A_DEVICE = 2
EDGES = (10, 20, 30, 40, 50)  # ms
SHOWN = 10

Turn = dict[str, Any]


def measured(devices: int) -> list[Turn]:
    """The long turns of the thread that does the work."""
    with tempfile.TemporaryDirectory(prefix="turns-") as name:
        folder = Path(name)
        with running(folder / "kafka", say=say) as kafka:
            job = Job(devices=devices, readings=devices * READINGS_A_DEVICE)
            Stage(kafka.bootstrap).fill(records(job, PARTITIONS), say)
            os.environ["TURNS"] = str(folder / "turns")
            os.environ["PYTHONPATH"] = str(Path(__file__).parent)
            with worker(kafka.bootstrap, PREFIX, folder / "data", folder / "logs") as ready:
                say(f"all are known after {ready.seconds:.0f} s")
            found = [json.loads(line) for line in (folder / "turns").read_text().splitlines()]
    turns = [turn for turn in found if turn["thread"] == "MainThread"]
    if not turns:
        raise Failed("no turn took long: it isn't asyncio's own loop that was looked at")
    return turns


def longest(turns: list[Turn], by: str) -> float:
    return max((turn[by] for turn in turns), default=0.0)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.turns")
    parser.add_argument("--devices", type=int, default=1_000_000)
    given = parser.parse_args()
    turns = measured(given.devices)
    for turn in sorted(turns, key=lambda turn: -float(turn["clock_ms"]))[:SHOWN]:
        print(
            "{after:7.1f} s: {clock_ms:6.1f} ms, processor {processor_ms:5.1f}, {what}".format_map(
                turn
            )
        )
    over = {edge: sum(1 for turn in turns if turn["clock_ms"] > edge) for edge in EDGES}
    found = {
        "devices": given.devices,
        "core": ours().name,
        "longest_ms": longest(turns, "clock_ms"),
        "longest_processor_ms": longest(turns, "processor_ms"),
        "turns_longer_than_ms": over,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
