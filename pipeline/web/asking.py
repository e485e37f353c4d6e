"""A question to a database in; its answer out, or Unanswered: soon, however the database is.

A view can do without: what it has read of the topics is answered instead. So nobody waits for long,
no more than a few ask at once, and once a question failed nobody asks for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pipeline.metrics import QUESTIONS
from pipeline.sinks.sink import SinkRejected, SinkUnavailable, TakesTooLong

log = logging.getLogger(__name__)

WITHIN: Final = 3.0  # seconds for an answer
AT_ONCE: Final = 32  # questions that are asked or wait for their turn
PAUSE: Final = 5.0  # seconds in which nobody asks, after one that failed

T = TypeVar("T")


class Unanswered(Exception):
    """The database can't be asked now, or doesn't answer."""


class Asking:
    """`name` is the database's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked = 0
        self._not_before = 0.0
        self._fails = False
        for outcome in ("answered", "failed", "not_asked"):  # they begin at 0
            QUESTIONS.labels(name, outcome)

    async def answer(self, question: Callable[[], Awaitable[T]]) -> T:
        if self._asked >= AT_ONCE or time.monotonic() < self._not_before:
            QUESTIONS.labels(self._name, "not_asked").inc()
            raise Unanswered
        self._asked += 1
        try:
            async with asyncio.timeout(WITHIN):
                answer = await question()
        except TakesTooLong:  # the next question may be a smaller one
            QUESTIONS.labels(self._name, "failed").inc()
            raise Unanswered from None
        except (SinkUnavailable, SinkRejected, TimeoutError) as why:
            self._failed(why)
            raise Unanswered from None
        finally:
            self._asked -= 1
        self._answered()
        return answer

    def _failed(self, why: Exception) -> None:
        QUESTIONS.labels(self._name, "failed").inc()
        self._not_before = time.monotonic() + PAUSE
        if not self._fails:
            told = str(why) or f"no answer in {WITHIN:.0f} s"
            log.warning("%s isn't asked, the topics are instead: %s", self._name, told)
        self._fails = True

    def _answered(self) -> None:
        QUESTIONS.labels(self._name, "answered").inc()
        if self._fails:
            log.warning("%s answers again", self._name)
        self._fails = False
