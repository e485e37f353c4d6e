"""Workers under load, and what is done to them: killed in places, frozen, sent away, wiped, started
again, their broker killed. What was done is counted.

Between two kills something new is always committed. Where everything happens is drawn: the same
draw does the same things, though not at the same reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from pipeline.kafka.broker import RunningKafka
from tests.proof.load import Load
from tests.proof.worker import Worker

IN_A_FLUSH = ("windows", "rows", "half", "store", "announce", "acknowledge", "finish")
IN_A_REBALANCE = ("revoke", "last-rows", "last-half", "last-announce", "revoked")
IN_RECOVERY = ("restore", "recover", "taken")
ANYWHERE = "the middle of anything"
EFFECTIVE = "killed"
QUICK = {"SMART_IOT_SESSION_TIMEOUT": "6", "SMART_IOT_FLUSH_TIMEOUT": "4"}
NAMES = ("one", "two")
# By their codes; Faust has the second for who comes while the broker is away
ENDINGS = {70: "ended by themselves", 1: "could not begin"}
REBALANCES = 3
# Seconds: where something hangs, not how fast it has to be. A worker whose rebalance was lost, with
# the broker in the midst of it, sees that after 90 s, ends, and is started again.
WITHIN = 150.0


def kind_of(place: str) -> str:
    kinds = {"a flush": IN_A_FLUSH, "a rebalance": IN_A_REBALANCE, "recovery": IN_RECOVERY}
    return next((kind for kind, places in kinds.items() if place in places), ANYWHERE)


def effective(done: Mapping[str, int]) -> int:
    """Kills after new commits since the one before."""
    return sum(times for what, times in done.items() if what.startswith(f"{EFFECTIVE} in"))


class Crew:
    """At most two workers; a context manager, after which there is none."""

    def __init__(
        self, kafka: RunningKafka, prefix: str, folder: Path, load: Load, draw: random.Random
    ) -> None:
        self._kafka = kafka
        self._prefix = prefix
        self._folder = folder
        self._load = load
        self._draw = draw
        self._kills = 0
        self._mark = 0  # what was committed at the last kill
        self.there: dict[str, Worker] = {}
        self.done: Counter[str] = Counter()
        self.stops: list[float] = []  # seconds that a graceful one took

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.there.values():
            worker.kill()

    # -- who is there

    def start(self, name: str, order: str = "") -> Worker:
        """`order` says where it stops itself (`stopping_worker`)."""
        worker = Worker(
            self._kafka.bootstrap,
            self._prefix,
            self._folder,
            name=name,
            module="tests.proof.stopping_worker",
            STOP_FILE=str(self._order(name)),
            **QUICK,
        )
        self._order(name).unlink(missing_ok=True)
        if order:
            self.order(name, order)
        self.there[name] = worker.start()
        return worker

    def order(self, name: str, order: str) -> None:
        written = self._order(name).with_suffix(".new")
        written.write_text(order)
        written.rename(self._order(name))  # whole, or not there

    def _order(self, name: str) -> Path:
        return self._folder / f"{name}.order"

    async def join(self) -> None:
        self.start(self._draw.choice([name for name in NAMES if name not in self.there]))
        self.done["joined"] += 1
        await self.progress()

    async def leave(self, name: str = "") -> None:
        name = name or self._draw.choice(sorted(self.there))
        await self._ready()
        self.stops.append(await self.there.pop(name).leave())
        self.done["left"] += 1

    async def end(self) -> None:
        while self.there:
            await self.leave()

    async def _ready(self) -> None:
        """All that run."""
        async with asyncio.timeout(WITHIN):
            while not all([await one.is_ready() for one in self.there.values() if one.runs()]):
                self._supervise()
                await asyncio.sleep(0.2)

    async def progress(self) -> None:
        """Wait until something new is committed, by however few are left."""
        if not self.there:
            self.start(self._draw.choice(NAMES))
        waiting = asyncio.create_task(self._load.beyond(self._load.committed, WITHIN))
        while not waiting.done():
            self._supervise()
            await asyncio.sleep(0.2)
        await waiting

    def _supervise(self) -> list[str]:
        """Who has ended by itself is started again, as anywhere else; who that was."""
        ended = [name for name, worker in self.there.items() if worker.code() in ENDINGS]
        for name in ended:
            self.done[ENDINGS[self.there[name].code() or 0]] += 1
            self.start(name)
        return ended

    # -- kill -9

    async def kill(self, place: str) -> None:
        """Every second time its data folder is lost too."""
        await self.progress()
        name = await {
            "a flush": self._in_a_flush,
            "a rebalance": self._in_a_rebalance,
            "recovery": self._in_recovery,
            ANYWHERE: self._anywhere,
        }[kind_of(place)](place)
        worker = self.there.pop(name)
        assert worker.code() == -signal.SIGKILL, worker.tail()
        committed = await self._load.look()
        what = EFFECTIVE if committed > self._mark else "killed to no effect"
        self._mark = committed
        self.done[f"{what} in {kind_of(place)}"] += 1
        self._kills += 1
        if self._kills % 2 == 0:
            shutil.rmtree(self._folder / name)
            self.done["wiped"] += 1
        if not self.there or self._draw.random() < 0.7:
            self.start(name)

    async def _anywhere(self, _place: str) -> str:
        name = self._draw.choice(sorted(self.there))
        await asyncio.sleep(self._draw.uniform(0, 2))
        self._supervise()
        self.there[name].kill()
        return name

    async def _in_a_flush(self, place: str) -> str:
        name = self._draw.choice(sorted(self.there))
        order = f"{place}:{self._draw.randint(1, 6)}"
        self.order(name, order)
        await self._killed_by_itself(name, order)
        return name

    async def _killed_by_itself(self, name: str, order: str, within: float = WITHIN) -> None:
        """Who ends by itself before (it was frozen, and has just found out) is told again."""
        await self.there[name].ended(within)
        if self._supervise():
            self.order(name, order)
            await self.there[name].ended(WITHIN)

    async def _in_a_rebalance(self, place: str) -> str:
        """The other one joins or leaves, and the rebalance finds the one that is to be killed."""
        name, order = self._draw.choice(sorted(self.there)), f"{place}:1"
        await self._ready()
        self.order(name, order)
        for _ in range(REBALANCES):  # one can come when there is nothing left to write
            await self._rebalance(*set(NAMES) - {name})
            with contextlib.suppress(AssertionError):
                await self._killed_by_itself(name, order, within=WITHIN / REBALANCES)
                break
        return name

    async def _rebalance(self, name: str) -> None:
        if name in self.there:
            await self.leave(name)
        else:
            self.start(name)
            self.done["joined"] += 1

    async def _in_recovery(self, place: str) -> str:
        """One that comes, alone or not, gets its partitions, and dies on the way."""
        name = self._draw.choice(NAMES)
        if name in self.there:
            await self.leave(name)
        writes = 1 if self.there else 2  # that are sure to come
        times = self._draw.randint(1, writes) if place == "recover" else 1
        worker = self.start(name, f"{place}:{times}")
        await worker.ended(WITHIN)
        return name

    # -- worse than that

    async def freeze(self, place: str) -> None:
        """One stands still for so long that the other has it all, and then goes on where it was."""
        for name in NAMES:
            if name not in self.there:
                self.start(name)
        await self._ready()
        frozen, awake = self._draw.sample(NAMES, 2)
        self.order(frozen, f"{place}:{self._draw.randint(1, 6)} SIGSTOP")
        await self._until(lambda: self.there[frozen].state() == "T", f"no {place} is reached")
        before = self._takeovers(awake)
        await self._until(lambda: self._takeovers(awake) > before, "nobody takes over")
        await self.progress()
        self.there[frozen].thaw()
        self.done["frozen"] += 1
        await self.progress()

    def _takeovers(self, name: str) -> int:
        return self.there[name].log.read_text().count("in partitions [")

    async def restart_broker(self) -> None:
        await self.progress()
        self._kafka.kill()
        await asyncio.sleep(self._draw.uniform(2, 10))
        self._kafka.start()
        self.done["broker restarts"] += 1
        await self.progress()

    async def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not true():
            assert time.monotonic() < deadline, what
            await asyncio.sleep(0.1)
