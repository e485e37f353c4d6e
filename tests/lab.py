"""Real parts for tests: processes looked at from outside, records in and out of a broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PATIENCE = 60.0  # seconds: where a test hangs, not how fast something has to be


def until(true: Callable[[], Any], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


async def heard(receive: Callable[[], Awaitable[str | bytes]]) -> dict[str, Any]:
    """A viewer's next message, pings apart: a busy machine may take as long as they do."""
    async with asyncio.timeout(PATIENCE):
        while (told := json.loads(await receive())).get("event") == "ping":
            pass
    content: dict[str, Any] = told
    return content


def _stat(pid: int) -> list[str]:
    """State, parent's pid, … of a process; empty where there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def runs(pid: int) -> bool:
    state = _stat(pid)
    return bool(state) and state[0] not in "ZX"


def children(pid: int) -> list[int]:
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [one for one in everyone if _stat(one)[1:2] == [str(pid)] and runs(one)]


def child(pid: int, mark: str) -> int | None:
    """The one with `mark` in its command line, if it runs now."""
    for one in children(pid):
        with suppress(OSError):  # it ends just now
            if mark in Path(f"/proc/{one}/cmdline").read_text():
                return one
    return None


class Lines:
    """What a program says, a line at a time."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._passed_over: list[str] = []
        self.seen: list[str] = []

    def until(self, part: str) -> str:
        """The next line that has `part` in it; two programs may say theirs in any order."""
        for line in self._passed_over:
            if part in line:
                self._passed_over.remove(line)
                return line
        for line in map(str.rstrip, self._stream):
            self.seen.append(line)
            if part in line:
                return line
            self._passed_over.append(line)
        raise AssertionError(f"ended without saying {part!r}:\n" + "\n".join(self.seen))

    def rest(self) -> list[str]:
        return [line.rstrip("\n") for line in self._stream]


class Program:
    """A program that was started, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.pid = process.pid
        self.lines = Lines(process.stdout)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def code(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def started(*command: str, **environment: str) -> Iterator[Program]:
    """A program in a session of its own; whatever is left of it is gone after the block."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        start_new_session=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


async def create(bootstrap: str, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, *values: bytes, **more: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **more)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, number: int, **more: Any) -> list[bytes]:
    """The first `number` values of a topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", **more
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(number)]
    finally:
        await consumer.stop()
