"""The worker with a shorter patience: a device is offline after 8 s, and nothing arrives when
nothing has for 5. The rest is as it ships.

`faust -A tests.proof.impatient_worker worker` runs it.
"""

from __future__ import annotations

from agents import reach
from agents.detection import detection
from pipeline.app import app
from pipeline.rules.engine import Engine
from pipeline.rules.rulebook import DEFAULT, Offline, Rulebook
from tests.proof.worker import LIMIT

__all__ = ["app"]

detection.judge.engine = Engine(Rulebook(DEFAULT.thresholds, DEFAULT.ranges, Offline(after=LIMIT)))
reach.LATELY = 5.0  # type: ignore[misc]
