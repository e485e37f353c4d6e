"""The command: contestants in turns in; a table on standard output, and JSON in a file, out."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.kafka import running
from tests.benchmarks.throughput.generator import Job, records
from tests.benchmarks.throughput.lineup import CONTESTANTS, Contestant
from tests.benchmarks.throughput.measure import Plan, Turn, turn
from tests.benchmarks.throughput.report import machine, quick_line, result, table, versions
from tests.benchmarks.throughput.stage import PARTITIONS, Stage

QUICK = ("ours-compiled", "ours-plain", "naive-faust", "bare-loop")
QUICK_WITHIN = 200.0  # seconds: with building and filling, less than five minutes
WARM_UP = {True: 2, False: 4}  # readings a device
SLOW_WARM_UP = 2_000  # readings
FEWEST = {True: 3_000_000, False: 6_000_000}  # readings, of a quick run or not


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # so that all `with` blocks are left
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    given = arguments()
    taking = part(given)
    if not taking:
        sys.exit("nobody can take part")
    job = Job(given.devices, given.readings or enough(given.devices, quick=given.quick), given.hot)
    results = play(taking, job, given)
    found = {
        "job": {**job._asdict(), "partitions": PARTITIONS},
        "rounds": len(results[0]["turns"]),
        "seconds": given.seconds,
        "machine": machine(),
        "versions": versions(),
        "results": results,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n")
    print(about(found), table(results), f"as JSON in {given.json}", sep="\n\n", flush=True)
    if given.quick:
        print(json.dumps(quick_line(results)))


def about(found: dict[str, Any]) -> str:
    told = {**found["machine"], **found["versions"]}
    job = found["job"]
    return (
        f"{job['devices']:,} devices, {found['rounds']} rounds of {found['seconds']:g} s; "
        + ", ".join(f"{name} {value}" for name, value in told.items())
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput")
    names = ", ".join(one.name for one in CONTESTANTS)
    parser.add_argument("--quick", action="store_true", help="three of them, in 5 minutes")
    parser.add_argument("--only", metavar="NAME,…", help=f"these alone, of {names}")
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1, help="processes of each: 1 to 4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of a turn, after its warm-up")
    parser.add_argument("--within", type=float, help="seconds for all rounds: else there are fewer")
    parser.add_argument("--readings", type=int, help="in the topic")
    parser.add_argument("--hot", type=float, default=0.01, help="share of readings that are hot")
    parser.add_argument("--json", type=Path, default=Path("build/throughput.json"), metavar="FILE")
    given = parser.parse_args()
    given.seconds = given.seconds or (8.0 if given.quick else 15.0)
    given.within = given.within or (QUICK_WITHIN if given.quick else float("inf"))
    unknown = set(wanted(given)) - {one.name for one in CONTESTANTS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: none of {names}")
    return given


def wanted(given: argparse.Namespace) -> Sequence[str]:
    if given.only:
        return str(given.only).split(",")
    return QUICK if given.quick else [one.name for one in CONTESTANTS]


def part(given: argparse.Namespace) -> list[Contestant]:
    """Those who are wanted and can; of ours, a quick run takes the compiled one if it can."""
    taking = []
    for one in CONTESTANTS:
        if one.name not in wanted(given):
            continue
        if why := one.missing():
            print(f"{one.title} is absent: {why}", flush=True)
        else:
            taking.append(one)
    if given.quick and any(one.name == "ours-compiled" for one in taking):
        print("ours is the compiled one", flush=True)
        taking = [one for one in taking if one.name != "ours-plain"]
    return taking


def enough(devices: int, *, quick: bool) -> int:
    """For the fastest, after its warm-up."""
    return max(FEWEST[quick], 10 * devices)


def rounds(most: int, within: float) -> Iterator[int]:
    """One at least; another only where it will be over in time, if it takes as long as the last."""
    began = time.monotonic()
    for number in range(most):
        started = time.monotonic()
        yield number
        ended = time.monotonic()
        if number + 1 < most and 2 * ended - started - began > within:
            say(f"no time for more than {number + 1} rounds")
            return


def play(taking: Sequence[Contestant], job: Job, given: argparse.Namespace) -> list[dict[str, Any]]:
    turns: dict[str, list[Turn]] = {one.name: [] for one in taking}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with running(folder / "kafka", say=say) as kafka:
            stage = Stage(kafka.bootstrap)
            stage.fill(records(job, PARTITIONS), say)
            for number in rounds(given.rounds, given.within):
                for one in taking:
                    warm_up = SLOW_WARM_UP if one.slow else WARM_UP[given.quick] * job.devices
                    plan = Plan(min(warm_up, job.readings // 2), given.seconds, given.workers)
                    took = turn(one, stage, folder / f"{one.name}-{number}", plan)
                    turns[one.name].append(took)
                    say(
                        f"round {number + 1}: {one.title} {took.per_second:,.0f} a second, "
                        f"{took.cpu_each:.2f} µs"
                    )
    return [result(one, turns[one.name], given.workers) for one in taking]


if __name__ == "__main__":
    main()
