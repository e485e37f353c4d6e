"""What is said in; who is told what, in which turn and in how many writes, out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any

import pytest

from pipeline.eventloop import Loop
from pipeline.web import audience as module
from pipeline.web.alerts import Alert, Wanted
from pipeline.web.audience import MOST, SLICE, Audience, Said, Watching, nothing
from pipeline.web.viewer import TRY_AGAIN_LATER, Viewer
from tests.pipeline.web.alert_log import event


class Listening(Viewer):
    """A viewer without a line, which keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.writes: list[bytes] = []

    @property
    def told(self) -> bytes:
        return b"".join(self.writes)

    def put(self, frames: Sequence[bytes], joined: bytes) -> None:
        assert joined == b"".join(frames)
        if frames:
            self.writes.append(joined)


def come(audience: Audience, number: int, wanted: Wanted | None = None) -> list[Watching]:
    all_of_them = [Watching(audience, Listening(), wanted or EVERYTHING) for _ in range(number)]
    for one in all_of_them:
        one.__enter__()
    return all_of_them


def told(watching: Sequence[Watching]) -> list[bytes]:
    return [one.viewer.told for one in watching if isinstance(one.viewer, Listening)]


def writes(watching: Sequence[Watching]) -> list[list[bytes]]:
    return [one.viewer.writes for one in watching if isinstance(one.viewer, Listening)]


def an(event_of_it: bytes, told: Callable[[], None] = nothing, **changes: Any) -> Said:
    alert = Alert.of(json.dumps(event(**changes)).encode())
    return Said(event_of_it, alert, told)


@asynccontextmanager
async def telling(audience: Audience) -> AsyncIterator[None]:
    """Here, on asyncio's own loop, each slice has a turn."""
    task = asyncio.create_task(audience.tell())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


EVERYTHING, HOT, COLD = Wanted(), Wanted(rule="temperature-high"), Wanted(rule="temperature-low")


async def test_what_comes_while_a_round_is_under_way_goes_along_with_it_in_one_write() -> None:
    audience = Audience()
    first, then = come(audience, SLICE), come(audience, 2 * SLICE)
    async with telling(audience):
        audience.say(an(b"a"))
        await turns(1)
        audience.say(an(b"b"), an(b"c"))
        await turns(3)
        assert writes(first) == [[b"a", b"bc"]] * len(first)
        assert writes(then) == [[b"abc"]] * len(then)


async def test_where_more_is_said_than_can_be_told_everyone_has_it_a_round_later() -> None:
    audience, late = Audience(), list[int]()
    come(audience, 4 * SLICE)

    def note(said_in: int) -> None:
        late.append(turn - said_in)

    async with telling(audience):
        for turn in range(40):  # an event a slice
            audience.say(an(b".", partial(note, turn)))
            await turns(1)
    assert len(late) >= 35
    assert max(late) <= 4


async def test_who_comes_while_an_event_goes_out_isnt_told_it_again() -> None:
    audience = Audience()
    early = come(audience, SLICE + 1)
    async with telling(audience):
        audience.say(an(b"a"))
        late = come(audience, 1)  # they have the event with their welcome: the cursor has moved
        await turns(1)  # a slice goes out
        late += come(audience, 1)
        await turns(2)
        audience.say(an(b"b"))
        await turns(2)
    assert told(early) == [b"ab"] * len(early)
    assert told(late) == [b"b", b"b"]


async def test_each_is_told_what_it_wants_and_everybody_what_is_for_all() -> None:
    audience = Audience()
    everything, hot, cold = (come(audience, 2, wanted) for wanted in (EVERYTHING, HOT, COLD))
    async with telling(audience):
        audience.say(an(b"hot"), an(b"cold", rule="temperature-low"), Said(b"ping"))
        await turns(1)
    assert [told(some) for some in (everything, hot, cold)] == [
        [b"hotcoldping"] * 2, [b"hotping"] * 2, [b"coldping"] * 2
    ]  # fmt: skip


async def test_what_a_backlog_has_told_isnt_told_again() -> None:
    audience = Audience()
    (one,) = come(audience, 1)
    one.viewer.covered = {"a1": 2}
    async with telling(audience):
        for seq in (1, 2, 3):
            audience.say(an(b"%d" % seq, seq=seq), Said(b"."))
        await turns(1)
        audience.say(an(b"again", seq=1))  # it isn't remembered for ever
        await turns(1)
    assert told([one]) == [b"..3.again"]


async def test_who_left_isnt_held_until_the_last_viewer_has_been_told() -> None:
    audience = Audience()
    there = come(audience, 4 * SLICE)
    async with telling(audience):
        audience.say(an(b"a"))
        await turns(2)
        alive = Viewer.alive
        for one in there[: 3 * SLICE]:
            one.__exit__()
        del one, there[: 3 * SLICE]
        await turns(1)
        assert Viewer.alive == alive - 3 * SLICE
        await turns(1)
    assert told(there) == [b"a"] * SLICE


async def test_slices_that_many_have_left_become_one() -> None:
    audience = Audience()
    there = come(audience, 10 * SLICE)
    stay = there[::SLICE]
    for one in {*there} - {*stay}:
        one.__exit__()
    assert len({one.row for one in stay}) == 10
    async with telling(audience):
        audience.say(an(b"a"))
        await turns(1)
    assert told(stay) == [b"a"] * 10
    assert len({one.row for one in stay}) == 1


@pytest.mark.parametrize("seed", range(20))
async def test_everyone_is_told_what_it_wants_of_all_that_is_said_while_it_is_there(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 5)
    chance, audience, number = random.Random(seed), Audience(), 0
    due: dict[Watching, list[bytes]] = {}
    gone: list[tuple[Watching, list[bytes]]] = []
    ends = list[int]()
    async with telling(audience):
        for _ in range(500):
            match chance.randrange(5):
                case 0 | 1:
                    wanted = chance.choice((EVERYTHING, EVERYTHING, HOT, COLD))
                    due |= {one: [] for one in come(audience, chance.randrange(8), wanted)}
                case 2 if due:
                    for one in chance.sample([*due], len(due) // chance.choice((1, 2, 20))):
                        one.__exit__()
                        gone.append((one, due.pop(one)))
                case 3:
                    number += 1
                    rule = chance.choice(("temperature-high", "temperature-low"))
                    audience.say(an(b"%d." % number, partial(ends.append, number), rule=rule))
                    for one, frames in due.items():
                        frames += [b"%d." % number] * (one.wanted.rule in ("", rule))
                case _:
                    await turns(chance.randrange(4))
        await turns(len(due) + 5)
    assert ends == [*range(1, number + 1)]
    assert told([*due]) == [b"".join(frames) for frames in due.values()]
    for one, frames in gone:
        assert b"".join(frames).startswith(told([one])[0])


async def test_who_says_more_than_is_told_has_to_wait() -> None:
    audience, ends = Audience(), list[bytes]()
    come(audience, 2 * SLICE)
    audience.say(*[an(b"a", lambda: ends.append(b"a"))] * MOST)
    waiting = asyncio.create_task(audience.room())
    await turns(2)
    assert not waiting.done()
    async with telling(audience):
        await turns(1)
        assert (waiting.done(), ends) == (False, [])
        await asyncio.wait_for(waiting, 1)
        assert ends == [b"a"] * MOST
    await audience.room()


async def test_where_nobody_watches_there_is_always_room() -> None:
    audience = Audience()
    async with telling(audience):
        for _ in range(3):
            audience.say(*[an(b"a")] * MOST)
            await asyncio.wait_for(audience.room(), 1)


@pytest.mark.parametrize(
    ("rule", "stays"), [("temperature-", True), ("humidity-", True), ("temperature-", False)]
)
async def test_viewers_each_with_a_wish_of_its_own_are_looked_at_in_slices(
    rule: str, stays: bool
) -> None:
    audience, over = Audience(), asyncio.Event()
    for number in range(4 * SLICE):
        (one,) = come(audience, 1, Wanted(rule=f"{rule}{'*' * number}"))
        if not stays:
            one.__exit__()
    async with telling(audience):
        audience.say(an(b"a", over.set))
        await turns(3)
        assert not over.is_set()
        await turns(1)
        assert over.is_set()


def test_what_a_worker_has_to_do_meanwhile_doesnt_wait_for_every_slice_of_viewers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TURNS", 60.0)

    async def told_meanwhile() -> int:
        audience = Audience()
        there = come(audience, 4 * SLICE)
        async with telling(audience):
            audience.say(an(b"a"))
            await turns(100)  # steps of a worker, between which it waits for nothing
            return len([one for one in told(there) if one])

    with closing(Loop()) as loop:
        assert loop.run_until_complete(told_meanwhile()) == SLICE


async def test_who_can_not_be_told_is_sent_away_to_come_back_and_all_others_are_told() -> None:
    class Broken(Listening):
        def put(self, frames: Sequence[bytes], joined: bytes) -> None:
            raise RuntimeError("a fault of ours")

    audience = Audience()
    beside, other = come(audience, 1, HOT), come(audience, 1, EVERYTHING)
    Watching(audience, Broken(), HOT).__enter__()
    async with telling(audience):
        audience.say(an(b"hot"))
        await turns(5)
        audience.say(an(b" again"))
        await turns(5)
    assert beside[0].viewer.code == TRY_AGAIN_LATER
    assert told(other) == [b"hot again"]
    assert other[0].viewer.code is None
