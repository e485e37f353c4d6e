"""What surrounds the judge: the clock that leaps."""

from __future__ import annotations

import pytest

from agents.detection import ASLEEP, detection
from tests.agents.shell import T0, partition


@pytest.mark.parametrize("leap", [ASLEEP + 1, -ASLEEP - 1])
def test_when_the_clock_leaps_silence_counts_from_then(monkeypatch, leap):
    owned = partition()
    owned.clock.see(T0, wall=T0 + 1e7)
    owned.clock.live = owned.clock.watching = True
    before = detection.wall()
    monkeypatch.setattr(detection.ownership, "owned", {0: owned})
    monkeypatch.setattr(detection.reach, "answered_at", before - leap)
    assert owned.clock.judged_from < before
    assert detection.wall() == owned.clock.judged_from
