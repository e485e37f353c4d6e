"""How many sockets have a turn of the event loop, and which."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, EpollSelector
from subprocess import run
from typing import Any

import pytest

from pipeline.eventloop import A_TURN, Loop, Turns, give_way
from tests.pipeline.cli.test_web import certificate

MANY = 3 * A_TURN
LONG = 60.0  # seconds


@pytest.fixture
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop


class Crowd:
    """Sockets that have something to read, and never read it; how often each had its turn."""

    def __init__(self, loop: Loop, size: int) -> None:
        self.loop = loop
        self.turns: Counter[int] = Counter()
        self.in_a_turn: list[int] = [0]
        self._stack = ExitStack()
        for number in range(size):
            near, far = socket.socketpair()
            self._stack.enter_context(closing(near))
            self._stack.enter_context(closing(far))
            far.send(b".")
            loop.add_reader(near.fileno(), self._count, number)

    def _count(self, number: int) -> None:
        self.turns[number] += 1
        self.in_a_turn[-1] += 1

    async def watch(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
            self.in_a_turn.append(0)

    def close(self) -> None:
        self._stack.close()


class Told(asyncio.Protocol):
    """A connection that says what it heard in which turn of the crowd."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.heard_in: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.heard_in.append(len(self.crowd.in_a_turn))


def test_so_many_sockets_have_a_turn_and_none_of_them_waits_for_ever(loop: Loop) -> None:
    with closing(Crowd(loop, MANY)) as crowd:
        loop.run_until_complete(crowd.watch(10))
        assert max(crowd.in_a_turn[:-1]) == A_TURN
        assert len(crowd.turns) == MANY
        assert max(crowd.turns.values()) - min(crowd.turns.values()) <= 1


def test_a_connection_that_we_opened_has_every_turn(loop: Loop) -> None:
    async def heard(crowd: Crowd) -> list[int]:
        near, far = socket.socketpair()
        with far:
            transport, told = await loop.create_connection(lambda: Told(crowd), sock=near)
            for paused in (False, True):  # then it has been registered anew
                if paused:
                    transport.pause_reading()
                    transport.resume_reading()
                begin = len(crowd.in_a_turn)
                far.send(b"of Kafka")
                await crowd.watch(10)
                told.heard_in.append(-begin)
            transport.abort()
            await asyncio.sleep(0)
            heard: list[int] = told.heard_in
            return heard

    with closing(Crowd(loop, 20 * A_TURN)) as crowd:
        first, began, again, began_again = loop.run_until_complete(heard(crowd))
        assert (first + began, again + began_again) <= (2, 2)


def test_the_number_of_a_connection_that_was_closed_is_nobodys() -> None:
    with ExitStack() as stack, closing(Turns()) as turns:
        pairs = [socket.socketpair() for _ in range(MANY)]
        for pair in pairs:
            for one in pair:
                stack.enter_context(closing(one))
            pair[1].send(b".")
        ours, ready = pairs.pop(), pairs.pop()
        turns.register(ours[0], EVENT_READ)
        turns.prefer(ours[0])
        number = ours[0].fileno()
        assert [key.fd for key, _ in turns.select(0)] == [number]
        turns.unregister(ours[0])
        ours[0].close()
        os.dup2(ready[0].fileno(), number)
        for other, _ in pairs:
            turns.register(other, EVENT_READ)
        turns.register(number, EVENT_READ)
        seen = Counter(key.fd for _ in range(3) for key, _ in turns.select(0))
        assert seen[number] == 1
        assert seen.total() == 3 * A_TURN
        turns.unregister(number)
        os.close(number)


@pytest.mark.parametrize("seed", range(5))
def test_it_says_what_a_selector_of_pythons_says(seed: int) -> None:
    chance = random.Random(seed)
    with ExitStack() as stack, closing(Turns()) as turns, closing(EpollSelector()) as python:
        sockets = [one for _ in range(10) for one in socket.socketpair()]
        for one in sockets:
            stack.enter_context(closing(one))
            one.setblocking(False)
        for _ in range(500):
            one = chance.choice(sockets)
            match chance.randrange(4):
                case 0:
                    one.send(b".")
                case 1:
                    with suppress(BlockingIOError):
                        one.recv(100)
                case 2:
                    turns.prefer(one)
                case _:
                    how, events = chance.choice(CHANGES), chance.choice(EVENTS)
                    assert changed(turns, how, one, events) == changed(python, how, one, events)
            assert ready(turns) == ready(python)
            for found in (turns.get_map(), python.get_map()):
                assert (one in found) == (found.get(one) is not None)
            assert {*turns.get_map().values()} == {*python.get_map().values()}


CHANGES = ("register", "register", "modify", "unregister")
EVENTS = (EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE)


def changed(selector: BaseSelector, how: str, one: socket.socket, events: int) -> Any:
    """What it answers."""
    more = () if how == "unregister" else (events, "data")
    try:
        return getattr(selector, how)(one, *more)
    except KeyError:
        return KeyError


def ready(selector: BaseSelector) -> set[tuple[int, int]]:
    return {(key.fd, events) for key, events in selector.select(0)}


def test_a_socket_that_was_closed_before_it_was_unregistered_is_forgotten() -> None:
    near, far = socket.socketpair()
    with far, closing(Turns()) as turns:
        turns.register(number := near.fileno(), EVENT_READ)
        near.close()
        assert turns.unregister(number).fd == number
        assert not turns.get_map()
        assert turns.select(0.001) == []


@pytest.mark.parametrize("secured", [False, True])
def test_a_connection_that_is_over_needs_not_be_looked_for(
    loop: Loop, secured: bool, tmp_path: Path
) -> None:
    here, there = contexts(tmp_path) if secured else (None, None)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=here)
        port = server.sockets[0].getsockname()[1]
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=there)
            writer.write(b"question")
            assert await reader.read() == b"question"
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)

    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        loop.run_until_complete(ask())
        gc.collect()
        assert [one for one in gc.garbage if isinstance(one, asyncio.Transport)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def steps(number: int) -> None:
    """Each in a turn of its own, as what a worker does from a reading to its alert."""
    for _ in range(number):
        await asyncio.sleep(0)


def test_who_gives_way_goes_on_once_nobody_else_has_anything_to_do(loop: Loop) -> None:
    async def slices() -> int:
        others, number = [loop.create_task(steps(100)) for _ in range(3)], 0
        while not all(one.done() for one in others):
            number += 1
            await give_way(LONG)
        return number

    assert loop.run_until_complete(slices()) == 1


@pytest.mark.parametrize("at_most", [0.0, 0.02])
def test_who_gives_way_goes_on_though_others_are_never_done(loop: Loop, at_most: float) -> None:
    async def given() -> float:
        others = loop.create_task(steps(1 << 60))
        began = loop.time()
        await give_way(at_most)
        others.cancel()
        return loop.time() - began

    assert at_most <= loop.run_until_complete(given()) < LONG


def test_those_who_give_way_dont_wait_for_each_other(loop: Loop) -> None:
    async def slices() -> None:
        for _ in range(10):
            await give_way(LONG)

    async def several() -> None:
        cut_short = loop.create_task(slices())
        await asyncio.sleep(0)
        cut_short.cancel()
        await asyncio.wait_for(asyncio.gather(slices(), slices(), slices()), LONG / 2)

    loop.run_until_complete(several())


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    cert, key = certificate(folder)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=cert)
    return server, client


def test_a_worker_runs_on_it() -> None:
    code = (
        "import runpy, sys, mode\n"
        "mode.Worker.execute_from_commandline = lambda self: sys.exit(repr(self.loop))\n"
        "runpy.run_module('faust', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "-A", "pipeline.app", "worker"]
    assert "<Loop " in run(command, capture_output=True, text=True).stderr
