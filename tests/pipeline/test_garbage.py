"""A process that keeps more and more in, how much Python looks at for garbage at once out."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from pipeline import garbage

garbage.LONG = {long}
garbage.seldom()
garbage.briefly()
looked_at = [0]

def note(phase, info):
    if phase == "start":
        young = sum(len(gc.get_objects(number)) for number in range(info["generation"] + 1))
        looked_at.append(young)

gc.callbacks.append(note)
kept = [[] for _ in range(1_000_000)]
print(max(looked_at))
"""


def most_looked_at(long: float) -> int:
    """Objects at once, while a million came to stay."""
    program = PROGRAM.format(long=long)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(done.stdout)


def test_what_took_long_to_look_at_is_not_looked_at_again():
    assert most_looked_at(long=0.0) < 120_000


def test_what_took_no_time_is_looked_at_again_and_may_turn_out_to_be_garbage():
    assert most_looked_at(long=60.0) > 200_000
