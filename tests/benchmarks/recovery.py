"""Devices in; seconds until a worker that starts again has all of them, out.

    python -m tests.benchmarks.recovery [--devices N]

On an Apache Kafka of its own. A worker that has nothing to restore is timed from its first moment
to `/-/ready`, as what every start takes. Another one judges two readings of each device and is
stopped; then it starts with its data folder as it left it, and with an empty one: what that takes
longer is the recovery. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

from pipeline.kafka import running
from tests.benchmarks.ours import ours, worker
from tests.benchmarks.process import peak_of
from tests.benchmarks.throughput.generator import Job, records
from tests.benchmarks.throughput.stage import PARTITIONS, PREFIX, Stage

READINGS_A_DEVICE = 2


class Start(NamedTuple):
    seconds: float  # to ready
    peak: int  # bytes


class Starts:
    """One after another, in one folder."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.count = 0

    def another(self, prefix: str, data: Path) -> Start:
        self.count += 1
        logs = self.folder / f"start-{self.count}"
        with worker(self.bootstrap, prefix, data, logs) as ready:
            return Start(ready.seconds, peak_of(ready.pid))


def measured(devices: int) -> dict[str, Start]:
    """What each start took."""
    with tempfile.TemporaryDirectory(prefix="recovery-") as name:
        folder = Path(name)
        with running(folder / "kafka", say=say) as kafka:
            starts, stage, data = (
                Starts(kafka.bootstrap, folder),
                Stage(kafka.bootstrap),
                folder / "d",
            )
            starts.another("nothing-", folder / "nothing")  # which makes the topics
            nothing = starts.another("nothing-", folder / "nothing")
            job = Job(devices=devices, readings=devices * READINGS_A_DEVICE, hot=0.0)
            stage.fill(records(job, PARTITIONS), say)
            first = starts.another(PREFIX, data)  # ready: the backlog is read
            say(f"all are known after {first.seconds:.0f} s")
            intact = starts.another(PREFIX, data)
            rmtree(data)
            empty = starts.another(PREFIX, data)
    return {"nothing": nothing, "intact": intact, "empty": empty}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovery")
    parser.add_argument("--devices", type=int, default=1_000_000)
    given = parser.parse_args()
    found = measured(given.devices)
    for what, start in found.items():
        print(f"{what:>8} {start.seconds:7.2f} s to ready, {start.peak >> 20:,} MB")
    seconds = {what: round(start.seconds, 2) for what, start in found.items()}
    print(json.dumps({"devices": given.devices, "core": ours().name, **seconds}))


if __name__ == "__main__":
    main()
