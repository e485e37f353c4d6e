"""The core compiled or plain: the same source, and the same events."""

from __future__ import annotations

import gc
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pipeline.rules
from pipeline.about import CORE
from pipeline.rows import NOTHING, Row
from pipeline.rules import Device, Engine
from pipeline.rules.engine import Reading
from tests.pipeline.rules import same_events

PLAIN = """
import tests.pipeline.rules.plain
from tests.pipeline.rules.same_events import main
main()
"""
EXPECTED = os.environ.get("EXPECTED_CORE", "plain")  # `make test-compiled` says compiled


def test_the_core_is_what_these_tests_were_started_for() -> None:
    assert CORE == EXPECTED


def test_all_of_the_core_is_compiled_or_none() -> None:
    names = [f"rules.{found.name}" for found in pkgutil.iter_modules(pipeline.rules.__path__)]
    names += ["records", "home", "backtest.recording", "backtest.replay", "backtest.run"]
    files = [str(import_module(f"pipeline.{name}").__file__) for name in names]
    assert len(files) > 20
    assert {Path(file).suffix for file in files} == {".py" if EXPECTED == "plain" else ".so"}


def test_plain_python_makes_the_same_events_windows_and_rows_in_another_process() -> None:
    ours = list(same_events.lines())
    plain = subprocess.run(
        [sys.executable, "-c", PLAIN],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    ).stdout.splitlines()
    assert plain[0] == "plain"
    assert plain[1:] == ours
    assert {"fired", "updated", "resolved", "reminder"} <= {line.split()[0] for line in ours}


def test_in_a_compiled_device_no_garbage_is_looked_for() -> None:
    row, engine = Row(Device("greenhouse-7"), list(NOTHING)), Engine(window=60.0)
    for at in (0.0, 70.0):
        reading = Reading(row.device.id, at, at, {"temperature": 20.0})
        engine.reading(row.device, reading, at, 0.0)
    assert row.device.windows is not None
    kept = [row, row.device, *row.device.metrics, *row.device.windows, reading]
    assert [gc.is_tracked(one) for one in kept] == [EXPECTED == "plain"] * 5
