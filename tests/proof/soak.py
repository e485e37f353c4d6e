"""Minutes and a seed in; what kill -9, rebalances, frozen workers and a broker that dies change of
what is announced and remembered, out: a table, and a line of JSON. It has to be nothing.

    python -m tests.proof.soak [--minutes N] [--seed N]

On an Apache Kafka of its own, under full load: first two workers, to which everything in `crew` is
done in turns, as drawn from the seed; for the second half of that time beside a third one that
nobody disturbs. Then one worker judges the same readings in peace, and every row, every event and
every open alert is compared. The memory of all workers is looked at all the while.
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
from collections.abc import Iterator
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
from tests.proof.memory import Growth, Memory
from tests.proof.outcome import Differences, Outcome, differences, outcome
from tests.proof.worker import Worker

DISTURBED = 0.6  # of the minutes; judging it all in peace takes most of the rest
KILLS_AT_LEAST = 20  # effective ones
KILLS = [*IN_A_FLUSH, *IN_A_REBALANCE, *IN_RECOVERY, *[ANYWHERE] * 3]
FREEZES = [f"frozen {place}" for place in ("half", "store", "announce")]
ENDLESS = 10**9
LONG_AGO = 60 * 86_400  # seconds before now: far from live, all follows from the readings alone
DISTURBED_PREFIX, CLEAN_PREFIX = "disturbed-", "clean-"


class Soak:
    """One run in one folder."""

    def __init__(self, kafka: RunningKafka, folder: Path, minutes: float, seed: int) -> None:
        self.kafka = kafka
        self.folder = folder
        self.seed = seed
        self.draw = random.Random(seed)
        self.ends = time.monotonic() + minutes * 60 * DISTURBED
        self.half = time.monotonic() + minutes * 60 * DISTURBED / 2
        self.memory = Memory()
        self.start = time.time() - LONG_AGO

    def history(self) -> Iterator[Sent]:
        return wandering(self.seed, ENDLESS, self.start)

    async def disturb(self) -> tuple[Crew, int]:
        """What was done, and how many readings were sent meanwhile."""
        prefix, address = DISTURBED_PREFIX, self.kafka.bootstrap
        steady = Worker(address, prefix, self.folder, name="steady", **QUICK)
        load = Load(address, prefix, self.history())
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
        kills = 0
        for deed in self._drawn():
            if time.monotonic() > self.ends:
                if effective(crew.done) >= KILLS_AT_LEAST:
                    break
                if deed not in KILLS:
                    continue
            if time.monotonic() > self.half and not steady.runs():
                steady.start()
            say(f"{deed}; {effective(crew.done)} effective kills so far")
            if deed in KILLS:
                kills += 1
                await crew.kill(deed, wipe=kills % 2 == 0)
            else:
                await self._other(crew, deed)

    async def _other(self, crew: Crew, deed: str) -> None:
        if deed == "broker":
            await crew.restart_broker()
        elif deed == "more or fewer":
            await (crew.join() if len(crew.there) < 2 else crew.leave())
        else:
            await crew.freeze(deed.removeprefix("frozen "))

    def _drawn(self) -> Iterator[str]:
        """Every place once, in another order each time."""
        while True:
            deeds = [*KILLS, *FREEZES, "broker", "broker", *["more or fewer"] * 4]
            yield from self.draw.sample(deeds, len(deeds))

    async def undisturbed(self, readings: int) -> None:
        prefix, address = CLEAN_PREFIX, self.kafka.bootstrap
        load = Load(address, prefix, islice(self.history(), readings), ahead=20_000)
        with Worker(address, prefix, self.folder, name="undisturbed") as worker:
            await worker.ready()
            async with load, self.memory.of(lambda: {"undisturbed": worker}):
                await load.all(within=60 + readings / 100)
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

    seed: int
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
        if (kills := effective(self.done)) < KILLS_AT_LEAST:
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
        memory = [
            f"{one.name:12}{one.seconds:>8.0f} s{one.first_mb:>8.1f} MB -> {one.last_mb:.1f} MB "
            f"({one.mb_per_hour:+.1f} MB/h)"
            for one in self.memory
        ]
        return "\n".join([*lines, "memory after a minute:", *memory])

    def line(self) -> str:
        fields = self._asdict() | {"effective_kills": effective(self.done)}
        return json.dumps(fields | {"memory": [one._asdict() for one in self.memory]})


async def soak(kafka: RunningKafka, folder: Path, minutes: float, seed: int) -> Report:
    began, run = time.monotonic(), Soak(kafka, folder, minutes, seed)
    crew, readings = await run.disturb()
    say(f"{readings} readings are judged again, in peace")
    await run.undisturbed(readings)
    say("both outcomes are compared")
    disturbed, clean = await run.outcomes()
    return Report(
        seed=seed,
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
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    given = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the broker dies: it would tell
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    say(f"seed {given.seed}, {given.minutes:g} minutes; logs are in {folder}")
    with running(folder / "kafka", say=say) as kafka:
        report = asyncio.run(soak(kafka, folder, given.minutes, given.seed))
    faults = report.faults()
    print(report.table(), report.line(), sep="\n")
    if faults:
        say(f"WRONG: {', '.join(faults)}; seed {given.seed}, logs in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
