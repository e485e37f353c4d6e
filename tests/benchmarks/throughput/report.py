"""Turns in; medians with their spread, as a table (Markdown) and as JSON, out."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.kafka import jars
from tests.benchmarks.throughput.lineup import Contestant
from tests.benchmarks.throughput.measure import Turn

COLUMNS = (
    "| | readings/s | lowest to highest | CPU µs a reading | peak MB | persists |\n"
    "|---|--:|--:|--:|--:|---|"
)
PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "msgspec", "rocksdict", "mypy")


def result(contestant: Contestant, turns: Sequence[Turn], workers: int = 1) -> dict[str, Any]:
    """What one contestant came to in all its turns."""
    rates = [turn.per_second for turn in turns]
    return {
        "name": contestant.name,
        "title": contestant.title,
        "persists": contestant.persists,
        "workers": workers,
        "readings_per_second": round(median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "cpu_us_per_reading": round(median(turn.cpu_each for turn in turns), 2),
        "peak_rss_mb": round(max(turn.peak for turn in turns) / 1e6),
        "turns": [
            {
                **({} if turn.held is None else {"loop_held_at_most": turn.held}),
                **({} if turn.healthy is None else {"healthy_within": round(turn.healthy, 3)}),
                "readings": turn.readings,
                "seconds": round(turn.seconds, 3),
                "cpu_seconds": round(turn.cpu, 3),
            }
            for turn in turns
        ],
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"| {one['title']} | {one['readings_per_second']:,} | {one['lowest']:,} to "
        f"{one['highest']:,} | {one['cpu_us_per_reading']:.2f} | {one['peak_rss_mb']:,} "
        f"| {one['persists']} |"
        for one in results
    ]
    return "\n".join((COLUMNS, *rows))


def quick_line(results: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The three numbers of `make bench-quick`; ours is the compiled one where there is one."""
    rates = {one["name"]: one["readings_per_second"] for one in results}
    return {
        "ours": rates["ours-compiled" if "ours-compiled" in rates else "ours-plain"],
        "naive_faust": rates["naive-faust"],
        "bare_loop": rates["bare-loop"],
    }


def machine() -> dict[str, Any]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9),
        "linux": platform.release(),
        "load": round(os.getloadavg()[0], 1),
    }


def versions() -> dict[str, str]:
    told = subprocess.run([jars.java(), "-version"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "java": told.stderr.splitlines()[0].split('"')[1],
        "kafka": jars.version(),
        **{name: version(name) for name in PACKAGES},
    }
