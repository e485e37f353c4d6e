"""The command: contestants in turns in; tables on standard output, and JSON in a file, out."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.kafka import running
from pipeline.kafka.broker import RunningKafka
from tests.benchmarks.throughput.report import machine
from tests.benchmarks.web.lineup import CONTESTANTS, FLOOR, OURS, WORKER, Contestant
from tests.benchmarks.web.report import (
    ratio,
    result,
    stream_table,
    table,
    versions,
    worker_table,
)
from tests.benchmarks.web.turn import Scene, Turn, turn

FILES = 1_000  # beside a connection for every viewer
# Each twice: of a whole run, and of a quick one
SIZES = {False: (1, 10, 100, 1_000), True: (10, 1_000)}
EVENTS = {False: 10, True: 3}
MANY_EVENTS = {False: 10, True: 5}
SECONDS = {False: 60.0, True: 5.0}  # of the stream
QUICK = ("ours", "channels", "polling-django")
MANY = 10_000  # viewers
GAP, MANY_GAP = 2.0, 1.0  # seconds
STREAM_VIEWERS, STREAM_RATE = 1_000, 100
WORKER_EVENTS = {False: 100, True: 50}
WORKER_GAP = 0.1  # seconds
WORKER_SIZES = (1, 100, 1_000)  # and as many as there are of the one alert
PARTS = ("many", "worker", "stream", "compared")

Played = tuple[Contestant, Scene, Turn]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # so that all `with` blocks are left
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    given = arguments()
    given.many = min(given.many, allowed_files(given.many + FILES) - FILES)
    taking = part(given)
    found: dict[str, Any] = {"machine": machine(), "versions": versions()}
    with (
        tempfile.TemporaryDirectory(prefix="bench-web-") as name,
        running(Path(name) / "kafka", say=say) as kafka,
    ):
        for which in given.parts.split(","):
            scenes = list(SCENES[which](given, taking))
            found[which] = play(scenes, given.rounds, kafka, Path(name) / which)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n")
    print(*told(found), f"as JSON in {given.json}", sep="\n\n", flush=True)


def told(found: dict[str, Any]) -> Iterator[str]:
    about = {**found["machine"], **found["versions"]}
    yield ", ".join(f"{name} {value}" for name, value in about.items())
    if many := found.get("many"):
        yield "One alert after another, from its acknowledgement on:"
        yield table(many, "from_acked")
    if worker := found.get("worker"):
        yield f"An alert every {WORKER_GAP:g} s of a worker, from the sending of the reading on:"
        yield worker_table(worker)
    if stream := found.get("stream"):
        yield f"{STREAM_RATE} events a second, from the acknowledgement of each on:"
        yield stream_table(stream)
    if compared := found.get("compared"):
        yield f"One alert every {GAP:g} s, from the moment at which it is sent on:"
        yield table(compared, "from_sent")
        yield ratio(compared)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.web")
    names = ", ".join(one.name for one in CONTESTANTS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter, in 4 minutes")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--only", metavar="NAME,…", help=f"compared are these, of {names}")
    parser.add_argument("--viewers", metavar="N,…", help="how many are compared")
    parser.add_argument("--many", type=int, default=MANY, help="viewers of the one alert")
    parser.add_argument("--seconds", type=float, help="of the stream")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, default=Path("build/web.json"), metavar="FILE")
    given = parser.parse_args()
    given.seconds = given.seconds or SECONDS[given.quick]
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.sizes = [int(size) for size in given.viewers.split(",")] if given.viewers else None
    given.sizes = given.sizes or SIZES[given.quick]
    for wrong in set(given.parts.split(",")) - set(PARTS):
        parser.error(f"{wrong}: none of {', '.join(PARTS)}")
    for wrong in set((given.only or "ours").split(",")) - {one.name for one in CONTESTANTS}:
        parser.error(f"{wrong}: none of {names}")
    return given


def part(given: argparse.Namespace) -> list[Contestant]:
    """Those who are wanted and can."""
    every = QUICK if given.quick else [one.name for one in CONTESTANTS]
    wanted = given.only.split(",") if given.only else every
    taking = []
    for one in CONTESTANTS:
        if one.name not in wanted:
            continue
        if why := one.missing():
            print(f"{one.title} is absent: {why}", flush=True)
        else:
            taking.append(one)
    return taking


def allowed_files(wanted: int) -> int:
    """Raises the limit for us and what we start; how many it is now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # only root may raise the hard one
        most = max(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def many(given: argparse.Namespace, _: Sequence[Contestant]) -> Iterator[tuple[Contestant, Scene]]:
    for one in (FLOOR, OURS):
        yield one, Scene(given.many, MANY_EVENTS[given.quick], MANY_GAP)


def worker(
    given: argparse.Namespace, _: Sequence[Contestant]
) -> Iterator[tuple[Contestant, Scene]]:
    for size in sorted({*WORKER_SIZES, given.many}):
        yield WORKER, Scene(size, WORKER_EVENTS[given.quick], WORKER_GAP)


def stream(
    given: argparse.Namespace, _: Sequence[Contestant]
) -> Iterator[tuple[Contestant, Scene]]:
    for one in (FLOOR, OURS):
        yield one, Scene(STREAM_VIEWERS, round(given.seconds * STREAM_RATE), 1 / STREAM_RATE)


def compared(
    given: argparse.Namespace, taking: Sequence[Contestant]
) -> Iterator[tuple[Contestant, Scene]]:
    for size in given.sizes:
        for one in taking:
            yield one, Scene(size, EVENTS[given.quick], GAP)


SCENES = {"many": many, "worker": worker, "stream": stream, "compared": compared}


def play(
    scenes: Sequence[tuple[Contestant, Scene]], rounds: int, kafka: RunningKafka, folder: Path
) -> list[dict[str, Any]]:
    """Each scene once a round."""
    turns: dict[int, list[Turn]] = {number: [] for number in range(len(scenes))}
    for round_ in range(rounds):
        for number, (one, scene) in enumerate(scenes):
            took = turn(one, kafka, folder / f"{one.name}-{number}-{round_}", scene)
            turns[number].append(took)
            seen = took.seen["from_acked"]
            say(
                f"round {round_ + 1}: {one.title}, {scene.viewers:,} viewers: median "
                f"{seen['median']} ms, last {seen['last']} ms, {seen['missed']} missed, "
                f"loop held {took.held} s, as they came {took.held_coming} s, "
                f"as they left {took.held_leaving} s"
            )
    return [result(one, turns[number]) for number, (one, _) in enumerate(scenes)]


if __name__ == "__main__":
    main()
