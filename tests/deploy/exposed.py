"""The text of a `/metrics` in; its families, and what docs/metrics.md says of them, out. An
expression in; the metrics that it asks for out."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
DOCUMENT: Final = ROOT / "docs/metrics.md"
SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$", re.MULTILINE)
LABEL: Final = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')
SUFFIXES: Final = ("_bucket", "_count", "_sum")

OF_PROMETHEUS: Final = {"ALERTS", "up"}
# Labels of what is scraped, and of buckets
OF_TARGETS: Final = frozenset({"job", "instance", "component", "namespace", "le"})
# What stands in an expression beside metrics: texts, selectors, lists of labels, numbers with units
BESIDE: Final = (
    r'"[^"]*"',
    r"\{[^}]*\}",
    r"\[[^\]]*\]",
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)",
    r"\b\w+\s*(?=\()",
    r"\b\d[\w.]*",
)
WORDS: Final = {"and", "or", "unless", "bool", "offset"}

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs Prometheus (apt-get install prometheus)"
)


class Family(NamedTuple):
    """As it is shown, or as it is documented."""

    name: str
    kind: str
    labels: frozenset[str]
    meaning: str


def families(text: str) -> Iterator[Family]:
    """Of all that have a sample."""
    meanings = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    found = SAMPLE.findall(text)
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names = {name + suffix for suffix in SUFFIXES} if kind == "histogram" else {name}
        shown = [labels for sample, labels in found if sample in names]
        if shown:
            labels = {label for one in shown for label in LABEL.findall(one)}
            yield Family(name, kind, frozenset(labels - {"le"}), meanings[name])


def documented() -> dict[str, set[Family]]:
    """What docs/metrics.md says, by its headings."""
    found: dict[str, set[Family]] = {}
    for section in DOCUMENT.read_text().split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \| .+ \|$", body, re.MULTILINE)
        found[heading] = {
            Family(name, kind, frozenset(re.findall(r"`(\w+)`", labels)), meaning)
            for name, kind, labels, meaning in rows
        }
    return found


def metrics_of(expression: str) -> set[str]:
    for pattern in BESIDE:
        expression = re.sub(pattern, " ", expression)
    return set(re.findall(r"[A-Za-z_:][\w:]*", expression)) - WORDS


def unknown_labels(expression: str, legend: str = "") -> set[str]:
    """Those that are asked for, or shown, and that none of its metrics has. Of what is recorded
    nothing is known here."""
    labels: dict[str, frozenset[str]] = {}
    for family in (one for found in documented().values() for one in found):
        names = [family.name + suffix for suffix in SUFFIXES]
        labels |= dict.fromkeys(
            names if family.kind == "histogram" else [family.name], family.labels
        )
    asked = metrics_of(expression)
    if not asked <= labels.keys():
        return set()
    known = OF_TARGETS.union(*(labels[name] for name in asked))
    grouped = " ".join(re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression))
    chosen = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    shown = re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)
    return {*re.findall(r"\w+", grouped), *chosen, *shown} - known


def samples() -> set[str]:
    """Every name that a query can find."""
    found = set(OF_PROMETHEUS)
    for families in documented().values():
        for family in families:
            names = [family.name + suffix for suffix in SUFFIXES]
            found.update(names if family.kind == "histogram" else [family.name])
    return found


def promtool(*arguments: str, told: str = "") -> str:
    """What it says; it must find nothing wrong."""
    command = ["promtool", *arguments]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
