"""Events in; who is told them, though viewers come and go meanwhile, out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from pipeline.web.alerts import Alert, Wanted
from pipeline.web.hub import SLICE, Hub
from pipeline.web.viewer import Viewer
from tests.pipeline.web.alert_log import event


class Listening(Viewer):
    """A viewer without a line, which keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.told: list[bytes] = []

    def put(self, frames: Sequence[bytes], joined: bytes) -> None:
        self.told += frames


async def test_who_comes_while_an_event_goes_out_isnt_told_it_again() -> None:
    hub, alert = Hub(1_000, 1_000, 1_000), Alert.of(json.dumps(event()).encode())
    early = [Listening() for _ in range(SLICE + 1)]
    late = [Listening(), Listening()]
    everything, hot = Wanted(), Wanted(rule="temperature-high")
    for viewer in early[:-1]:
        hub.joined(viewer, everything).__enter__()
    hub.joined(early[-1], hot).__enter__()
    publishing = asyncio.create_task(hub.publish([(alert, b"fired")]))
    for viewer in late:  # they have the event with their welcome: the cursor has moved
        hub.joined(viewer, hot).__enter__()
        await asyncio.sleep(0)  # a slice goes out
    await publishing
    assert all(viewer.told == [b"fired"] for viewer in early)
    assert [viewer.told for viewer in late] == [[], []]
