"""The JSON of a benchmark in, a figure of it (SVG: bars and words) out.

python -m tests.benchmarks.throughput.figure build/throughput.json docs/throughput.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

WIDTH, ROW, TOP, BOTTOM = 860, 34, 64, 34
NAMES, LONGEST = 210, 360  # where the bars begin, and how long the longest is
STYLE = """\
text { font: 14px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
rect { fill: #afb8c1 }
.ours { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #8d96a0 }
  rect { fill: #6e7681 }
  .ours { fill: #3fb950 }
}"""


def drawn(found: Mapping[str, Any]) -> str:
    """The fastest first; a bar is as long as its readings a second are many."""
    rates = sorted(found["results"], key=lambda one: -one["readings_per_second"])
    height = TOP + ROW * len(rates) + BOTTOM
    bars = [_bar(one, TOP + ROW * place, rates[0]) for place, one in enumerate(rates)]
    title = f"Readings a second, {found['job']['devices']:,} devices"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            f'<text class="title" x="16" y="28">{title}</text>',
            '<text class="small" x="16" y="48">one worker; medians; beside each its processor '
            "time a reading, and what it persists</text>",
            *bars,
            f'<text class="small" x="16" y="{height - 14}">{escape(_where(found))}</text>',
            "</svg>\n",
        )
    )


def _bar(one: Mapping[str, Any], y: int, fastest: Mapping[str, Any]) -> str:
    rate = one["readings_per_second"]
    length = max(1, round(LONGEST * rate / fastest["readings_per_second"]))
    ours = ' class="ours"' if one["name"].startswith("ours") else ""
    beside = f"{one['cpu_us_per_reading']:.1f} µs · {one['persists']}"
    return (
        f'<text x="16" y="{y + 18}">{escape(one["title"])}</text>'
        f'<rect{ours} x="{NAMES}" y="{y + 2}" width="{length}" height="22" rx="3"/>'
        f'<text x="{NAMES + length + 8}" y="{y + 18}">{rate:,} '
        f'<tspan class="small">{escape(beside)}</tspan></text>'
    )


def _where(found: Mapping[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    return (
        f"{machine['cores']} cores of {machine['processor']}, with Apache Kafka "
        f"{versions['kafka']} on them too; Python {versions['python']}"
    )


if __name__ == "__main__":
    given, made = map(Path, sys.argv[1:])
    made.write_text(drawn(json.loads(given.read_text())), encoding="utf-8")
