"""The port of a worker or a view of ours in; for how long its event loop was held, and how soon it
said that it is alive, out."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, Self
from urllib.request import urlopen

BUCKET = re.compile(r'^smart_iot_loop_late_seconds_bucket\{le="(.+)"\} (.+)$', re.MULTILINE)

ASK_EVERY: Final = 0.1  # seconds
ANSWER_WITHIN: Final = 10.0  # seconds; who doesn't is counted with so many

Looks = Mapping[float, float]
"""Lateness to how many looks have found that or less; the last one is of all."""


def looks(port: int) -> Looks:
    return {float(edge): float(number) for edge, number in BUCKET.findall(_metrics(port))}


def watching(port: int) -> bool:
    """Whether it has viewers."""
    return "\nsmart_iot_web_viewers 0.0\n" not in _metrics(port)


def _metrics(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: str = answer.read().decode()
    return text


def held_at_most(after: Looks, before: Looks | None = None) -> float:
    """Seconds; the upper edge of the last bucket that got any since."""
    since = {edge: number - (before or {}).get(edge, 0.0) for edge, number in after.items()}
    total = max(since.values())
    return next(edge for edge, number in since.items() if number == total)


class Health:
    """`slowest`: seconds until `/-/healthy` was answered, of all times it was asked while the block
    lasted, since the first answer of each."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.slowest = 0.0
        self._ports = ports
        self._alive: set[int] = set()
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask_for_ever, daemon=True)

    def __enter__(self) -> Self:
        self._asking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._asking.join()

    def _ask_for_ever(self) -> None:
        while not self._over.wait(ASK_EVERY):
            for port in self._ports:
                took = _answered(port)
                if took is not None:
                    self._alive.add(port)
                if port in self._alive:
                    self.slowest = max(self.slowest, ANSWER_WITHIN if took is None else took)


def _answered(port: int) -> float | None:
    began = time.monotonic()
    try:
        with urlopen(f"http://127.0.0.1:{port}/-/healthy", timeout=ANSWER_WITHIN) as answer:
            answer.read()
    except OSError:
        return None
    return time.monotonic() - began
