"""An address in; as many viewers there, all in this process, and what they saw out.

    python -m tests.benchmarks.web.viewers '{"port": 8000, "path": "/ws/alerts/", "viewers": 10000,
        "events": 10, "polling": 0, "patience": 10}'

It must not be what is measured: no library, no parsing of JSON, one loop over epoll that reads,
looks at the clock, and searches the bytes for an event's number. It says `ready` once every viewer
is there (has its first message, or its first answer), and waits for a line: the name of a file with
the times at which the events were sent. Then it goes on until every viewer has every event, or the
patience is over, and says one line of JSON.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import random
import select
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from tests.benchmarks.web.figures import figures
from tests.benchmarks.web.viewer import GONE, Given, Log, Polling, Viewer, Watching

AT_ONCE = 64  # viewers on their way in: servers listen with a backlog of 100 and more
AN_ADDRESS = 100  # viewers of one address: loopback has many
ENTER_WITHIN = 120.0  # seconds
LONGEST_RUN = 900.0  # seconds
READ = 1 << 18  # bytes


class Crowd:
    """All viewers, and the loop that reads for them."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.log = Log(given)
        self.told = b""  # on standard input
        # one for all: `recv` would take as much from the system for every message, and give it back
        self._buffer = bytearray(READ)
        self._view = memoryview(self._buffer)
        self._poll = select.epoll()
        self._poll.register(0, select.EPOLLIN)
        self._viewers: dict[int, Viewer] = {}
        self._due: list[tuple[float, int]] = []

    def enter(self) -> None:
        deadline = monotonic() + ENTER_WITHIN
        for number in range(self.given.viewers):
            self._add(number)
            self.run(lambda: self._entering() < AT_ONCE, deadline)
        self.run(lambda: self._entering() == 0, deadline)
        if self.log.inside < self.given.viewers:
            sys.exit(f"{self.log.inside} of {self.given.viewers} viewers are in: {self.log.ended}")

    def _entering(self) -> int:
        return len(self._viewers) + self.log.ended.total() - self.log.inside

    def _add(self, number: int) -> None:
        there = ("127.0.0.1", self.given.port)
        place = number // AN_ADDRESS
        here = (f"127.1.{place // 250}.{place % 250 + 1}", 0)
        sock = socket.create_connection(there, timeout=10.0, source_address=here)
        viewer = (Polling if self.given.polling else Watching)(self.log, sock)
        sock.setblocking(False)
        self._viewers[sock.fileno()] = viewer
        self._poll.register(sock.fileno(), select.EPOLLIN)
        if self.given.polling:
            first = monotonic() + random.random() * self.given.polling
            heapq.heappush(self._due, (first, sock.fileno()))

    def run(self, done: Callable[[], bool], deadline: float) -> None:
        """Until it is done, and no longer than that."""
        while not done() and (now := monotonic()) < deadline:
            pause = min(0.1, max(0.0, self._due[0][0] - now)) if self._due else 0.1
            for number, _ in self._poll.poll(pause, self.given.viewers + 1):
                if number == 0:
                    self._hear()
                else:
                    self._read(number)
            while self._due and self._due[0][0] <= monotonic():
                self._ask(*heapq.heappop(self._due))

    def _hear(self) -> None:
        heard = os.read(0, READ)
        if not heard:
            sys.exit("nobody listens")
        self.told += heard

    def _read(self, number: int) -> None:
        viewer = self._viewers[number]
        try:
            size = viewer.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        ended = viewer.take(bytes(self._view[:size]), monotonic()) if size else GONE
        if ended is not None:
            self.log.ended[ended] += 1
            del self._viewers[number]
            viewer.socket.close()

    def _ask(self, due: float, number: int) -> None:
        viewer = self._viewers.get(number)
        if isinstance(viewer, Polling):
            viewer.ask(monotonic())
            heapq.heappush(self._due, (due + self.given.polling, number))


def result(log: Log, times: dict[str, tuple[float, float]], took: float) -> dict[str, Any]:
    given = log.given
    viewers, patience = given.viewers, given.patience
    sent, acked = ({int(number): both[n] for number, both in times.items()} for n in (0, 1))
    return {
        "viewers": viewers,
        "events": given.events,
        "arrived": sum(len(log.arrivals[number]) for number in sent),
        "cpu": round(took, 3),  # seconds that we took ourselves
        "requests": log.requests,
        "slowest_answer": round(log.slowest * 1000, 2),
        "repeated": log.repeated,
        "ended": dict(log.ended),
        "from_sent": figures(log.arrivals, sent, viewers, patience),
        "from_acked": figures(log.arrivals, acked, viewers, patience),
    }


def main() -> None:
    gc.disable()  # all that is kept is bounded; a collection would be seen as a latency
    crowd = Crowd(Given(**json.loads(sys.argv[1])))
    crowd.enter()
    before = process_time()
    print("ready", flush=True)
    crowd.run(lambda: crowd.told.endswith(b"\n"), monotonic() + LONGEST_RUN)
    crowd.run(lambda: crowd.log.left == 0, monotonic() + crowd.given.patience)
    took = process_time() - before
    times = json.loads(Path(crowd.told.decode().strip()).read_text())
    print(json.dumps(result(crowd.log, times, took)), flush=True)
    os.read(0, READ)  # they stay until nobody listens, and leave in the same moment


if __name__ == "__main__":
    main()
