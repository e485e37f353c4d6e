"""How often Python looks for cycles of garbage, in processes that keep a lot and make none.

Nothing that a reading leaves behind is a cycle: reference counts free it. What a collection goes
through, again and again, is what stays: by Python's own measure a full one comes whenever a quarter
has been added, and at a million devices it holds the event loop for seconds. An object that is in
no cache takes it 0.2 µs, and a device is seven of them, or ten with a window that is closed; where
the core is compiled, and knows which kinds can be part of no cycle (`acyclic`), it is two and four.

What is set aside while it is a cycle already, or becomes one, is freed by nobody. So there must be
none that come with the readings: of two million of a backlog 257 objects were left, 40 kB, all from
the start and from the web view's connections.
"""

from __future__ import annotations

import gc
import time
from typing import Final

# More objects than before until the young ones are looked at: 15 ms. And how often that is done
# until those that stayed are looked at once more.
ALLOCATIONS: Final = 50_000
YOUNG_ONES: Final = 40
# The same, and how often all are looked at, where no look may take long
FEW: Final = (50_000, 4, 4)
LONG: Final = 0.005  # seconds


def seldom() -> None:
    """Look now and then; what is there already, modules and rules, stays. There is hardly any
    garbage yet, and to look for it now would hold the event loop."""
    keep()
    gc.set_threshold(ALLOCATIONS, YOUNG_ONES, 10)


def briefly() -> None:
    """Look at little at a time: what took long to look at stays, like the devices of a backlog and
    all that they come to have. Some of it may be a cycle in the end, and is freed by nobody then:
    1.2 kB for a viewer who came before such a look and left after it."""
    gc.set_threshold(*FEW)
    gc.callbacks.append(Looks().note)


class Looks:
    def __init__(self) -> None:
        self._began = 0.0

    def note(self, phase: str, _: dict[str, int]) -> None:
        """Called by Python before and after each."""
        if phase == "start":
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > LONG:
            keep()


def keep() -> None:
    """What is there now stays: don't look at it any more. It takes no time, however much it is."""
    gc.freeze()


def sift() -> None:
    """Look at the young ones; what stays of them isn't looked at any more."""
    gc.collect(0)
    keep()


def look_at_all() -> None:
    """Whatever stays: it takes a second for every few million objects."""
    gc.unfreeze()
    gc.collect()
    keep()
