"""Who takes part: the server that each is, what sends to it, and where its viewers look."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
HERE = "tests.benchmarks.web.contestants"
THEIRS = ROOT / ".venv-bench-web/bin/python"
EVERY = 5.0  # seconds between two polls, as in the user's document


class Contestant(NamedTuple):
    name: str
    title: str
    broker: str  # what it needs: "kafka", "redis" or nothing
    server: Callable[[int], Sequence[str]]  # of the port
    sender: Sequence[str]
    path: str
    ready: str  # a path that is answered with 200 (404 too, where it isn't ours) once it is ready
    polling: float = 0.0
    environment: Mapping[str, str] = {}
    tells_lateness: bool = False  # whether its /metrics say for how long its event loop was held
    missing: Callable[[], str] = lambda: ""  # why it can't take part here; empty: it can


def ours(_: int) -> Sequence[str]:
    return (str(Path(sys.executable).with_name("smart-iot")), "web")


def worker(_: int) -> Sequence[str]:
    return (sys.executable, "-m", "faust", "-A", "pipeline.app", "worker")


def floor(_: int) -> Sequence[str]:
    return (sys.executable, "-m", f"{HERE}.floor")


def daphne(port: int) -> Sequence[str]:
    where = ("-b", "127.0.0.1", "-p", str(port), "--no-server-name", "-v", "0")
    return (str(THEIRS), "-m", "daphne", *where, f"{HERE}.django_design:application")


def theirs() -> str:
    if shutil.which("redis-server") is None:
        return "no redis-server (apt-get install redis-server)"
    made = THEIRS.parents[1] / "installed"
    return "" if made.exists() else f"no packages of its own; `make {made.relative_to(ROOT)}`"


def sender(name: str, python: str = sys.executable) -> Sequence[str]:
    return (python, "-m", f"{HERE}.{name}")


OURS = Contestant(
    name="ours",
    title="ours",
    broker="kafka",
    server=ours,
    sender=sender("kafka_sender"),
    path="/ws/alerts/",
    ready="/-/ready",
    tells_lateness=True,
)
WORKER = OURS._replace(
    name="worker", title="a worker's own view", server=worker, sender=sender("reading_sender")
)
FLOOR = Contestant(
    name="floor",
    title="nothing but writes (the floor)",
    broker="",
    server=floor,
    sender=sender("floor_sender"),
    path="/ws/alerts/",
    ready="/",
)
CHANNELS = Contestant(
    name="channels",
    title="Django Channels, the user's design",
    broker="redis",
    server=daphne,
    sender=sender("channels_sender", str(THEIRS)),
    path="/ws/alerts/",
    ready="/",
    missing=theirs,
)
CONTESTANTS = (
    OURS,
    CHANNELS,
    CHANNELS._replace(
        name="channels-pubsub",
        title="Django Channels, pub/sub layer",
        environment={"BENCH_LAYER": "pubsub"},
    ),
    OURS._replace(
        name="polling-ours",
        title="polling ours every 5 s",
        path="/api/alerts/active/",
        polling=EVERY,
    ),
    CHANNELS._replace(
        name="polling-django",
        title="polling Django every 5 s",
        sender=sender("redis_sender", str(THEIRS)),
        path="/api/readings/latest_all/",
        polling=EVERY,
    ),
)
