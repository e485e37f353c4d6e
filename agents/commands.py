"""Commands at their partition in; acknowledged alerts, silences begun and ended, rules read anew,
out.

A command carries a time for people to read; where it takes effect is decided here, where it is
read: after what fell due up to the partition's horizon, as for a check. A wrong one is counted with
its reason, written to the log the first time, and stops nothing.

No `await`, as in the `judge`; but the end of a silence concerns as many devices as it held, so this
is done in steps, and between two of them the event loop may turn. Who is told of an end in between,
by a reading or a check, is told the same; and so are the rest where the partition is given away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final

from aiokafka import ConsumerRecord

from agents.checks import NEVER, due
from agents.judge import Judge
from pipeline import metrics
from pipeline.commands import Acknowledge, Command, Quiet, Refused, Reload, Unsilence, decode
from pipeline.rules.engine import Engine
from pipeline.rules.silence import AT_MOST, Full, Silence
from tables.partition import COMMANDS, Partition

log = logging.getLogger(__name__)

# devices between two turns of the event loop that may be told an end, and that are only looked at
TOLD: Final = 200
LOOKED_AT: Final = 20_000

Steps = Generator[None, None, bool]


class Commands:
    """Carries them out. `reload` is told the id of a command to read the rules anew."""

    def __init__(self, judge: Judge, reload: Callable[[str], bool]) -> None:
        self._judge = judge
        self._reload = reload
        self._told: set[str] = set()  # reasons that the log has

    def take(self, partition: Partition, record: ConsumerRecord) -> Iterator[None]:
        """Carry it out, once, step by step."""
        if record.offset <= partition.applied[COMMANDS]:
            return
        partition.applied[COMMANDS] = record.offset
        try:
            command = decode(record.value)
            changed = yield from self._carry_out(partition, command, record)
        except Refused as refused:
            self._refuse(partition, record, refused)
        except Exception:
            log.exception("our core failed on a command")
            metrics.COMMANDS_REFUSED.labels("core_error").inc()
        else:
            kind = str(command.__struct_config__.tag)
            metrics.COMMANDS.labels(kind, "applied" if changed else "unchanged").inc()

    def _carry_out(self, partition: Partition, command: Command, record: ConsumerRecord) -> Steps:
        if isinstance(command, Acknowledge):
            return self._acknowledge(partition, command, record.offset)
        if isinstance(command, Quiet):
            return (yield from self._silence(partition, command, record.timestamp / 1000))
        if isinstance(command, Reload):
            return self._reload(command.command_id)
        return (yield from self._unsilence(partition, command))

    def _acknowledge(self, partition: Partition, command: Acknowledge, offset: int) -> bool:
        row = partition.known(command.device_id)
        if row is None or offset <= row.applied_command:
            return False
        judge = self._judge
        judge.settle(partition, row, partition.horizon())
        events = judge.engine.acknowledge(
            row.device, command.alert_id, command.by, command.note, partition.now()
        )
        if events:
            row.applied_command = offset
            partition.silences.mark(row.device, events)
            judge.changed(partition, row, events)
        return bool(events)

    def _silence(self, partition: Partition, command: Quiet, sent_at: float) -> Steps:
        engine = self._judge.engine
        yield from forget_the_past(engine, partition, partition.horizon())
        if len(partition.silences) >= AT_MOST:  # a clock that stands still ends none
            yield from forget_the_past(engine, partition, sent_at)
        try:
            silence = command.silence()
            added = partition.silences.add(silence)
        except ValueError as error:
            raise Refused("bad_silence", str(error)) from None
        except Full:
            raise Refused("too_many_silences", f"{len(partition.silences)} hold here") from None
        self._judge.wake()  # so that it is seen soon
        return added

    def _unsilence(self, partition: Partition, command: Unsilence) -> Steps:
        silences = partition.silences
        silence = silences.get(command.silence_id)
        if silence is None:
            return False
        silence.ends_at = min(silence.ends_at, partition.now())
        for number, device_id in enumerate(list(silences.marked), 1):
            self._let_out(partition, device_id, silence)
            if number % TOLD == 0:
                yield
                if partition.closed:  # the others are due: whoever owns them finds that
                    return True
        yield from forget_the_past(self._judge.engine, partition, silence.ends_at)
        self._judge.wake()
        return True

    def _let_out(self, partition: Partition, device_id: str, silence: Silence) -> None:
        row = partition.known(device_id)
        if row is not None:
            self._judge.settle(partition, row, partition.horizon())
            if events := partition.silences.release(row.device, silence.ends_at):
                self._judge.changed(partition, row, events)

    def _refuse(self, partition: Partition, record: ConsumerRecord, refused: Refused) -> None:
        metrics.COMMANDS_REFUSED.labels(refused.reason).inc()
        level = logging.DEBUG if refused.reason in self._told else logging.WARNING
        self._told.add(refused.reason)
        where = (partition.number, record.offset)
        log.log(level, "a command (partition %d, offset %d) is refused: %s", *where, refused)


def forget_the_past(engine: Engine, partition: Partition, upto: float) -> Iterator[None]:
    """Silences that are over are dropped, but those whose end has to be told, or that hold what is
    due and not told yet. Step by step, too."""
    over = partition.silences.over(upto)
    if over and (yield from _unheld(partition, over)):
        untold = yield from _first_due(engine, partition)  # goes through all rows: once, as a rule
        past = [silence for silence in over if silence.ends_at <= untold]
        for silence in (yield from _unheld(partition, past)):  # nothing comes under them any more
            if partition.silences.get(silence.id) is silence:
                partition.silences.remove(silence.id)


def _unheld(partition: Partition, over: Iterable[Silence]) -> Generator[None, None, list[Silence]]:
    """Those that no open alert is under."""
    left = {silence.id: silence for silence in over}
    for number, device_id in enumerate(list(partition.silences.marked), 1):
        row = partition.known(device_id)
        for episode in row.device.open_alerts() if row else ():
            left.pop(episode.silenced_by or "", None)
        if not left:
            break
        if number % LOOKED_AT == 0:
            yield
    return list(left.values())


def _first_due(engine: Engine, partition: Partition) -> Generator[None, None, float]:
    """When the first of what could be told by now, and hasn't been, fell due; inf for nothing."""
    horizon = partition.horizon()
    first = NEVER
    for number, row in enumerate(list(partition.rows.values()), 1):
        device = row.device
        if device.last_seen + engine.calm <= horizon or (device.alerts and device.alerts.open):
            first = min(first, due(engine, partition, row))
        if number % LOOKED_AT == 0:
            yield
    return first if first <= horizon else NEVER
