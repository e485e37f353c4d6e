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
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, process_time
from typing import Any, NamedTuple

from tests.benchmarks.web.figures import figures
from tests.benchmarks.web.frames import CLOSE, PING, TEXT, pong, split, upgrade
from tests.benchmarks.web.marks import number_in

AT_ONCE = 64  # viewers on their way in: servers listen with a backlog of 100 and more
AN_ADDRESS = 100  # viewers of one address: loopback has many
ENTER_WITHIN = 120.0  # seconds
LONGEST_RUN = 900.0  # seconds
READ = 1 << 18  # bytes
GONE = "without a word"


class Given(NamedTuple):
    port: int
    path: str
    viewers: int
    events: int  # numbered from 1; 0 is the warm-up
    polling: float = 0.0  # seconds between two requests; 0: a stream
    patience: float = 10.0  # seconds


class Log:
    """What all viewers together have seen."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.arrivals = {number: array("d") for number in range(given.events + 1)}
        self.left = given.viewers * (given.events + 1)
        self.repeated = 0
        self.requests = 0
        self.slowest = 0.0  # seconds until a request was answered
        self.inside = 0
        self.ended: Counter[str] = Counter()

    def note(self, seen: bytearray, number: int, now: float) -> None:
        if seen[number]:
            self.repeated += 1
            return
        seen[number] = 1
        self.arrivals[number].append(now)
        self.left -= 1


class Viewer:
    """One connection. `take` gets the bytes that came, `inside` is when it counts as there."""

    __slots__ = ("inside", "log", "rest", "seen", "socket")

    def __init__(self, log: Log, sock: socket.socket) -> None:
        self.log = log
        self.socket = sock
        self.seen = bytearray(log.given.events + 1)
        self.rest = b""
        self.inside = False

    def enter(self) -> None:
        if not self.inside:
            self.inside = True
            self.log.inside += 1

    def take(self, data: bytes, now: float) -> str | None:
        """How it ended, if it did."""
        raise NotImplementedError


class Watching(Viewer):
    """A WebSocket: first the answer to its upgrade, then frames."""

    __slots__ = ("upgraded",)

    def __init__(self, log: Log, sock: socket.socket) -> None:
        super().__init__(log, sock)
        self.upgraded = False
        sock.sendall(upgrade(f"127.0.0.1:{log.given.port}", log.given.path))

    def take(self, data: bytes, now: float) -> str | None:
        data = self.rest + data if self.rest else data
        if not self.upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return None
            if b" 101 " not in head[:20]:
                return f"refused: {head[:40].decode(errors='replace')}"
            self.upgraded = True
        found, self.rest = split(data)
        for opcode, payload in found:
            if opcode == TEXT:
                number, _ = number_in(payload)
                if number >= 0:
                    self.log.note(self.seen, number, now)
                self.enter()
            elif opcode == PING:
                self.socket.sendall(pong(payload))
            elif opcode == CLOSE:
                return str(int.from_bytes(payload[:2])) if payload else GONE
        return None


class Polling(Viewer):
    """A connection that is kept, and a request on it every so often."""

    __slots__ = ("asked", "request")

    def __init__(self, log: Log, sock: socket.socket) -> None:
        super().__init__(log, sock)
        self.request = f"GET {log.given.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.asked = 0.0  # since when it waits for an answer
        self.ask(monotonic())

    def ask(self, now: float) -> None:
        """Not again while it waits."""
        if not self.asked:
            self.asked = now
            self.log.requests += 1
            self.socket.sendall(self.request)

    def take(self, data: bytes, now: float) -> str | None:
        data = self.rest + data
        head, end, body = data.partition(b"\r\n\r\n")
        if end and b" 200 " not in head[:20]:
            return f"refused: {head[:40].decode(errors='replace')}"
        if not end or len(body) < _length(head):
            self.rest = data
            return None
        self.rest = b""
        self.log.slowest = max(self.log.slowest, now - self.asked)
        self.asked = 0.0
        self.enter()
        number, at = number_in(body)
        while number >= 0:
            if not self.seen[number]:  # it stays there for a while: no repeat
                self.log.note(self.seen, number, now)
            number, at = number_in(body, at)
        return None


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


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


if __name__ == "__main__":
    main()
