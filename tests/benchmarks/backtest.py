"""What a backtest costs a reading, file and all, beside the bare decode of the same file's lines.

    python -m tests.benchmarks.backtest [DEVICES] [READINGS] [FILE]

Ordinary readings of three metrics with ISO 8601 times, from devices drawn at random, one in a
hundred of them hot; or those of a FILE (JSON lines, .gz too). The last line is JSON; what compares
is the ratio, the microseconds are this machine's (of processor time, in the best of the rounds).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import msgspec

from pipeline.backtest.files import json_lines
from pipeline.backtest.run import Backtest
from pipeline.cli.opened import opened
from pipeline.garbage import seldom
from pipeline.records import iso
from pipeline.rules import DEFAULT
from pipeline.words import event_json
from tests.benchmarks.core import readings

ROUNDS = 5


def written(path: Path, devices: int, count: int) -> Path:
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for _, reading, at in readings(devices, count):
            fields = {"device_id": reading.device_id, **reading.values, "timestamp": iso(at)}
            file.write(encode(fields) + b"\n")
    return path


def decode(path: Path) -> int:
    """A line after the other, by msgspec alone."""
    one = msgspec.json.Decoder().decode
    with opened(str(path)) as (file, _, _):
        return sum(1 for line in file if one(line))


def backtest(path: Path) -> int:
    run = Backtest(DEFAULT, partitions=8, naive_timezone=UTC)
    with opened(str(path)) as (file, _, tell):
        for batch in json_lines(file, tell):
            for event in run.take(batch):
                event_json(event)
    run.end()
    return sum(run.tally.verdicts.values())


def seconds(what: Callable[[Path], int], path: Path) -> tuple[float, int]:
    began = time.process_time()
    count = what(path)
    return time.process_time() - began, count


def measured(path: Path) -> dict[str, object]:
    seldom()  # as the command does
    took = [(seconds(decode, path), seconds(backtest, path)) for _ in range(ROUNDS)]
    count = took[0][1][1]
    bare, ours = (min(one[side][0] for one in took) / count * 1e6 for side in (0, 1))
    ratios = sorted(ours[0] / bare[0] for bare, ours in took)
    return {
        "readings": count,
        "microseconds": {"decode": round(bare, 3), "backtest": round(ours, 3)},
        "readings_per_second": round(1e6 / ours),
        "backtest_to_decode": round(ratios[ROUNDS // 2], 1),
    }


def main() -> None:
    devices, count = [int(text) for text in (*sys.argv[1:3], "1000", "200000")[:2]]
    with tempfile.TemporaryDirectory() as folder:
        given = sys.argv[3:]
        path = Path(given[0]) if given else written(Path(folder) / "r.jsonl", devices, count)
        print(json.dumps({"devices": None if given else devices, **measured(path)}))


if __name__ == "__main__":
    main()
