"""Wherever a reading arrives it meets its device's one state, once and in its time."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP

from agents.intake import MOST_BYTES, MOST_CHUNKS, MOST_WAITING, Intake, is_full
from agents.item import Origin
from agents.judge import Judge
from agents.rekeying import Forward
from pipeline.rules.engine import Engine
from tables.partition import READINGS
from tests.agents.shell import T0, App, Event, Owner, Record, partition, reading, written

WALL = T0 + 1e7
HOME = 1  # the partition of the device that is called attic, of eight
ELSEWHERE = 4


class Inbox:
    """What would be forwarded to other workers."""

    def __init__(self) -> None:
        self.got: list[Forward] = []

    async def send(self, forwards: list[Forward]) -> None:
        self.got += forwards


class Worker:
    def __init__(self, *numbers: int) -> None:
        self.owner = Owner(*numbers)
        self.app = App()
        self.inbox = Inbox()
        judge = Judge(Engine(), lambda: None)
        self.intake = Intake(self.app, self.owner, judge, None, self.inbox)  # type: ignore[arg-type]
        self.intake.begin()

    async def read(self, number: int, *records: Record, topic: str = "readings") -> Event:
        event = Event(list(records))
        source = self.owner.sources[TP(topic, number)]
        await self.intake.take(source, event)  # type: ignore[arg-type]
        return event

    def device(self) -> Any:
        return self.owner.owned[HOME].rows["attic"].device

    def pending(self) -> list[Any]:
        return [event for owned in self.owner.owned.values() for event in owned.pending]

    def forget_like_a_crash_between_row_and_partition(self) -> None:
        """The row reached the changelog, its partition's row didn't."""
        home = self.owner.owned[HOME]
        home.origins, home.applied[READINGS] = {}, -1


def forwarded(offset: int, of: Record, *, partition: int = ELSEWHERE, epoch: int = 0) -> Record:
    headers = Origin("readings", partition, (epoch, of.offset), of.timestamp).headers()
    return of._replace(offset=offset, timestamp=0, headers=headers)


@pytest.fixture
def worker() -> Worker:
    return Worker(HOME, ELSEWHERE)


async def test_a_reading_that_arrives_elsewhere_is_applied_at_home(worker):
    event = await worker.read(ELSEWHERE, reading(0, temperature=36))
    assert worker.device().readings == 1
    assert worker.owner.owned[ELSEWHERE].rows == {}
    assert worker.pending() == [event]
    assert worker.inbox.got == []


async def test_a_reading_whose_device_is_deleted_while_it_waits_begins_it_anew(worker):
    await worker.read(HOME, reading(0, temperature=20))
    home, source = worker.owner.owned[HOME], worker.owner.sources[TP("readings", HOME)]
    worker.intake.put(source, Event([reading(1, temperature=21)]), WALL)
    home.delete(home.rows["attic"])
    worker.intake.take_up(WALL)
    assert worker.device().readings == 1
    assert home.rows["attic"] in home.dirty


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("number", [HOME, ELSEWHERE])
async def test_a_repeat_is_applied_once_wherever_it_arrives(worker, number, crash):
    for _ in range(2):
        await worker.read(number, reading(0, temperature=36), reading(1, temperature=37))
        if crash:
            worker.forget_like_a_crash_between_row_and_partition()
    assert worker.device().readings == 2


async def test_a_repeat_is_applied_once_though_a_cut_is_made_before_it_comes(worker):
    """A row that a crash left ahead of its partition stays ahead until the partition has come up
    to it, however often both are written meanwhile."""
    hour = [reading(n, at=T0 + n, temperature=20 + n) for n in range(3)]
    await worker.read(ELSEWHERE, *hour)
    worker.forget_like_a_crash_between_row_and_partition()
    await worker.read(ELSEWHERE, hour[0])
    await worker.read(HOME, reading(0, at=T0 + 9, temperature=30))
    written(worker.owner.owned[HOME])
    await worker.read(ELSEWHERE, *hour[1:])
    assert worker.device().readings == 4


async def test_a_repeat_is_applied_once_though_its_row_leaves_that_to_its_partition(worker):
    for _ in range(2):
        await worker.read(ELSEWHERE, reading(0, temperature=36))
        written(worker.owner.owned[HOME])
    assert worker.device().readings == 1


async def test_offsets_are_counted_for_each_partition_by_itself(worker):
    await worker.read(ELSEWHERE, reading(70, temperature=36))
    await worker.read(HOME, reading(3, temperature=37))
    await worker.read(ELSEWHERE, reading(71, temperature=38))
    assert worker.device().readings == 3


async def test_a_partition_that_began_anew_is_applied_though_its_offsets_are_lower(worker):
    await worker.read(ELSEWHERE, reading(70, temperature=36))
    worker.owner.owned[ELSEWHERE].forget_offsets(READINGS)
    await worker.read(ELSEWHERE, reading(0, temperature=37))
    assert worker.device().readings == 2


async def test_a_reading_of_another_workers_device_is_forwarded_with_its_origin():
    worker = Worker(ELSEWHERE)
    event = await worker.read(ELSEWHERE, reading(7, at=T0 + 5, temperature=36))
    ((home, key, value, origin),) = worker.inbox.got
    assert (home, key, b"attic" in value) == (HOME, b"key", True)
    assert origin == Origin("readings", ELSEWHERE, (0, 7), (T0 + 5) * 1000)
    assert worker.pending() == [event]
    assert worker.owner.owned[ELSEWHERE].applied[READINGS] == 7


async def test_what_was_forwarded_and_not_acknowledged_is_forwarded_again():
    """Applied, as far as its own partition goes: but whether the inbox has it nobody knows."""
    worker = Worker(ELSEWHERE)
    for _ in range(2):
        await worker.read(ELSEWHERE, reading(7, temperature=36))
    assert len(worker.inbox.got) == 2


async def test_a_chunk_whose_forwards_fail_is_never_acknowledged(monkeypatch):
    worker = Worker(ELSEWHERE)

    async def fail(_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(worker.inbox, "send", fail)
    with pytest.raises(ConnectionError):
        await worker.read(ELSEWHERE, reading(7, temperature=36))
    assert worker.pending() == []


async def test_a_forwarded_reading_is_judged_at_the_time_of_its_origin(worker):
    await worker.read(
        HOME,
        forwarded(0, reading(7, at=T0 + 5, temperature=36)),
        topic="smart-iot-forwarded",
    )
    assert worker.device().last_seen == T0 + 5


@pytest.mark.parametrize("order", [("inbox", "direct"), ("direct", "inbox")])
async def test_a_reading_that_comes_by_both_ways_is_applied_once(worker, order):
    """Forwarded by the worker that had its partition, and read by us who have it now."""
    original = reading(7, temperature=36)
    for way in order:
        if way == "direct":
            await worker.read(ELSEWHERE, original)
        else:
            await worker.read(HOME, forwarded(0, original), topic="smart-iot-forwarded")
    assert worker.device().readings == 1


async def test_what_an_inbox_held_when_it_became_ours_is_applied_before_any_reading(worker):
    """Else the later offset would make repeats of the earlier ones that wait in the inbox."""
    inbox = worker.owner.sources[TP("smart-iot-forwarded", HOME)]
    inbox.backlog_end = 1
    await worker.read(ELSEWHERE, reading(8, at=T0 + 1, temperature=37))
    assert worker.owner.owned[HOME].rows == {}
    await worker.read(
        HOME, forwarded(0, reading(7, at=T0, temperature=36)), topic="smart-iot-forwarded"
    )
    assert worker.device().readings == 2


async def test_a_record_in_an_inbox_that_names_no_origin_is_rejected(worker):
    await worker.read(HOME, reading(0, temperature=36), topic="smart-iot-forwarded")
    ((_, _, headers),) = worker.owner.owned[HOME].rejected
    assert dict(headers)["reason"] == b"no_origin"


async def test_a_rejected_record_is_rejected_once_though_it_is_read_again(worker):
    for _ in range(2):
        await worker.read(ELSEWHERE, Record(3, b"nonsense"))
    ((_, _, headers),) = worker.owner.owned[ELSEWHERE].rejected
    assert dict(headers)["partition"] == b"4"


async def test_a_backlog_that_is_spread_over_partitions_is_judged_in_its_own_order(worker):
    """An hour of one device, every second reading elsewhere; each partition is read at once."""
    hour = [reading(n, at=T0 + 10 * n, temperature=20 + n % 30) for n in range(360)]
    worker.owner.ends = {TP("readings", HOME): 359, TP("readings", ELSEWHERE): 360}
    await worker.read(HOME, *hour[::2])
    assert worker.owner.owned[HOME].rows == {}, "older ones may come from elsewhere"
    await worker.read(ELSEWHERE, *hour[1::2])
    alone = Worker(HOME)
    await alone.read(HOME, *hour)
    assert worker.device().pack() == alone.device().pack()


async def test_a_source_that_is_far_ahead_is_read_no_further_until_the_others_have_come_up(worker):
    tp, other = TP("readings", HOME), TP("readings", ELSEWHERE)
    worker.owner.ends = {tp: 100, other: 100}
    for n in range(MOST_WAITING + 1):
        assert worker.app.consumer.paused == set()
        await worker.read(HOME, reading(n, at=T0 + n, temperature=20))
    assert worker.app.consumer.paused == {tp}
    await worker.read(ELSEWHERE, reading(99, at=T0 + 99, temperature=20))
    assert worker.app.consumer.paused == set()


@pytest.fixture
async def waiting(worker: Worker) -> Worker:
    """Readings come mixed, and one waits for what may be older and is somewhere else."""
    await worker.read(ELSEWHERE, reading(0, at=T0, temperature=20))
    worker.owner.ends = {TP("readings", ELSEWHERE): 2}
    await worker.read(HOME, reading(0, at=T0 + 9, temperature=20))
    await worker.intake.look()
    assert worker.device().readings == 1
    return worker


async def test_what_never_comes_is_waited_for_no_more_after_a_while(waiting, monkeypatch):
    monkeypatch.setattr("agents.intake.PATIENCE", -1)
    await waiting.intake.look()
    assert waiting.device().readings == 2


async def test_a_write_that_takes_long_is_no_wait_for_what_never_comes(waiting, monkeypatch):
    monkeypatch.setattr("agents.intake.PATIENCE", -1)
    async with waiting.intake._advancing:
        await waiting.intake.look()
    assert waiting.device().readings == 1


async def test_what_was_waited_for_and_brought_nothing_is_found_to_be_read(waiting):
    """Of a transaction's marker comes no chunk."""
    waiting.owner.ends = {}
    await waiting.intake.look()
    assert waiting.device().readings == 2


async def test_what_was_given_away_while_its_forwards_were_sent_is_not_acknowledged(monkeypatch):
    worker = Worker(ELSEWHERE)

    async def give_away(_: Any) -> None:
        worker.owner.owned[ELSEWHERE].closed = True

    monkeypatch.setattr(worker.inbox, "send", give_away)
    await worker.read(ELSEWHERE, reading(7, temperature=36))
    assert worker.pending() == []


async def test_what_waits_for_its_acknowledgement_alone_keeps_no_records(worker):
    event = await worker.read(HOME, reading(0, temperature=36), reading(1, temperature=20))
    assert worker.pending() == [event]
    assert event.value == []


@pytest.mark.parametrize(
    ("what", "many"),
    [("unflushed", MOST_BYTES + 1), ("pending", [None] * (MOST_CHUNKS + 1))],
)
def test_much_that_waits_for_a_flush_makes_the_agent_wait_for_one(what, many):
    owned = partition()
    assert not is_full(owned)
    setattr(owned, what, many)
    assert is_full(owned)


async def test_a_device_that_says_much_at_once_makes_the_agent_wait_until_it_is_announced(
    worker, monkeypatch
):
    flushed = []

    class Writer:
        async def announce(self, partitions: Any) -> None:
            flushed.append(max(p.undelivered for p in partitions))
            for p in partitions:
                p.undelivered = 0

    monkeypatch.setattr(worker.intake, "_writer", Writer())
    swings = [reading(n, at=T0 + n, temperature=40 if n % 2 else 20) for n in range(2_000)]
    await worker.read(HOME, *swings)
    assert flushed
    assert max(flushed) <= 1_500
