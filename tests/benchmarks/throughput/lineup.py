"""Who takes part: how each is run, what it persists, and how fast it is expected to be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.kafka import jars
from tests.benchmarks.throughput.stage import PREFIX

ROOT = Path(__file__).parents[3]
HERE = "tests.benchmarks.throughput.contestants"
COMPILED = ROOT / "build/compiled"
STREAMS = ROOT / "build/kafka-streams"
QUIX = ROOT / ".venv-bench/bin/python"
WORKER = ("-m", "faust", "-A")


class Contestant(NamedTuple):
    name: str
    title: str
    persists: str
    command: Callable[[], Sequence[str]]
    missing: Callable[[], str] = lambda: ""  # why it can't take part here; empty: it can
    prefix: str = ""  # of its topics and its group; its own name where none is given
    group: str = "group"
    cwd: Path = ROOT
    slow: bool = False  # a short warm-up, since a long one would take minutes
    is_ours: bool = False

    @property
    def own(self) -> str:
        return self.prefix or f"{self.name}-"


def ours() -> Sequence[str]:
    return (sys.executable, *WORKER, "pipeline.app", "worker")


def naive_faust() -> Sequence[str]:
    return (sys.executable, *WORKER, f"{HERE}.naive_faust:app", "worker", "--loglevel=error")


def bare_loop() -> Sequence[str]:
    return (sys.executable, "-m", f"{HERE}.bare_loop")


def quix() -> Sequence[str]:
    return (str(QUIX), "-m", f"{HERE}.quix")


def kafka_streams() -> Sequence[str]:
    return (jars.java(), "-Xmx1g", "-cp", f"{STREAMS}/jars/*:{STREAMS}", "KafkaStreams")


def unless(made: Path, what: str) -> Callable[[], str]:
    """Why a contestant can't take part where `make` couldn't make that."""
    return lambda: "" if made.exists() else f"{what}; or `make {made.relative_to(ROOT)}` says why"


STORE_AND_LOG = "RocksDB and changelog"
CONTESTANTS = (
    Contestant(
        name="ours-compiled",
        title="ours, compiled",
        persists=STORE_AND_LOG,
        command=ours,
        missing=unless(COMPILED / "built", "no C compiler"),
        prefix=PREFIX,
        group="smart-iot",
        cwd=COMPILED,
        is_ours=True,
    ),
    Contestant(
        name="ours-plain",
        title="ours, plain Python",
        persists=STORE_AND_LOG,
        command=ours,
        prefix=PREFIX,
        group="smart-iot",
        is_ours=True,
    ),
    Contestant("bare-loop", "bare confluent-kafka loop", "nothing", bare_loop),
    Contestant(
        name="kafka-streams",
        title="Kafka Streams (Java)",
        persists=STORE_AND_LOG,
        command=kafka_streams,
        missing=unless(STREAMS / "KafkaStreams.class", "no JDK or no Maven"),
    ),
    Contestant(
        name="quix",
        title="Quix Streams",
        persists=STORE_AND_LOG,
        command=quix,
        missing=unless(ROOT / ".venv-bench/installed", "no packages of its own"),
    ),
    Contestant("naive-faust", "naive Faust", STORE_AND_LOG, naive_faust, slow=True),
)
