"""Minutes and a seed in; what kill -9, rebalances, frozen workers and a broker that dies change of
what is announced and remembered, out: a table, and a line of JSON. It has to be nothing.

    python -m tests.proof.soak [--minutes N] [--seed N]
    python -m tests.proof.soak --calm MINUTES [--seed N]

On an Apache Kafka of its own, under full load: first two workers, to which everything in `crew` is
done in turns, as drawn from the seed; for the second half of that time beside a third one that
nobody disturbs. Then one worker judges the same readings in peace, and every row, every event and
every open alert is compared. The memory of all workers is looked at all the while.

No worker that is disturbed lives for an hour. `calm` is the other half: nothing is done to the one
worker there is, and what counts is its memory, for so many minutes after it has warmed up. That
takes longer here than under full load; and the closed windows that a view keeps are fewer than
usual, or all the hour would be spent filling their ring.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipeline.kafka.broker import RunningKafka, running
from tests.proof.crew import (
    ANYWHERE,
    IN_A_FLUSH,
    IN_A_REBALANCE,
    IN_RECOVERY,
    QUICK,
    Crew,
    effective,
)
from tests.proof.history import wandering
from tests.proof.kafka import Sent, quiet
from tests.proof.load import Load
from tests.proof.memory import WARM_UP, Growth, Memory
from tests.proof.outcome import Differences, Outcome, differences, outcome
from tests.proof.worker import Worker

DISTURBED = 0.6  # of the minutes; judging it all in peace takes most of the rest
OTHERS = [
    *(f"frozen {place}" for place in ("half", "store", "announce")),
    *["broker"] * 2,
    *["more or fewer"] * 4,
]
ENDLESS = 10**9
CALM_RATE = 500.0  # readings a second, and as many events
CALM_AT_LEAST = 12.0  # minutes
CALM_WARM_UP = 720.0  # seconds: 100,000 alerts at a bit more than 200 a second, and some more
CALM_SETTINGS = {"SMART_IOT_WINDOWS_KEPT": "20000"}  # of 3,000 a minute
LONG_AGO = 60 * 86_400  # seconds before now: far from live, all follows from the readings alone
DISTURBED_PREFIX, CLEAN_PREFIX = "disturbed-", "clean-"


class Plan(NamedTuple):
    """For how long, and at the least how often; without any minutes nothing but kills."""

    minutes: float
    seed: int
    kills: int = 20  # effective ones, at the least
    places: Sequence[str] = (*IN_A_FLUSH, *IN_A_REBALANCE, *IN_RECOVERY, *[ANYWHERE] * 3)
    rate: float = float("inf")  # readings a second; else as many as the workers take


class Soak:
    """One run in one folder."""

    def __init__(
        self, kafka: RunningKafka, folder: Path, plan: Plan, memory: Memory | None = None
    ) -> None:
        self.kafka = kafka
        self.folder = folder
        self.plan = plan
        self.draw = random.Random(plan.seed)
        self.ends = time.monotonic() + plan.minutes * 60 * DISTURBED
        self.half = self.ends - plan.minutes * 60 * DISTURBED / 2
        self.memory = memory or Memory()
        self.start = time.time() - LONG_AGO

    def history(self) -> Iterator[Sent]:
        return wandering(self.plan.seed, ENDLESS, self.start)

    async def disturb(self) -> tuple[Crew, int]:
        """What was done, and how many readings were sent meanwhile."""
        prefix, address = DISTURBED_PREFIX, self.kafka.bootstrap
        steady = Worker(address, prefix, self.folder, name="steady", **QUICK)
        load = Load(address, prefix, self.history(), rate=self.plan.rate)
        crew = Crew(self.kafka, prefix, self.folder, load, self.draw)
        with contextlib.ExitStack() as ended, crew:
            ended.push(steady)
            async with load, self.memory.of(lambda: {"steady": steady, **crew.there}):
                await self._deeds(crew, steady)
                say("nothing more is done; what is left is read")
                await load.finish(within=300)
                await quiet(address, prefix)
            await crew.end()
            if steady.runs():
                await steady.leave()
        return crew, load.sent

    async def _deeds(self, crew: Crew, steady: Worker) -> None:
        for deed in self._drawn(crew):
            if self.half < time.monotonic() < self.ends and not steady.runs():
                steady.start()
            say(f"{deed}; {effective(crew.done)} effective kills so far")
            if deed in self.plan.places:
                await crew.kill(deed)
            else:
                await self._other(crew, deed)

    def _drawn(self, crew: Crew) -> Iterator[str]:
        """Every place once, in another order each time; in the end only kills that are missing."""
        while True:
            deeds = [*self.plan.places, *OTHERS]
            for deed in self.draw.sample(deeds, len(deeds)):
                if time.monotonic() < self.ends:
                    yield deed
                elif effective(crew.done) >= self.plan.kills:
                    return
                elif deed in self.plan.places:
                    yield deed

    async def _other(self, crew: Crew, deed: str) -> None:
        if deed == "broker":
            await crew.restart_broker()
        elif deed == "more or fewer":
            await (crew.join() if len(crew.there) < 2 else crew.leave())
        else:
            await crew.freeze(deed.removeprefix("frozen "))

    async def undisturbed(self, readings: int, rate: float = float("inf"), **settings: str) -> None:
        prefix, address = CLEAN_PREFIX, self.kafka.bootstrap
        load = Load(address, prefix, islice(self.history(), readings), ahead=20_000, rate=rate)
        slowest = rate / 2 if rate < float("inf") else 100.0  # readings a second
        with Worker(address, prefix, self.folder, name="undisturbed", **settings) as worker:
            await worker.ready()
            async with load, self.memory.of(lambda: {"undisturbed": worker}):
                await load.all(within=60 + readings / slowest)
                await quiet(address, prefix)
            await worker.leave()

    async def outcomes(self) -> tuple[Outcome, Outcome]:
        address = self.kafka.bootstrap
        return (
            await outcome(address, DISTURBED_PREFIX, whole=False),
            await outcome(address, CLEAN_PREFIX, whole=False),
        )

    def rebalances(self) -> int:
        """Generations of the disturbed group, as the broker counts them."""
        said = "".join(log.read_text() for log in self.folder.glob("kafka/kafka.log*"))
        pattern = rf"Stabilized group {DISTURBED_PREFIX}smart-iot generation (\d+)"
        return max((int(number) for number in re.findall(pattern, said)), default=0)


class Report(NamedTuple):
    """What was done and what came of it; `wrong` counts what must not be."""

    plan: Plan
    seconds: int
    done: dict[str, int]
    rebalances: int
    slowest_stop_seconds: float
    readings: int
    rows: int
    alerts: int
    events: int
    repeats: int
    wrong: dict[str, int]
    processes: int
    memory: list[Growth]

    def faults(self) -> list[str]:
        found = [f"{count} {name}" for name, count in self.wrong.items() if count]
        found += [f"{one.name} grows" for one in self.memory if not one.is_flat()]
        if (kills := effective(self.done)) < self.plan.kills:
            found.append(f"only {kills} effective kills")
        return found

    def table(self) -> str:
        rows = [
            *self.done.items(),
            ("rebalances", self.rebalances),
            ("slowest graceful stop (s)", self.slowest_stop_seconds),
            *(("readings", self.readings), ("rows compared", self.rows)),
            *(("alerts", self.alerts), ("events", self.events)),
            ("repeats, under the same id and seq", self.repeats),
            *((f"{name.replace('_', ' ')}", count) for name, count in self.wrong.items()),
        ]
        lines = [f"{name:36}{value:>10}" for name, value in rows]
        return "\n".join(
            [*lines, f"memory after the first {WARM_UP:.0f} s:", *map(str, self.memory)]
        )

    def line(self) -> str:
        fields = self._asdict() | {
            "plan": {"minutes": self.plan.minutes, "seed": self.plan.seed},
            "effective_kills": effective(self.done),
            "memory": [one._asdict() for one in self.memory],
        }
        return json.dumps(fields)


async def soak(kafka: RunningKafka, folder: Path, plan: Plan) -> Report:
    began, run = time.monotonic(), Soak(kafka, folder, plan)
    crew, readings = await run.disturb()
    say(f"{readings} readings are judged again, in peace")
    await run.undisturbed(readings)
    say("both outcomes are compared")
    disturbed, clean = await run.outcomes()
    return Report(
        plan=plan,
        seconds=round(time.monotonic() - began),
        done=dict(sorted(crew.done.items())),
        rebalances=run.rebalances(),
        slowest_stop_seconds=round(max(crew.stops), 1),
        readings=readings,
        rows=len(clean.states),
        alerts=len({alert_id for alert_id, _ in clean.events}),
        events=len(clean.events),
        repeats=disturbed.published - len(disturbed.events),
        wrong=counted(differences(disturbed, clean)),
        processes=run.memory.processes(),
        memory=run.memory.growth()[:5],
    )


async def calm(kafka: RunningKafka, folder: Path, plan: Plan) -> Growth:
    run = Soak(kafka, folder, plan, Memory(CALM_WARM_UP))
    readings = round((plan.minutes * 60 + CALM_WARM_UP) * plan.rate)
    await run.undisturbed(readings, plan.rate, **CALM_SETTINGS)
    [growth] = run.memory.growth()
    return growth


def counted(found: Differences) -> dict[str, int]:
    return {
        "events missing": len(found.missing),
        "events spurious": len(found.spurious),
        "events different": len(found.different),
        "wrong rows": len(found.rows),
        "wrong open alerts": len(found.open),
        "alerts with holes in seq": len(found.holes),
    }


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--calm", type=float, metavar="MINUTES", help=f"{CALM_AT_LEAST:g} or more")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    given = parser.parse_args()
    if given.calm is not None and given.calm < CALM_AT_LEAST:
        parser.error(f"in less than {CALM_AT_LEAST:g} minutes nothing is seen")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker dies: it would tell
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    say(f"seed {given.seed}, {given.calm or given.minutes:g} minutes; logs are in {folder}")
    with running(folder / "kafka", say=say) as kafka:
        if given.calm:
            growth = asyncio.run(calm(kafka, folder, Plan(given.calm, given.seed, rate=CALM_RATE)))
            faults = [] if growth.is_flat() else [f"{growth.name} grows"]
            print(growth, json.dumps(growth._asdict()), sep="\n")
        else:
            report = asyncio.run(soak(kafka, folder, Plan(given.minutes, given.seed)))
            faults = report.faults()
            print(report.table(), report.line(), sep="\n")
    if faults:
        say(f"WRONG: {', '.join(faults)}; seed {given.seed}, logs in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
