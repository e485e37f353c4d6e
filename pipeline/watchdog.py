"""An app in; the process ended, by a thread, when the app can no longer end or work by itself.

Faust can be left as a zombie: crashed but running, deaf to SIGTERM while the broker is away, or
consuming without ever committing. An asyncio task can't see its own loop hang, so this is a thread.
"""

from __future__ import annotations

import threading
import time

from pipeline.streams import App, end_process

LOOK_EVERY = 1.0  # seconds
STOP_WITHIN = 20.0  # seconds from SIGTERM to the end
BEAT_WITHIN = 90.0  # seconds without a flush that ended; one may take 60


class Watchdog(threading.Thread):
    """The flush calls `beat`; before the first beat, the state is being recovered."""

    def __init__(self, app: App) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.app = app
        self._beat: float | None = None
        self._stopping: float | None = None

    def beat(self) -> None:
        self._beat = time.monotonic()

    def run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        if self.app.crashed:
            end_process("the app has crashed")
        if self.app.should_stop:
            self._stopping = self._stopping or now
            if now - self._stopping > STOP_WITHIN:
                end_process(f"not stopped after {STOP_WITHIN:.0f} s")
        elif self._beat is not None and now - self._beat > BEAT_WITHIN:
            end_process(f"no flush has ended for {BEAT_WITHIN:.0f} s")
