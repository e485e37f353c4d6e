"""How often Python looks for cycles of garbage, in processes that keep a lot and make none.

Nothing that a reading leaves behind is a cycle: reference counts free it. What a collection goes
through, again and again, is what stays: by Python's own measure a full one comes whenever a quarter
has been added, and at a million devices it holds the event loop for seconds.
"""

from __future__ import annotations

import gc
from typing import Final

ALLOCATIONS: Final = 50_000  # more objects than before, until the young ones are looked at


def seldom() -> None:
    """What is there, modules and rules, stays, and needn't be looked at; the rest is, now and
    then."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 10, 10)
