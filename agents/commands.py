"""Commands at their partition in; acknowledged alerts, silences begun and ended, rules read anew,
out.

No `await`, as in the `judge`. A command carries a time for people to read; where it takes effect is
decided here, where it is read: after what fell due up to the partition's horizon, as for a check.
A wrong one is counted with its reason, written to the log the first time, and stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiokafka import ConsumerRecord

from agents.checks import NEVER, due
from agents.judge import Judge
from pipeline import metrics
from pipeline.commands import Acknowledge, Command, Quiet, Refused, Reload, Unsilence, decode
from pipeline.rules.engine import Engine
from pipeline.rules.silence import AT_MOST, Full
from tables.partition import COMMANDS, Partition

log = logging.getLogger(__name__)


class Commands:
    """Carries them out. `reload` is told the id of a command to read the rules anew."""

    def __init__(self, judge: Judge, reload: Callable[[str], bool]) -> None:
        self._judge = judge
        self._reload = reload
        self._told: set[str] = set()  # reasons that the log has

    def take(self, partition: Partition, record: ConsumerRecord) -> None:
        """Carry it out, once."""
        if record.offset <= partition.applied[COMMANDS]:
            return
        partition.applied[COMMANDS] = record.offset
        try:
            command = decode(record.value)
            changed = self._carry_out(partition, command, record)
        except Refused as refused:
            self._refuse(partition, record, refused)
        except Exception:
            log.exception("our core failed on a command")
            metrics.COMMANDS_REFUSED.labels("core_error").inc()
        else:
            kind = str(command.__struct_config__.tag)
            metrics.COMMANDS.labels(kind, "applied" if changed else "unchanged").inc()

    def _carry_out(self, partition: Partition, command: Command, record: ConsumerRecord) -> bool:
        if isinstance(command, Acknowledge):
            return self._acknowledge(partition, command, record.offset)
        if isinstance(command, Quiet):
            return self._silence(partition, command, record.timestamp / 1000)
        if isinstance(command, Reload):
            return self._reload(command.command_id)
        return self._unsilence(partition, command)

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

    def _silence(self, partition: Partition, command: Quiet, sent_at: float) -> bool:
        engine = self._judge.engine
        forget_the_past(engine, partition, partition.horizon())
        if len(partition.silences) >= AT_MOST:  # a clock that stands still ends none
            forget_the_past(engine, partition, sent_at)
        try:
            silence = command.silence()
            added = partition.silences.add(silence)
        except ValueError as error:
            raise Refused("bad_silence", str(error)) from None
        except Full:
            raise Refused("too_many_silences", f"{len(partition.silences)} hold here") from None
        self._judge.wake()  # so that it is seen soon
        return added

    def _unsilence(self, partition: Partition, command: Unsilence) -> bool:
        silences = partition.silences
        silence = silences.get(command.silence_id)
        if silence is None:
            return False
        silence.ends_at = min(silence.ends_at, partition.now())
        for device_id in sorted(silences.marked):
            row = partition.known(device_id)
            if row is None:
                continue
            self._judge.settle(partition, row, partition.horizon())
            if events := silences.release(row.device, silence.ends_at):
                self._judge.changed(partition, row, events)
        forget_the_past(self._judge.engine, partition, silence.ends_at)
        self._judge.wake()
        return True

    def _refuse(self, partition: Partition, record: ConsumerRecord, refused: Refused) -> None:
        metrics.COMMANDS_REFUSED.labels(refused.reason).inc()
        level = logging.DEBUG if refused.reason in self._told else logging.WARNING
        self._told.add(refused.reason)
        where = (partition.number, record.offset)
        log.log(level, "a command (partition %d, offset %d) is refused: %s", *where, refused)


def forget_the_past(engine: Engine, partition: Partition, upto: float) -> None:
    """Silences that are over are dropped, but those whose end has to be told, or that hold what is
    due and not told yet."""
    silences = partition.silences
    over = silences.over(upto)
    if not over:
        return
    held = {
        episode.silenced_by
        for row in map(partition.known, silences.marked)
        for episode in (row.device.open_alerts() if row else ())
    }
    if told := [silence for silence in over if silence.id not in held]:
        untold = _first_due(engine, partition)  # goes through all rows: once, as a rule
        for silence in told:
            if silence.ends_at <= untold:
                silences.remove(silence.id)


def _first_due(engine: Engine, partition: Partition) -> float:
    """When the first of what could be told by now, and hasn't been, fell due; inf for nothing."""
    horizon = partition.horizon()
    first = NEVER
    for row in partition.rows.values():
        device = row.device
        if device.last_seen + engine.calm <= horizon or (device.alerts and device.alerts.open):
            first = min(first, due(engine, partition, row))
    return first if first <= horizon else NEVER
