"""Real workers as child processes: started on free ports, killed or stopped by process id."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import aiohttp

from pipeline.kafka.broker import free_port

START_WITHIN = 60.0
IMPATIENT = "tests.proof.impatient_worker"  # to be run, not imported: it changes what it imports
LIMIT = 8.0  # seconds after which that one takes a device for offline


class Worker:
    """`faust -A pipeline.app worker` with its own port and data folder; a context manager."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        *,
        name: str = "worker",
        module: str = "pipeline.app",
        **environment: str,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.module = module
        self.log = folder / f"{name}.log"
        self.environment = {
            **os.environ,
            "SMART_IOT_BOOTSTRAP": bootstrap,
            "SMART_IOT_TOPIC_PREFIX": prefix,
            "SMART_IOT_DATA_DIR": str(folder / name),
            "SMART_IOT_WEB_PORT": str(self.port),
            "SMART_IOT_PARTITIONS": "4",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        command = [sys.executable, "-m", "faust", "-A", self.module, "worker"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    async def ready(self) -> Self:
        """Wait until the worker has its state and has read the backlog."""
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline:
            assert self.runs(), f"the worker ended:\n{self.tail()}"
            if await self.is_ready():
                return self
            await asyncio.sleep(0.1)
        raise AssertionError(f"the worker isn't ready after {START_WITHIN:.0f} s:\n{self.tail()}")

    async def is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/-/ready") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def metric(self, sample: str) -> float:
        """A sample of /metrics, as `smart_iot_readings_total{result="replayed"}`; 0 if unseen."""
        address = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(address) as answer:
            lines = (await answer.text()).splitlines()
        values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample + " ")]
        return sum(values)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def code(self) -> int | None:
        """None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def state(self) -> str:
        """As the kernel has it: `R` or `S`, `T` where it is frozen, `Z` once it has ended."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def leave(self, within: float = 30.0) -> float:
        """SIGTERM, while all else goes on; it must end well. The seconds that it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        await self.ended(within)
        assert self.code() == 0, self.tail()
        return time.monotonic() - began

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._end(signal.SIGTERM)
        assert self.process is not None
        return int(self.process.returncode)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)

    async def ended(self, within: float) -> None:
        """Wait for the worker to end by itself."""
        deadline = time.monotonic() + within
        assert self.process is not None
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the worker goes on:\n{self.tail()}"
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-6_000:] if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
