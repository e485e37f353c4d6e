"""Devices in; how large their state is, and seconds until a worker that starts again has all of
it, and until it has moved by a file, out.

    python -m tests.benchmarks.recovery [--devices N]

On an Apache Kafka of its own. A worker that has nothing to restore is timed from its first moment
to `/-/ready`, as what every start takes. Another one judges two readings of each device and is
stopped; then it starts with its data folder as it left it, and with an empty one: what that takes
longer is the recovery. Then the state is exported, and imported under another prefix into twice as
many partitions. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from pipeline.kafka import running
from pipeline.names import Names
from tests.benchmarks.ours import READY_WITHIN, ours, worker
from tests.benchmarks.process import Failed, peak_of, said, started
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


def measured(devices: int) -> tuple[dict[str, Start], dict[str, Any]]:
    """What each start took, and what there is of the state."""
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
            state = {"folder_bytes": _size(data.rglob("*"))}
            rmtree(data)
            empty = starts.another(PREFIX, data)
            changelog = f"{Names(PREFIX).changelog}-*/*.log"
            state["changelog_bytes"] = _size((folder / "kafka").rglob(changelog))
            state |= _moved(kafka.bootstrap, folder)
    return {"nothing": nothing, "intact": intact, "empty": empty}, state


def _moved(bootstrap: str, folder: Path) -> dict[str, Any]:
    """The state in a file, and then in twice as many partitions."""
    file = folder / "state.jsonl.gz"
    left = _took(bootstrap, PREFIX, folder / "leaving", "export", str(file))
    into = ("--partitions", str(2 * PARTITIONS))
    arrived = _took(bootstrap, f"other-{PREFIX}", folder / "arriving", "import", str(file), *into)
    return {
        "export_seconds": round(left, 1),
        "export_bytes": file.stat().st_size,
        "import_seconds": round(arrived, 1),
    }


def _took(bootstrap: str, prefix: str, logs: Path, *arguments: str) -> float:
    """Seconds of one of smart-iot's commands."""
    place = {"SMART_IOT_BOOTSTRAP": bootstrap, "SMART_IOT_TOPIC_PREFIX": prefix}
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments]
    began = time.monotonic()
    with started(command, logs, ours().cwd, place) as process:
        if process.wait(READY_WITHIN) != 0:
            raise Failed(f"{arguments[0]} ended with {process.returncode}:\n{said(logs)}")
    return time.monotonic() - began


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovery")
    parser.add_argument("--devices", type=int, default=1_000_000)
    given = parser.parse_args()
    found, state = measured(given.devices)
    state |= {
        f"{what}_bytes_a_device": round(state.pop(f"{what}_bytes") / given.devices)
        for what in ("folder", "changelog", "export")
    }
    for what, start in found.items():
        print(f"{what:>8} {start.seconds:7.2f} s to ready, {start.peak >> 20:,} MB")
    seconds = {what: round(start.seconds, 2) for what, start in found.items()}
    print(json.dumps({"devices": given.devices, "core": ours().name, **seconds, **state}))


if __name__ == "__main__":
    main()
