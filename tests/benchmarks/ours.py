"""A place for a worker of ours in; that worker, once it is ready, out."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from pipeline.kafka.broker import free_port
from tests.benchmarks.process import Failed, said, started
from tests.benchmarks.throughput.lineup import CONTESTANTS, Contestant
from tests.benchmarks.throughput.stage import PARTITIONS

READY_WITHIN = 600.0  # seconds
STOP_WITHIN = 60.0  # seconds


class Ready(NamedTuple):
    pid: int
    port: int
    seconds: float  # from the process's first moment to `/-/ready`


def ours() -> Contestant:
    """Compiled where `make bench` has compiled it, else plain."""
    return next(one for one in CONTESTANTS if one.is_ours and not one.missing())


@contextmanager
def worker(bootstrap: str, prefix: str, data: Path, logs: Path) -> Iterator[Ready]:
    """Stopped well with the block."""
    port, contestant = free_port(), ours()
    place = {
        "SMART_IOT_BOOTSTRAP": bootstrap,
        "SMART_IOT_TOPIC_PREFIX": prefix,
        "SMART_IOT_PARTITIONS": str(PARTITIONS),
        "SMART_IOT_DATA_DIR": str(data),
        "SMART_IOT_WEB_PORT": str(port),
    }
    began = time.monotonic()
    with started(contestant.command(), logs, contestant.cwd, place) as process:
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() - began > READY_WITHIN:
                raise Failed(f"the worker isn't ready:\n{said(logs)}")
            time.sleep(0.02)
        yield Ready(process.pid, port, time.monotonic() - began)
        process.send_signal(signal.SIGTERM)
        if process.wait(STOP_WITHIN) != 0:
            raise Failed(f"the worker ended with {process.returncode}:\n{said(logs)}")


def _is_ready(port: int) -> bool:
    with (
        suppress(URLError, HTTPException, ConnectionError, TimeoutError),
        urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=10) as answer,
    ):
        return bool(answer.status == 200)
    return False
