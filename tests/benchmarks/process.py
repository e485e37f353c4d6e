"""A command in; the process of a contestant out, seen from outside: processor time and memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.supervisor import tied_to_this_process
from tests.lab import children

STOP_WITHIN = 15.0  # seconds
LOG = "said.log"
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A contestant didn't do its job; the text has the end of what it said."""


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    cwd: Path,
    environment: Mapping[str, str],
    *,
    talking: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """One process, with a folder of its own; ended with the block, whatever it does. What it says
    is in a log; a talking one has pipes, and its log is standard error."""
    folder.mkdir(parents=True)
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE if talking else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talking else log,
            stderr=log,
            start_new_session=True,
            preexec_fn=tied_to_this_process(),
        )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # it has ended before
                    pipe.close()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.wait()


def said(folder: Path) -> str:
    return "\n".join(log.read_text(errors="replace")[-2_000:] for log in sorted(folder.rglob(LOG)))


def cpu_of(pid: int) -> float:
    """Seconds of a process, user and system, and of all that it has started."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own = sum(map(int, fields[11:15])) / TICKS  # its own, and of children that have ended
        return own + sum(map(cpu_of, children(pid)))
    return 0.0


def peak_of(pid: int) -> int:
    """The most memory that it, and each of what it has started, has had: bytes."""
    return _bytes(pid, "status", "VmHWM") + sum(map(peak_of, children(pid)))


def memory_of(pid: int) -> int:
    """Bytes now, of it and all that it has started; what they share is divided among them."""
    return _bytes(pid, "smaps_rollup", "Pss") + sum(map(memory_of, children(pid)))


def _bytes(pid: int, file: str, name: str) -> int:
    with suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.M)
        return int(found[1]) << 10 if found else 0
    return 0
