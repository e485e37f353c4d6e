"""How often Python looks for cycles of garbage, in processes that keep a lot and make none.

Nothing that a reading leaves behind is a cycle: reference counts free it. What a collection goes
through, again and again, is what stays: by Python's own measure a full one comes whenever a quarter
has been added, and at a million devices it holds the event loop for seconds.
"""

from __future__ import annotations

import gc
from typing import Final

# More objects than before until the young ones are looked at: 15 ms. And how often that is done
# until those that stayed are looked at once more.
ALLOCATIONS: Final = 50_000
YOUNG_ONES: Final = 40


def seldom() -> None:
    """Look now and then; what is there already, modules and rules, stays."""
    gc.collect()
    keep()
    gc.set_threshold(ALLOCATIONS, YOUNG_ONES, 10)


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
