"""The bytes that one connection gets in; which events it has seen, and when, out."""

from __future__ import annotations

import socket
from array import array
from collections import Counter
from time import monotonic
from typing import NamedTuple

from tests.benchmarks.web.frames import CLOSE, PING, TEXT, pong, split, upgrade
from tests.benchmarks.web.marks import number_in

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
