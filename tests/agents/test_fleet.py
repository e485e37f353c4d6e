"""Counts go to the fleet's home, its alert holds the devices' own back on every partition."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.commands import Commands
from agents.fleet import FLEET_KEY, FleetWatch
from agents.judge import Judge
from pipeline.home import home_of
from pipeline.rules.engine import Engine, Reading
from pipeline.rules.fleet import FLEET
from tables.partition import Partition
from tests.agents.shell import T0, App, Owner, Record, done

PARTITIONS = 2
HOME = home_of(FLEET, PARTITIONS)


class Reach:
    arriving: bool | None = True

    def arrives(self, _: float) -> bool | None:
        return self.arriving


class Worker:
    """Owns both partitions; what it sends comes back to it when it is told to `hear`."""

    def __init__(self) -> None:
        self.app = App()
        self.app.partition_count = PARTITIONS
        self.app.consumer_generation_id = 3  # type: ignore[attr-defined]
        self.owner = Owner(*range(PARTITIONS))
        self.judge = Judge(Engine(), lambda: None)
        self.commands = Commands(self.judge, lambda _: False)
        self.reach = Reach()
        self.fleet = FleetWatch(self.app, self.owner, self.judge, self.reach)  # type: ignore[arg-type]
        self.heard = 0
        self.wall = T0
        for number in range(PARTITIONS):
            self.partition(number).clock.see(T0, wall=T0)
            self.partition(number).clock.caught_up(T0)
            self.partition(number).reached = T0 + 1.0

    def partition(self, number: int) -> Partition:
        return self.owner.owned[number]

    def devices(self, live: int, silent: int) -> None:
        """In every partition."""
        for number in range(PARTITIONS):
            partition = self.partition(number)
            for device in range(live + silent):
                partition.row(f"{number}-{device}")
            for device in range(silent):
                partition.silent[f"{number}-{device}"] = (T0, T0 - 1)

    def died_together(self, devices: int) -> None:
        """So many devices of each partition that have just fallen silent."""
        for number, partition in self.owner.owned.items():
            for device in range(devices):
                row = partition.row(f"{number}-{device}")
                for at in range(T0 - 90, T0 - 84):
                    reading = Reading(row.device.id, None, at, {"temperature": 20.0})
                    self.judge.engine.reading(row.device, reading, at, 0)
                partition.silent[row.device.id] = (T0, T0 - 25)

    def taken_over(self) -> None:
        """By another owner: what was only in memory is gone, and every device has time again."""
        self.app.consumer_generation_id = 4  # type: ignore[attr-defined]
        for number, partition in self.owner.owned.items():
            again = self.owner.owned[number] = partition.reopened()
            self.judge.take_up(again)
            self.judge.adopt_some(again)
            again.clock.caught_up(self.wall)
            again.reached = self.wall
        self.fleet.begin()

    def everybody_is_back(self) -> None:
        for number in range(PARTITIONS):
            self.partition(number).silent.clear()

    async def look(self, wall: float | None = None) -> None:
        self.wall = self.wall + 1 if wall is None else wall
        await self.fleet.look(self.wall)

    async def watch(self, looks: int = 5) -> None:
        """Look, and hear what was said, as often."""
        for _ in range(looks):
            await self.look()
            self.hear()

    def hear(self) -> None:
        for offset, sent in enumerate(self.app.producer.sent[self.heard :], self.heard):
            record: Any = Record(offset, sent.value, sent.key)
            partition = self.partition(sent.partition or 0)
            if sent.topic == self.app.names.commands:
                done(self.commands.take(partition, record))
            else:
                assert sent.key == FLEET_KEY
                self.fleet.take(partition, record)
        self.heard = len(self.app.producer.sent)

    def told(self) -> list[tuple[str, str]]:
        outbox = self.partition(HOME).fleet.outbox
        events = [json.loads(event.value) for event in outbox]
        return [(event["event"], event["reason"]) for event in events]

    def held(self) -> list[set[str]]:
        """Of each partition, the alerts that hold their devices back."""
        return [
            {silence.id for silence in self.partition(number).silences if silence.by == FLEET}
            for number in range(PARTITIONS)
        ]


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def test_nothing_is_decided_before_every_partition_has_counted(worker: Worker):
    worker.devices(live=0, silent=9)
    worker.partition(0).clock.watching = False  # its backlog is still being read
    await worker.watch()
    assert worker.told() == []
    worker.partition(0).clock.watching = True
    await worker.watch()
    assert worker.told() == [("fired", "fleet_offline")]


async def test_a_count_is_sent_when_it_has_changed(worker: Worker):
    await worker.look()
    worker.devices(live=1, silent=0)
    await worker.look()
    await worker.look()
    checks = worker.app.producer.to(worker.app.names.checks)
    assert [sent.partition for sent in checks] == [HOME] * 2 * PARTITIONS


async def test_a_count_of_an_older_assignment_is_dropped(worker: Worker):
    worker.devices(live=0, silent=9)
    await worker.look()
    worker.app.consumer_generation_id = 4  # type: ignore[attr-defined]
    worker.fleet.begin()
    worker.hear()
    assert worker.fleet._counts == {}


@pytest.mark.parametrize("value", [None, b"", b"\xc1", b"{}", b"\x93\x01\x01\x01"])
async def test_what_is_no_count_stops_nothing(worker: Worker, value: bytes | None):
    record: Any = Record(0, value, FLEET_KEY)
    worker.fleet.take(worker.partition(HOME), record)
    assert worker.told() == []


async def test_an_alert_of_the_fleet_holds_back_until_it_is_over(worker: Worker):
    worker.devices(live=0, silent=9)
    await worker.watch()
    (episode,) = worker.partition(HOME).fleet.device.open_alerts()
    assert worker.held() == [{episode.alert_id}] * PARTITIONS
    assert len(worker.app.producer.to(worker.app.names.commands)) == PARTITIONS, "told once"
    worker.everybody_is_back()
    await worker.watch()
    assert worker.told() == [("fired", "fleet_offline"), ("resolved", "device_returned")]
    assert worker.held() == [set()] * PARTITIONS


async def test_a_device_whose_word_was_waiting_is_held_back_and_let_out_in_the_end(worker: Worker):
    worker.devices(live=0, silent=9)
    partition = worker.partition(0)
    row = partition.row("0-0")
    for at in range(T0 - 90, T0 - 84):
        reading = Reading("0-0", None, at, {"temperature": 20.0})
        worker.judge.engine.reading(row.device, reading, at, 0)
    await worker.watch()
    (episode,) = worker.partition(HOME).fleet.device.open_alerts()
    partition.clock.judged_from = 0
    due = T0 - 85 + 60
    silences = partition.silences
    (silence,) = silences.pack()
    silences.remove(episode.alert_id)
    silences.unpack([[*silence[:7], due, silence[8]]])  # it starts then
    assert worker.judge.settle(partition, row, T0 + 1)
    (offline,) = [json.loads(event.value) for event in row.outbox]
    assert (offline["rule"], offline["suppressed_by"]) == ("offline", episode.alert_id)
    for number in range(PARTITIONS):
        silent = worker.partition(number).silent
        for device in set(silent) - {"0-0"}:
            del silent[device]
    await worker.watch()
    last = json.loads(row.outbox[-1].value)
    assert (last["event"], last["reason"]) == ("updated", "unsuppressed")
    assert last["suppressed_by"] is None


async def test_what_a_crash_left_out_is_told_by_the_next_owner(worker: Worker):
    """The alert was written, the quiet was not; or the end of the alert, and not that of it."""
    worker.devices(live=0, silent=9)
    await worker.watch(4)
    assert worker.told() == [("fired", "fleet_offline")]
    for number in range(PARTITIONS):
        for silence in list(worker.partition(number).silences):
            worker.partition(number).silences.remove(silence.id)
    worker.fleet.begin()
    await worker.watch()
    assert all(worker.held())
    fleet = worker.partition(HOME).fleet.device
    assert fleet.alerts is not None
    (episode,) = fleet.open_alerts()
    fleet.alerts.resolve(episode, "device_returned", T0 + 2, T0 + 2)
    worker.fleet.begin()
    worker.everybody_is_back()
    await worker.watch()
    assert worker.held() == [set()] * PARTITIONS


async def test_a_replay_counts_nobody(worker: Worker):
    worker.devices(live=0, silent=9)
    for number in range(PARTITIONS):
        worker.partition(number).clock.live = False
    await worker.watch()
    assert worker.told() == []


async def test_the_alert_of_a_fleet_is_acknowledged_like_any(worker: Worker):
    worker.devices(live=0, silent=9)
    await worker.watch()
    partition = worker.partition(HOME)
    (episode,) = partition.fleet.device.open_alerts()
    said = {"command": "acknowledge", "command_id": "c", "by": "ada", "at": "2026-11-25T10:00:00Z"}
    said |= {"device_id": FLEET, "alert_id": episode.alert_id}
    record: Any = Record(9, json.dumps(said).encode(), FLEET_KEY)
    done(worker.commands.take(partition, record))
    assert worker.told()[-1] == ("acked", "manual")
    assert episode.acked_by == "ada"


async def test_what_fell_due_a_fraction_of_a_millisecond_before_the_alert_started_is_held(
    worker: Worker,
):
    worker.devices(live=0, silent=9)
    due = T0 - 1.0003
    for number in range(PARTITIONS):
        silent = worker.partition(number).silent
        silent.update(dict.fromkeys(silent, (T0, due)))
    await worker.watch()
    (silence,) = worker.partition(0).silences
    assert silence.matches("0-0", "offline", "warning", due)


async def test_a_kill_before_its_devices_have_spoken_for_themselves_does_not_end_an_alert(
    worker: Worker,
):
    """Each gets its time anew, and nobody is offline for so long: but nobody is back either."""
    worker.devices(live=9, silent=0)
    worker.died_together(9)
    await worker.watch()
    worker.taken_over()
    await worker.watch()
    assert worker.told() == [("fired", "fleet_offline")]
    assert all(worker.held())
    worker.everybody_is_back()
    await worker.watch()
    assert worker.told()[-1] == ("resolved", "device_returned")


async def test_a_kill_makes_no_devices_word_of_the_fleets(worker: Worker):
    worker.died_together(2)
    await worker.watch()
    worker.taken_over()
    await worker.watch()
    assert worker.told() == []
    assert [partition.silent for partition in worker.owner.owned.values()] == [{}] * PARTITIONS


async def test_who_falls_silent_around_a_kill_is_named(worker: Worker):
    worker.died_together(5)
    await worker.watch()
    partition = worker.partition(0)
    worker.died_together(9)
    for device in range(5, 7):  # two of them have said so, under the alert of the fleet
        row = partition.row(f"0-{device}")
        partition.clock.judged_from = 0
        assert worker.judge.settle(partition, row, T0 + 5)
    worker.taken_over()
    await worker.watch(40)
    assert worker.told() == [("fired", "fleet_offline"), ("updated", "fleet_offline")]
    last = json.loads(worker.partition(HOME).fleet.outbox[-1].value)
    assert last["count"] == len(last["devices"]) == 18


async def test_nothing_is_decided_before_it_is_known_whether_anything_arrives(worker: Worker):
    worker.devices(live=0, silent=9)
    worker.reach.arriving = None
    await worker.watch()
    assert worker.told() == []
    worker.reach.arriving = False
    await worker.watch()
    worker.reach.arriving = None  # the next owner doesn't know yet
    await worker.watch()
    assert worker.told() == [("fired", "ingest_silent")]
