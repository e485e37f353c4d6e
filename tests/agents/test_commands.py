"""Commands in, as their partition reads them; rows, events and silences out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from faust.types import TP

from agents.checks import due
from agents.commands import TOLD, Commands, forget_the_past
from agents.intake import Intake
from agents.judge import Judge
from pipeline.home import home_of
from pipeline.metrics import WORKER
from pipeline.records import iso
from pipeline.rows import PARTITION_KEY, Row, decode
from pipeline.rules.engine import Engine
from pipeline.rules.silence import AT_MOST
from tables.partition import COMMANDS, Partition
from tests.agents.shell import T0, App, Event, Owner, Record, done, reading, written

HOME = 1  # the partition of the device that is called attic, of eight
NEIGHBOUR = "d1"  # of the same partition
WALL = T0 + 1e7


class House:
    """One partition with what feeds it."""

    def __init__(self) -> None:
        self.woken: list[None] = []
        self.reloads: list[str] = []
        self.judge = Judge(Engine(), wake=lambda: self.woken.append(None))
        self.commands = Commands(self.judge, self.reload)
        self.owner = Owner(HOME)
        self.owned: Partition = self.owner.owned[HOME]
        self.intake = Intake(App(), self.owner, self.judge, None, None)  # type: ignore[arg-type]

    def feed(self, *records: Record) -> None:
        source = self.owner.sources[TP("readings", HOME)]
        self.intake.put(source, Event(list(records)), wall=WALL)  # type: ignore[arg-type]
        while self.intake.take_up(WALL):
            pass

    def command(self, offset: int, kind: str, **fields: Any) -> None:
        self.raw(offset, command(kind, **fields))

    def reload(self, command_id: str) -> bool:
        self.reloads.append(command_id)
        return True

    def raw(self, offset: int, value: bytes | None) -> None:
        done(self.commands.take(self.owned, Record(offset, value)))

    def silence(self, offset: int, name: str = "s1", ends: float = 100, **more: Any) -> None:
        more = more or {"device": "*"}
        times = {"starts_at": iso(T0), "ends_at": iso(T0 + ends)}
        self.command(offset, "silence", silence_id=name, **times, **more)

    def acknowledge(self, offset: int, note: str = "mine") -> None:
        alert_id = self.told[0]["alert_id"]
        more = {"device_id": "attic", "alert_id": alert_id, "note": note}
        self.command(offset, "acknowledge", **more)

    def check(self, offset: int, horizon: float) -> None:
        self.owned.clock.live = self.owned.clock.watching = True
        self.owned.reached = T0 + horizon
        self.judge.check(self.owned, Record(offset, None, key=b"attic"))  # type: ignore[arg-type]

    def restarted(self, *, in_the_middle: bool = False) -> House:
        """What comes back of what the next cut writes, or wrote until just before its last row."""
        again = House()
        for key, value in written(self.owned).rows:
            if key == PARTITION_KEY:
                again.owned.read(decode(value if not in_the_middle else Partition(0).packed()))
            elif value is not None:
                row = Row.unpacked(key.decode(), decode(value))
                again.owned.rows[key.decode()] = row
                again.owned.silences.note(row.device)
        return again

    def told_of(self, device_id: str) -> list[dict[str, Any]]:
        row = self.owned.rows.get(device_id)
        return [] if row is None else [json.loads(event.value) for event in row.outbox]

    def steps_of(self, device_id: str) -> list[tuple[str, str | None]]:
        return [(event["event"], event["suppressed_by"]) for event in self.told_of(device_id)]

    @property
    def told(self) -> list[dict[str, Any]]:
        return self.told_of("attic")

    @property
    def steps(self) -> list[tuple[str, str | None]]:
        return self.steps_of("attic")


def command(kind: str, **fields: Any) -> bytes:
    value = {"command": kind, "command_id": "c", "by": "ada", "at": iso(T0), **fields}
    return json.dumps(value).encode()


@pytest.fixture
def house() -> House:
    return House()


def refused(reason: str) -> float:
    return WORKER.get_sample_value("smart_iot_commands_refused_total", {"reason": reason}) or 0.0


def test_an_acknowledgement_is_told_once_with_who_and_why(house: House) -> None:
    house.feed(reading(0, temperature=36))
    house.acknowledge(0)
    house.acknowledge(1)  # the same again
    fired, acked = house.told
    assert (acked["event"], acked["type"], acked["reason"]) == ("acked", "info", "manual")
    assert (acked["acked"], acked["acked_by"], acked["note"]) == (True, "ada", "mine")
    assert (acked["seq"], acked["alert_id"]) == (2, fired["alert_id"])
    assert acked["title"] == fired["title"]
    assert acked["message"] == fired["message"] + ", acknowledged by ada: mine"


def test_a_command_to_read_the_rules_anew_is_passed_on_once(house: House) -> None:
    house.command(5, "reload", command_id="r1")
    house.command(5, "reload", command_id="r1")
    house.restarted().command(5, "reload", command_id="r1")
    assert house.reloads == ["r1"]


def test_a_command_that_is_read_again_after_a_restart_changes_nothing(house: House) -> None:
    house.feed(reading(0, battery=15))
    house.acknowledge(7)
    house.feed(reading(1, battery=2))  # undone: it is worse now
    again = house.restarted()
    before = again.owned.rows["attic"].packed(1)
    alert_id = again.told[0]["alert_id"]
    ack = {"device_id": "attic", "alert_id": alert_id, "note": "mine"}
    again.command(7, "acknowledge", **ack)
    again.owned.applied[COMMANDS] = -1  # a crash: the row reached the changelog, this didn't
    again.command(7, "acknowledge", **ack)
    assert again.owned.rows["attic"].packed(1) == before
    assert [event["acked"] for event in again.told] == [False, True, False]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"device_id": "cellar", "alert_id": "a"}, None),
        ({"device_id": "attic", "alert_id": "a"}, None),
        ({"device_id": "attic"}, "bad_command"),
        ({"device_id": "attic", "alert_id": 5}, "bad_command"),
        ({"device_id": "attic", "alert_id": "a", "by": ""}, "bad_command"),
        ({"device_id": "attic", "alert_id": "a", "note": "x" * 1_001}, "bad_command"),
        ({"device_id": "attic", "alert_id": "a", "what": 1}, "bad_command"),
        ({"device_id": "attic", "alert_id": "a", "at": "2026-11-22T10:00:00"}, "bad_command"),
        ({"command": "explode"}, "bad_command"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_counted_and_changes_nothing(
    house: House, fields: dict[str, Any], reason: str | None
) -> None:
    house.feed(reading(0, temperature=36))
    before, counted = house.owned.rows["attic"].packed(1), refused(reason or "bad_command")
    kind = fields.get("command", "acknowledge")
    house.command(0, **{**fields, "kind": kind})
    assert house.owned.rows["attic"].packed(1) == before
    assert refused(reason or "bad_command") == counted + (reason is not None)
    assert house.owned.applied[COMMANDS] == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"{", "not_json"),
        (b"[" * 10_000, "bad_command"),
        (b"[]", "bad_command"),
        (b"{}", "bad_command"),
        (b" " * 20_000, "too_large"),
    ],
)
def test_bytes_that_are_no_command_stop_nothing(
    house: House, value: bytes | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    counted = refused(reason)
    logging.getLogger("agents.commands").propagate = True
    with caplog.at_level(logging.WARNING, "agents.commands"):
        house.raw(0, value)
        house.raw(1, value)
    assert refused(reason) == counted + 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # the first of its kind
    house.silence(2)
    assert len(house.owned.silences) == 1


def test_an_alert_under_a_silence_says_so_and_its_resolution_does_not(house: House) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36), reading(1, temperature=20, at=T0 + 1))
    assert house.steps == [("fired", "s1"), ("resolved", None)]
    assert house.owned.silences.marked == set()


def test_a_silence_that_is_not_read_again_yet_holds_what_it_held_before_the_crash(
    house: House,
) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36))
    again = house.restarted(in_the_middle=True)
    assert len(again.owned.silences) == 0
    again.judge.settle(again.owned, again.owned.rows["attic"], T0 + 50)
    assert again.steps == [("fired", "s1")]
    again.silence(0)
    again.check(0, 130)
    assert again.steps == [("fired", "s1"), ("updated", None)]
    assert again.told[1]["timestamp"] == iso(T0 + 100)


def test_a_silence_ends_by_itself_at_its_time_also_after_a_restart(house: House) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36))
    again = house.restarted()
    row = again.owned.rows["attic"]
    assert [silence.id for silence in again.owned.silences] == ["s1"]
    assert due(again.judge.engine, again.owned, row) == T0 + 100
    again.judge.take_up(again.owned)
    assert not again.judge.adopt_some(again.owned)
    assert row.due == T0 + 100
    again.check(0, 99)
    assert again.steps == [("fired", "s1")]
    again.check(1, 130)
    assert again.steps == [("fired", "s1"), ("updated", None)]
    assert (again.told[1]["reason"], again.told[1]["timestamp"]) == ("unsuppressed", iso(T0 + 100))
    done(forget_the_past(again.judge.engine, again.owned, again.owned.horizon()))
    assert len(again.owned.silences) == 0


def test_a_silence_that_is_over_is_kept_until_its_alerts_are_let_out(house: House) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36))
    done(forget_the_past(house.judge.engine, house.owned, T0 + 200))
    assert len(house.owned.silences) == 1


def test_a_silence_that_is_ended_early_lets_its_alerts_out_at_once(house: House) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36), reading(1, temperature=36, at=T0 + 5))
    house.command(1, "unsilence", silence_id="s1")
    house.command(2, "unsilence", silence_id="s1")
    assert house.steps == [("fired", "s1"), ("updated", None)]
    assert (house.told[1]["reason"], house.told[1]["timestamp"]) == ("unsuppressed", iso(T0 + 5))
    assert len(house.owned.silences) == 0
    house.feed(reading(2, temperature=20, at=T0 + 6), reading(3, temperature=36, at=T0 + 7))
    assert house.steps[-1] == ("fired", None)


MANY = [name for n in range(16 * TOLD) if home_of(name := f"d{n}", 8) == HOME][: TOLD + 1]


def ending_for_many(house: House) -> Iterator[None]:
    """A silence over more devices than are told at once: told are all but one."""
    house.silence(0)
    house.feed(*(reading(n, name, temperature=36) for n, name in enumerate(MANY)))
    record: Any = Record(1, command("unsilence", silence_id="s1"))
    steps = house.commands.take(house.owned, record)
    next(steps)
    return steps


def test_the_event_loop_may_turn_while_a_silence_ends_and_all_are_told_once(house: House) -> None:
    steps = ending_for_many(house)
    (last,) = house.owned.silences.marked
    house.feed(reading(len(MANY), last, temperature=20, at=T0 + 5))
    assert done(steps) == 0
    assert house.steps_of(last) == [("fired", "s1"), ("updated", None), ("resolved", None)]
    assert {len(house.steps_of(name)) for name in MANY if name != last} == {2}
    assert len(house.owned.silences) == 0


def test_the_end_of_a_silence_goes_on_with_who_owns_the_devices_next(house: House) -> None:
    steps = ending_for_many(house)
    house.owned.closed = True
    assert done(steps) == 0
    (last,) = house.owned.silences.marked
    again = house.restarted()
    row = again.owned.rows[last]
    assert due(again.judge.engine, again.owned, row) <= again.owned.horizon()
    again.judge.settle(again.owned, row, again.owned.horizon())
    assert again.steps_of(last) == [("fired", "s1"), ("updated", None)]


def test_a_silence_that_was_ended_before_it_began_stops_no_restart(house: House) -> None:
    house.silence(0)
    house.feed(reading(0, temperature=36))
    house.owned.silences.get("s1").ends_at = T0 - 1.0  # type: ignore[union-attr]
    assert [silence.ends_at for silence in house.restarted().owned.silences] == [T0 - 1.0]


def test_silences_are_remembered_once_each_and_refused_beyond_their_bound(house: House) -> None:
    counted = refused("too_many_silences")
    house.silence(0)
    house.silence(1)
    for number in range(AT_MOST):
        house.silence(2 + number, f"s-{number}")
    assert len(house.owned.silences) == AT_MOST
    assert refused("too_many_silences") == counted + 1
    again = House()
    again.owned.read(decode(house.owned.packed()))
    assert [s.id for s in again.owned.silences] == [s.id for s in house.owned.silences]


def test_a_silence_that_cannot_be_meant_is_refused(house: House) -> None:
    counted = refused("bad_silence")
    house.silence(0, severity="awful")
    house.silence(1, ends=400 * 86_400)
    house.silence(2, ends=-1)
    assert refused("bad_silence") == counted + 3
    assert len(house.owned.silences) == 0


def test_what_fell_due_before_an_acknowledgement_is_told_before_it(house: House) -> None:
    house.feed(
        reading(0, temperature=36), *(reading(n, at=T0 + n, temperature=36) for n in (1, 2, 3))
    )
    house.owned.clock.live = house.owned.clock.watching = True
    house.owned.reached = T0 + 600
    house.acknowledge(0)
    assert [event["event"] for event in house.told] == ["fired", "fired", "updated", "acked"]
    assert house.told[3]["timestamp"] == iso(T0 + 600)


@pytest.mark.parametrize("fields", [{"battery": 2}, {"temperature": 99}, {}])
def test_who_sees_the_acknowledgement_alone_still_sees_what_is_wrong(
    house: House, fields: dict[str, float]
) -> None:
    usual = {"temperature": 20, **fields}
    house.feed(*(reading(n, at=T0 + n, **usual) for n in range(5)))
    if not fields:
        house.check(0, 3_600)
    house.acknowledge(0)
    fired, acked = house.told
    assert acked["event"] == "acked"
    assert acked["title"] == fired["title"]
    assert acked["message"] == fired["message"] + ", acknowledged by ada: mine"


def test_a_recreated_topic_of_commands_is_read_from_its_beginning(house: House) -> None:
    house.silence(9)
    house.owned.forget_offsets(COMMANDS)
    house.silence(0, "s2")
    assert [silence.id for silence in house.owned.silences] == ["s1", "s2"]


def test_a_silence_that_is_over_is_kept_while_something_due_under_it_is_not_told(
    house: House,
) -> None:
    house.silence(0)
    house.feed(*(reading(n, at=T0 + n, temperature=20) for n in range(4)))  # silent from 63
    house.feed(reading(4, NEIGHBOUR, at=T0 + 1_000, temperature=20))
    done(forget_the_past(house.judge.engine, house.owned, house.owned.horizon()))
    assert len(house.owned.silences) == 1
    house.feed(reading(5, at=T0 + 1_000, temperature=20))
    assert house.steps == [("fired", "s1"), ("updated", None), ("resolved", None)]
    done(forget_the_past(house.judge.engine, house.owned, house.owned.horizon()))
    assert len(house.owned.silences) == 0


def test_a_clock_that_stands_still_keeps_no_room_from_a_new_silence(house: House) -> None:
    for number in range(AT_MOST):
        house.silence(number, f"s-{number}")
    value = {
        "command": "silence", "command_id": "c", "by": "ada", "at": iso(T0), "device": "*",
        "silence_id": "new", "starts_at": iso(T0), "ends_at": iso(T0 + 900),
    }  # fmt: skip
    late = Record(AT_MOST, json.dumps(value).encode(), timestamp=(T0 + 200) * 1000)
    done(house.commands.take(house.owned, late))
    assert [silence.id for silence in house.owned.silences] == ["new"]
