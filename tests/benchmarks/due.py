"""What the due times of a million devices cost one worker, in shares of a core.

    python -m tests.benchmarks.due [DEVICES] [SECONDS]

Devices that send every 60 s, judged by the default rules, none of them silent. For each reading its
device is planned, and once a second the timer looks for what is due. The last line is JSON: seconds
of processor time a second of the partition's, for each of the two.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from array import array

from agents.checks import nominate, plan
from pipeline.rows import Row
from pipeline.rules import Engine, Reading
from tables.partition import Partition

EVERY = 60.0
VALUES = {"temperature": 20.0}
START = 1_795_341_600.0
SETTLING = 360  # seconds after which the looks at a device are three minutes apart
CHUNK = 200  # devices that are judged and then planned: a worker's are in the cache by then too


def fleet(engine: Engine, count: int) -> tuple[Partition, list[list[Row]]]:
    """Caught up and live; and the devices that report in each second of a minute."""
    partition = Partition(0)
    turns: list[list[Row]] = [[] for _ in range(int(EVERY))]
    partition.clock.see(START, wall=START)
    partition.clock.caught_up(START)
    draw = random.Random(5)
    for number in range(count):
        row = partition.row(f"device-{number}")
        turn = draw.randrange(int(EVERY))
        row.device.last_seen = START - EVERY + turn
        row.device.readings = 9
        row.device.gaps = array("d", [EVERY + draw.uniform(-1, 1) for _ in range(8)])
        engine.adopt(row.device, START)
        turns[turn].append(row)
        plan(engine, partition, row)
    return partition, turns


def second(engine: Engine, partition: Partition, rows: list[Row], at: float) -> tuple[float, float]:
    planned = 0.0
    partition.clock.see(at, wall=at)
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        for row in some:
            engine.reading(row.device, Reading(row.device.id, None, at, VALUES), at, START)
        began = time.process_time()
        for row in some:
            plan(engine, partition, row)
        planned += time.process_time() - began
    partition.reached = at
    began = time.process_time()
    assert not nominate(engine, partition)
    return planned, time.process_time() - began


def main() -> None:
    devices, seconds = [int(text) for text in (*sys.argv[1:], "1000000", "180")[:2]]
    engine = Engine()
    print("a minute or two", file=sys.stderr)
    partition, turns = fleet(engine, devices)
    gc.freeze()  # a worker's rows are there to stay
    took = [
        second(engine, partition, turns[number % len(turns)], START + number)
        for number in range(SETTLING + seconds)
    ][SETTLING:]
    share = {
        "plan": round(sum(one for one, _ in took) / seconds, 4),
        "look": round(sum(one for _, one in took) / seconds, 4),
    }
    print(json.dumps({"devices": devices, "readings_a_second": devices / EVERY, **share}))


if __name__ == "__main__":
    main()
