"""A contestant in, one turn of it out: readings, seconds, processor time and memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from pipeline.kafka.broker import free_port
from tests.benchmarks.lateness import Health, held_at_most, looks
from tests.benchmarks.process import Failed, cpu_of, peak_of, said, started
from tests.benchmarks.throughput.lineup import Contestant
from tests.benchmarks.throughput.stage import PARTITIONS, TOPIC, Stage

ASK_EVERY = 0.05  # seconds
FEWEST_COMMITS = 4  # after the first: they come in lumps, and one may be a small part of its own
START_WITHIN = 180.0  # seconds until the warm-up is over


class Seen(NamedTuple):
    """The moment at which a commit was seen, and the processor time (s) up to it."""

    at: float
    committed: int
    cpu: float


class Turn(NamedTuple):
    readings: int
    seconds: float
    cpu: float  # seconds
    peak: int  # bytes, of all workers together
    held: float | None = None  # seconds, at the most, that an event loop was held; of ours alone
    healthy: float | None = None  # and until one of ours said that it is alive

    @property
    def per_second(self) -> float:
        return self.readings / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds a reading."""
        return self.cpu / self.readings * 1e6


class Plan(NamedTuple):
    warm_up: int  # readings
    seconds: float
    workers: int = 1


def turn(contestant: Contestant, stage: Stage, folder: Path, plan: Plan) -> Turn:
    """In a clean place. Failed where it ends, or does too little."""
    stage.clean(contestant.own)
    with ExitStack() as stack:
        ports = [free_port() for _ in range(plan.workers)]
        workers = [
            stack.enter_context(_running(contestant, stage, folder / f"worker-{port}", port))
            for port in ports
        ]
        health = stack.enter_context(Health(ports if contestant.is_ours else ()))
        seen: list[Seen] = []
        for committed in _commits(contestant, stage, workers, folder, plan.seconds):
            if min(committed) * PARTITIONS < plan.warm_up:
                continue
            cpu = sum(cpu_of(worker.pid) for worker in workers)
            seen.append(Seen(time.monotonic(), sum(committed), cpu))
            if seen[-1].at - seen[0].at >= plan.seconds and len(seen) > FEWEST_COMMITS:
                break
        peak = sum(peak_of(worker.pid) for worker in workers)
        held = max(held_at_most(looks(port)) for port in ports) if contestant.is_ours else None
        if len(seen) < 2:
            raise Failed(f"{contestant.name} has done too little:\n{said(folder)}")
    begin, end = stretch(seen, sum(stage.ends))
    found = Turn(end.committed - begin.committed, end.at - begin.at, end.cpu - begin.cpu, peak)
    return found._replace(held=held, healthy=health.slowest) if contestant.is_ours else found


def stretch(seen: Sequence[Seen], total: int) -> tuple[Seen, Seen]:
    """Its two ends. The commit that reaches the topic's end may have waited for its time; it is
    left out where there is another."""
    last = -2 if seen[-1].committed == total and len(seen) > 2 else -1
    return seen[0], seen[last]


def _commits(
    contestant: Contestant,
    stage: Stage,
    workers: Sequence[subprocess.Popen[bytes]],
    folder: Path,
    seconds: float,
) -> Iterator[list[int]]:
    """What is committed, whenever that has changed; until all is, or time is up."""
    watching = stage.watch(contestant.own + contestant.group)
    before: list[int] = []
    deadline = time.monotonic() + START_WITHIN + seconds
    try:
        while time.monotonic() < deadline and before != stage.ends:
            time.sleep(ASK_EVERY)
            for worker in workers:
                if worker.poll() is not None:
                    raise Failed(
                        f"{contestant.name} ended with code {worker.returncode}:\n{said(folder)}"
                    )
            committed = stage.committed(watching)
            if committed != before:
                before = committed
                yield committed
    finally:
        watching.close()


def _running(
    contestant: Contestant, stage: Stage, folder: Path, port: int
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """One worker, with a folder of its own."""
    place = _place(contestant, stage, folder, port)
    return started(contestant.command(), folder, contestant.cwd, place)


def _place(contestant: Contestant, stage: Stage, folder: Path, port: int) -> dict[str, str]:
    return {
        "BENCH_BOOTSTRAP": stage.bootstrap,
        "BENCH_TOPIC": TOPIC,
        "BENCH_PREFIX": contestant.own,
        "BENCH_FOLDER": str(folder),
        "SMART_IOT_BOOTSTRAP": stage.bootstrap,
        "SMART_IOT_TOPIC_PREFIX": contestant.own,
        "SMART_IOT_DATA_DIR": str(folder),
        "SMART_IOT_WEB_PORT": str(port),
    }
