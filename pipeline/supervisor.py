"""Commands in; running children out, started in order, restarted when they die, ended with us.

Linux only: that no child outlives us, not even after `kill -9` of this process, rests on
prctl(PR_SET_PDEATHSIG), which other systems don't have.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import IO

Say = Callable[[str], None]

LONGEST_LINE = 1 << 16  # of a child's output; asyncio holds at most twice that
ASK_EVERY = 0.1  # seconds between two questions whether a child is ready
SAY_EVERY = 2.0  # seconds between two lines about a child that isn't
PR_SET_PDEATHSIG = 1


def tied_to_this_process() -> Callable[[], None]:
    """A `preexec_fn`: the kernel kills the child once the thread that started it is gone.

    So start children from the main thread. It reaches the child, not what the child starts.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        if prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:  # it died before the line above: no signal will come
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


class GivenUp(Exception):
    """A child has ended that must not be started again; the text says which, how and why not."""


async def at_once() -> bool:
    """Ready as soon as it is started."""
    return True


@dataclass(frozen=True)
class Child:
    """What to run, how to know that it works, and how long it may take to end."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    cwd: str | os.PathLike[str]
    stop_within: float  # seconds from SIGTERM to SIGKILL
    ready: Callable[[], Awaitable[bool]] = at_once
    waited_for: float = inf  # seconds until those after it are started though it isn't ready
    keep_open: Sequence[int] = ()  # descriptors it inherits, such as a lock that it shares
    # Asked when it has died: why it can't be started again, which ends all the others too.
    hopeless: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Pauses:
    """Seconds before a dead child is started again: doubling, until it has been well for long."""

    first: float = 0.5
    longest: float = 30.0
    forgotten_after: float = 60.0

    def after(self, last: float, lived: float) -> float:
        fresh = last == 0 or lived >= self.forgotten_after
        return self.first if fresh else min(2 * last, self.longest)


@dataclass
class Supervisor:
    """Runs the children until SIGINT, SIGTERM or SIGHUP: each one after the one before is ready, or
    has been waited for; all of them ended in reverse order."""

    children: Sequence[Child]
    say: Say
    pauses: Pauses = field(default_factory=Pauses)

    async def run(self, when_ready: Callable[[], None]) -> None:
        """Returns after a signal; GivenUp, once all have ended, after a death without hope."""
        given_up: list[str] = []
        with _stop_signals() as stop:

            def give_up(why: str) -> None:
                given_up.append(why)
                stop.set()

            async with asyncio.TaskGroup() as tasks:
                keepers: list[_Keeper] = []
                for child in self.children:
                    keeper = _Keeper(child, self.say, self.pauses, give_up)
                    keepers.append(keeper)
                    tasks.create_task(keeper.run(), name=f"keep {child.name}")
                    if not await self._until_ready(child, stop):
                        break
                else:
                    when_ready()
                await stop.wait()
                for keeper in reversed(keepers):
                    await keeper.stop()
        if given_up:
            raise GivenUp(given_up[0])

    async def _until_ready(self, child: Child, stop: asyncio.Event) -> bool:
        started = said = monotonic()
        self.say(f"starting {child.name}…")
        while not stop.is_set():
            if await child.ready():
                self.say(f"{child.name} is ready after {monotonic() - started:.1f} s")
                return True
            if monotonic() - started >= child.waited_for:
                self.say(f"{child.name} isn't ready yet; the others don't wait")
                return True
            if monotonic() - said >= SAY_EVERY:
                said = monotonic()
                self.say(f"starting {child.name}… {said - started:.1f} s")
            await _set_within(stop, ASK_EVERY)
        return False


class _Keeper:
    """One child's life: started, its lines passed on, started again whenever it has died."""

    def __init__(self, child: Child, say: Say, pauses: Pauses, give_up: Say) -> None:
        self._child = child
        self._give_up = give_up
        self._say = say
        self._pauses = pauses
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()

    async def stop(self) -> None:
        """Ends the child, within its `stop_within`."""
        self._stop.set()
        await self._ended.wait()

    async def run(self) -> None:
        pause = 0.0
        try:
            while not self._stop.is_set():
                started = monotonic()
                how = await self._live()
                if self._stop.is_set():
                    return
                if why := self._child.hopeless():
                    self._give_up(f"{self._child.name} {how}: {why}")
                    return
                pause = self._pauses.after(pause, monotonic() - started)
                self._say(f"{self._child.name} {how}; starting it again in {pause:g} s")
                await _set_within(self._stop, pause)
        finally:
            self._ended.set()

    async def _live(self) -> str:
        """From start to end; how it ended, in words."""
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as output:
            try:
                process = await self._spawn(write_end)
            except OSError as error:
                return f"can't be started ({error})"
            finally:
                os.close(write_end)
            try:
                async with _relaying(output, self._pass_on):
                    return _how(await self._until_over(process))
            finally:
                _kill(process)

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        # A pipe of our own, since asyncio's wait() also waits until nobody holds its pipes; and a
        # session of its own, so that a terminal's Ctrl-C reaches us alone and the order is kept.
        return await asyncio.create_subprocess_exec(
            *self._child.command,
            env=dict(self._child.environment),
            cwd=self._child.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(self._child.keep_open),
            start_new_session=True,
            preexec_fn=tied_to_this_process(),
        )

    async def _until_over(self, process: asyncio.subprocess.Process) -> int:
        over = asyncio.create_task(process.wait())
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({over, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await asyncio.wait({over}, timeout=self._child.stop_within)
            if not over.done():
                self._say(f"{self._child.name} didn't end in {self._child.stop_within:g} s: killed")
                _kill(process)
            return await over
        finally:
            over.cancel()
            stop.cancel()

    def _pass_on(self, line: str) -> None:
        is_for_machines = line.startswith("{")  # which must get it as it is
        self._say(line if is_for_machines else f"{self._child.name} | {line}")


@contextlib.contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in wanted:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _relaying(output: IO[bytes], pass_on: Say) -> AsyncIterator[None]:
    """Passes lines on until the block is left and what was already written is read."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), output
    )
    relay = asyncio.create_task(_relay(reader, pass_on))
    try:
        yield
        await asyncio.wait({relay}, timeout=1.0)  # whoever else holds the pipe isn't waited for
    finally:
        relay.cancel()
        transport.close()


async def _relay(reader: asyncio.StreamReader, pass_on: Say) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            pass_on(f"(more than {LONGEST_LINE} bytes without a line's end left out)")
            continue
        if not line:
            return
        pass_on(line.decode(errors="replace").rstrip())


def _kill(process: asyncio.subprocess.Process) -> None:
    """SIGKILL to the child and whatever it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _how(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
