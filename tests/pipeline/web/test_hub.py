"""Viewers that come, leave and are sent away in; what that takes out."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from pipeline.web import hub as module
from pipeline.web.hub import BREATH, ENDED, Hub
from pipeline.web.viewer import Viewer


class Leaving(Viewer):
    """One that says when it goes."""

    gone = 0

    def leave(self) -> None:
        Leaving.gone += 1


async def test_all_are_sent_away_in_a_moment_and_none_of_them_goes_in_it() -> None:
    hub = Hub(1_000, 1_000, 1_000)
    viewers = [Leaving(1_000) for _ in range(3 * ENDED)]
    for viewer in viewers:
        hub.enter(viewer, None)
    for _ in range(2):  # the second time it is known already
        hub.end_all(1012)
    assert {viewer.code for viewer in viewers} == {1012}
    assert Leaving.gone == 0
    while Leaving.gone < len(viewers):
        before = Leaving.gone
        await asyncio.sleep(BREATH / 2)
        assert (Leaving.gone - before) % ENDED == 0
    await asyncio.sleep(2 * BREATH)
    assert Leaving.gone == len(viewers)
    for viewer in viewers:
        hub.leave(viewer, None)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What there may be thousands of."""
    for name, number in {"CROWD": 5, "LINGERING": 3}.items():
        monkeypatch.setattr(module, name, number)
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few")
async def test_garbage_isnt_looked_for_among_a_crowd() -> None:
    hub, kept = Hub(1_000, 1_000, 1_000), []
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(hub.place(None))
            kept.append(gc.get_freeze_count())
        looked_at = gc.get_objects()
        inside = [viewer for viewer in hub._viewers if any(viewer is one for one in looked_at)]
        assert inside == []
    # anew after each five; what is kept may also become less, where something of it is freed
    assert [number for number, (a, b) in enumerate(pairwise(kept), 2) if b > a] == [
        *range(5, 31, 5)
    ]


class Knotted(Viewer):
    """One that only garbage collection frees."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.knot: Any = self


@pytest.mark.usefixtures("few")
async def test_viewers_that_left_and_linger_are_looked_for_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gc.collect()
    hub = Hub(1_000, 1_000, 1_000)

    def come_and_go() -> None:
        viewer = Knotted()
        hub.enter(viewer, None)
        gc.freeze()
        hub.leave(viewer, None)

    others = Viewer.alive
    for _ in range(2):
        for _ in range(3):
            come_and_go()
        hub.look_for_lingering()
        assert Viewer.alive == others + 3  # they may just be on their way
        hub.look_for_lingering()
        assert Viewer.alive == others
    said = "3 viewers that left weren't freed: looking for them"
    assert [record.getMessage() for record in caplog.records] == [said] * 2
