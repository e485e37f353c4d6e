from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.kafka.lock import FolderInUse, locked
from tests.lab import python, started

HOLDER = """
import sys, time
from pathlib import Path
from pipeline.kafka.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_has_one_holder_and_the_refusal_names_the_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(FolderInUse, match=f"^{tmp_path} is in use"),
        locked(tmp_path / "lock"),
    ):
        pass
    with locked(tmp_path / "lock"):
        pass


def test_a_killed_holder_holds_no_more(tmp_path: Path) -> None:
    with started(*python(HOLDER, str(tmp_path / "lock"), "1000")) as holder:
        holder.lines.until("held")
        holder.signal(signal.SIGKILL)
        holder.code()
        with locked(tmp_path / "lock"):
            pass


def test_patience_waits_until_the_holder_is_done(tmp_path: Path) -> None:
    with started(*python(HOLDER, str(tmp_path / "lock"), "0.3")) as holder:
        holder.lines.until("held")
        with locked(tmp_path / "lock", patience=60.0):
            pass


def test_a_child_that_inherits_the_lock_holds_it_as_long_as_it_lives(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]
        )
    with child:
        with pytest.raises(FolderInUse), locked(tmp_path / "lock"):
            pass
        child.kill()
    with locked(tmp_path / "lock"):
        pass
