"""Sockets that are ready in; a turn of the event loop for our own ones and for some others out.

asyncio takes every socket that is ready in one turn: 10,000 viewers that left in the same moment
held it for up to 270 ms a turn. Here so many of those who came to us have a turn together, and the
kernel sees to it that each of them has one. Connections that we opened ourselves, above all those
to Kafka, don't queue behind them: they have every turn.

Whoever has much to do, a slice at a time, gives way to those who have little (`give_way`). From a
reading to its alert a worker takes some thirty turns: with a slice of viewers in each of them, an
alert would wait for thirty slices.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from select import EPOLLIN, EPOLLOUT, epoll
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike, HasFileno

A_TURN: Final = 10  # sockets of others: 1 ms if all of them leave, 4 ms if all of them come


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._turns = Turns()
        self._giving_way = 0
        super().__init__(self._turns)

    async def give_way(self, at_most: float) -> None:
        """Until nobody else has anything to do in this moment, or so many seconds have passed; for
        one turn at least. Those who give way don't wait for each other."""
        until = self.time() + at_most
        self._giving_way += 1
        try:
            await asyncio.sleep(0)
            while self._has_work() and self.time() < until:  # noqa: ASYNC110
                await asyncio.sleep(0)
        finally:
            self._giving_way -= 1

    def _has_work(self) -> bool:
        """Beside the one who asks, and the others of its kind, each of whom waits for a turn."""
        return len(self._ready) >= self._giving_way  # type: ignore[attr-defined]

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().create_connection(*args, **kwargs)
        if (made := transport.get_extra_info("socket")) is not None:
            self._turns.prefer(made)
        return transport, protocol

    def _remove_reader(self, fd: int) -> bool:
        """As a transport does that closes. It holds a method of its own: without that it is freed
        as soon as nobody needs it, and not when garbage is looked for."""
        removed: bool = super()._remove_reader(fd)  # type: ignore[misc]
        transport = self._transports.get(fd)  # type: ignore[attr-defined]
        if transport is not None and transport.is_closing():
            vars(transport).pop("_read_ready_cb", None)
        return removed


async def give_way(at_most: float) -> None:
    """As above; on a loop of another kind, for one turn."""
    loop = asyncio.get_running_loop()
    await (loop.give_way(at_most) if isinstance(loop, Loop) else asyncio.sleep(0))


class Turns(BaseSelector):
    """Two lists of the kernel's: `_own`, and `_others`, which stands in the first as one more."""

    def __init__(self) -> None:
        self._own, self._others = epoll(), epoll()
        self._own.register(self._others.fileno(), EPOLLIN)
        self._keys: dict[int, SelectorKey] = {}
        self._preferred: dict[int, HasFileno] = {}

    def prefer(self, made: HasFileno) -> None:
        """From now on until it is closed."""
        number = made.fileno()
        if number in self._keys:
            self._list_of(number).unregister(number)
            self._own.register(number, _bits(self._keys[number].events))
        self._preferred[number] = made

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        number = _number(fileobj)
        if number in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        self._list_of(number).register(number, _bits(events))
        return self._keep(SelectorKey(fileobj, number, events, data))

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> SelectorKey:
        key = self.get_key(fileobj)
        if events != key.events:
            self._list_of(key.fd).modify(key.fd, _bits(events))
        return self._keep(SelectorKey(key.fileobj, key.fd, events, data))

    def unregister(self, fileobj: FileDescriptorLike) -> SelectorKey:
        key = self._keys.pop(_number(fileobj))
        with suppress(OSError):  # it was closed: the kernel has forgotten it by itself
            self._list_of(key.fd).unregister(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        return list(self._ready(timeout))

    def get_key(self, fileobj: FileDescriptorLike) -> SelectorKey:
        return self._keys[_number(fileobj)]

    def get_map(self) -> Mapping[FileDescriptorLike, SelectorKey]:
        return _Registered(self._keys)

    def close(self) -> None:
        self._own.close()
        self._others.close()
        self._keys.clear()
        self._preferred.clear()

    def fileno(self) -> int:
        return self._own.fileno()

    def _ready(self, timeout: float | None) -> Iterator[tuple[SelectorKey, int]]:
        # its clock ticks milliseconds: no sooner than it was asked for
        wait = -1 if timeout is None else math.ceil(max(0.0, timeout) * 1e3) * 1e-3
        crowd = self._others.fileno()
        are_waiting = False
        for number, bits in self._own.poll(wait, len(self._preferred) + 1):
            if number == crowd:
                are_waiting = True
            elif number in self._keys:
                yield self._happened(number, bits)
        if are_waiting:
            for number, bits in self._others.poll(0, A_TURN):
                if number in self._keys:
                    yield self._happened(number, bits)

    def _happened(self, number: int, bits: int) -> tuple[SelectorKey, int]:
        key = self._keys[number]
        # an error and an end are seen by whoever waits for anything
        wrote = EVENT_WRITE if bits & ~EPOLLIN else 0
        came = EVENT_READ if bits & ~EPOLLOUT else 0
        return key, (wrote | came) & key.events

    def _keep(self, key: SelectorKey) -> SelectorKey:
        self._keys[key.fd] = key
        return key

    def _list_of(self, number: int) -> epoll:
        made = self._preferred.get(number)
        if made is None:
            return self._others
        if made.fileno() == number:
            return self._own
        del self._preferred[number]  # it was closed: the number is another's now
        return self._others


class _Registered(Mapping["FileDescriptorLike", SelectorKey]):
    def __init__(self, keys: Mapping[int, SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: FileDescriptorLike) -> SelectorKey:
        return self._keys[_number(fileobj)]

    def __iter__(self) -> Iterator[FileDescriptorLike]:
        return (key.fileobj for key in self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)


def _number(fileobj: FileDescriptorLike) -> int:
    return fileobj if isinstance(fileobj, int) else fileobj.fileno()


def _bits(events: int) -> int:
    reads = EPOLLIN if events & EVENT_READ else 0
    return reads | (EPOLLOUT if events & EVENT_WRITE else 0)
