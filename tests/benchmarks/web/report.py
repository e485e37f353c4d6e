"""Turns in; tables (Markdown) and JSON out."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

from pipeline.kafka import jars
from tests.benchmarks.web.lineup import THEIRS, Contestant, theirs
from tests.benchmarks.web.turn import Turn

HEAD = (
    "| viewers | | first | median | last | slowest | missed | CPU a delivery | CPU | "
    "its broker's | memory | a viewer | loop held | as they left |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)
STREAM_HEAD = (
    "| viewers | | p50 | p99 | slowest | missed | repeated | closed | CPU a delivery | CPU "
    "| loop held |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)
WORKER_HEAD = (
    "| viewers | first, median | first, slowest | last, median | missed | CPU | loop held "
    "| as they came | as they left |\n"
    "|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)
PACKAGES = ("aiohttp", "aiokafka", "uvloop")
THEIR_PACKAGES = ("django", "channels", "channels-redis", "daphne", "redis")


def result(contestant: Contestant, turns: Sequence[Turn]) -> dict[str, Any]:
    """What one contestant came to, with so many viewers, in all its turns."""
    since = {
        key: {name: _median(turn.seen[key][name] for turn in turns) for name in turns[0].seen[key]}
        for key in ("from_sent", "from_acked")
    }
    for key in since:
        for most in ("worst", "first_worst"):
            since[key][most] = _most(turn.seen[key][most] for turn in turns)
        since[key]["missed"] = sum(turn.seen[key]["missed"] for turn in turns)
    return {
        "name": contestant.name,
        "title": contestant.title,
        "viewers": turns[0].scene.viewers,
        "due": sum(turn.scene.viewers * turn.scene.events for turn in turns),
        **since,
        "repeated": sum(turn.seen["repeated"] for turn in turns),
        "ended": sum(sum(turn.seen["ended"].values()) for turn in turns),
        "cpu_us_a_delivery": round(median(turn.cpu_each for turn in turns), 1),
        "cpu_percent": round(median(turn.cpu / turn.seconds for turn in turns) * 100, 1),
        "broker_percent": round(median(turn.broker / turn.seconds for turn in turns) * 100, 1),
        "memory_mb": round(median(turn.after for turn in turns) / 1e6, 1),
        "kb_a_viewer": round(median(turn.memory_each for turn in turns) / 1e3, 1),
        "loop_held_at_most": _most(turn.held for turn in turns),
        "loop_held_at_most_as_they_came": _most(turn.held_coming for turn in turns),
        "loop_held_at_most_as_they_left": _most(turn.held_leaving for turn in turns),
        "turns": [turn._asdict() for turn in turns],
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def table(results: Sequence[Mapping[str, Any]], since: str) -> str:
    rows = []
    for one in results:
        times = [_shown(one[since][name]) for name in ("first", "median", "last", "worst")]
        # of a few viewers it is lost in what allocators take at once
        each = f"{one['kb_a_viewer']} kB" if one["viewers"] >= 100 else ""
        rows.append(
            f"| {one['viewers']:,} | {one['title']} | {' | '.join(times)} "
            f"| {_missed(one, since)} | {one['cpu_us_a_delivery']:,} µs | {one['cpu_percent']} % "
            f"| {one['broker_percent']} % | {one['memory_mb']} MB | {each} | {_held(one)} "
            f"| {_held(one, '_as_they_left')} |"
        )
    return "\n".join((HEAD, *rows))


def stream_table(results: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in results:
        times = [_shown(one["from_acked"][name]) for name in ("p50", "p99", "worst")]
        rows.append(
            f"| {one['viewers']:,} | {one['title']} | {' | '.join(times)} | "
            f"{_missed(one, 'from_acked')} | {one['repeated']:,} | {one['ended']:,} | "
            f"{one['cpu_us_a_delivery']:,} µs | {one['cpu_percent']} % | {_held(one)} |"
        )
    return "\n".join((STREAM_HEAD, *rows))


def worker_table(results: Sequence[Mapping[str, Any]]) -> str:
    """What its viewers cost a worker: when the first of them has an alert it has been decided."""
    rows = []
    for one in results:
        times = [_shown(one["from_sent"][name]) for name in ("first", "first_worst", "last")]
        rows.append(
            f"| {one['viewers']:,} | {' | '.join(times)} | {_missed(one, 'from_sent')} | "
            f"{one['cpu_percent']} % | {_held(one)} | {_held(one, '_as_they_came')} "
            f"| {_held(one, '_as_they_left')} |"
        )
    return "\n".join((WORKER_HEAD, *rows))


def _held(one: Mapping[str, Any], when: str = "") -> str:
    """The upper edge of a bucket."""
    held = one[f"loop_held_at_most{when}"]
    return "" if held is None else f"≤ {held * 1000:.0f} ms"


def _shown(ms: float | None) -> str:
    return "never" if ms is None else f"{ms:,.1f} ms" if ms < 100 else f"{ms:,.0f} ms"


def _missed(one: Mapping[str, Any], since: str) -> str:
    return f"{one[since]['missed']:,} of {one['due']:,}"


def ratio(results: Sequence[Mapping[str, Any]]) -> str:
    """How much sooner the last viewer of ours has an alert than theirs, where most watch."""
    most = max((one["viewers"] for one in results), default=0)
    last = {one["name"]: one["from_sent"]["last"] for one in results if one["viewers"] == most}
    if not last.get("ours") or not last.get("channels"):
        return ""
    times = last["channels"] / last["ours"]
    return f"{most:,} viewers: the last of ours has it {times:.1f} times sooner than of Channels"


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "kafka": jars.version(),
        **{name: version(name) for name in PACKAGES},
        **({} if theirs() else _their_versions()),
    }


def _their_versions() -> dict[str, str]:
    code = "import sys; from importlib.metadata import version as v; print(*map(v, sys.argv[1:]))"
    told = subprocess.run(
        [str(THEIRS), "-c", code, *THEIR_PACKAGES], capture_output=True, text=True, check=True
    )
    redis = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    )
    found = dict(zip(THEIR_PACKAGES, told.stdout.split(), strict=True))
    found["redis-py"] = found.pop("redis")
    return {**found, "redis-server": redis.stdout.partition("v=")[2].split()[0]}
