"""Requests to read the rules anew in; the judge's engine by them, or by the last good ones, out.

A request is SIGHUP, `POST /-/reload`, a command (every worker hears it, in each of its partitions)
or, where the settings say so, a change of the file. Whoever asks, the file is what counts: rules
that are what they were change nothing, and an old command that is read after a restart neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from agents.judge import Judge
from pipeline import metrics
from pipeline.rules.engine import Engine
from pipeline.rules.faults import RulesError
from pipeline.rules.fleet import RULE as FLEET_RULE
from pipeline.rules.rulebook import Rulebook
from pipeline.rulesource import RulesFile
from pipeline.settings import Settings
from tables.partition import Partition

log = logging.getLogger(__name__)

REMEMBERED: Final = 1_000  # commands; one that comes again then only reads the file once more


def engine_of(rules: Rulebook, settings: Settings) -> Engine:
    return Engine(rules, window=settings.window)


class Reloading:
    """Puts the judge under today's rules. `owned` are our partitions, now."""

    def __init__(
        self,
        settings: Settings,
        file: RulesFile,
        judge: Judge,
        owned: Callable[[], Collection[Partition]],
    ) -> None:
        self._settings = settings
        self._file = file
        self._judge = judge
        self._owned = owned
        self._commands: deque[str] = deque(maxlen=REMEMBERED)
        metrics.rules_were_read(right=True)
        self._show()

    def rules(self) -> Rulebook:
        """Those that are judged by."""
        return self._judge.engine.rulebook

    def reload(self) -> bool:
        """Judge by the file of rules as it is now; whether it says anything else than before.
        RulesError if it is wrong: the old rules go on.

        What was judged by others is judged again with the next reading of its device, and by the
        next look at the latest."""
        try:
            rules = self._file.read()
        except RulesError as error:
            metrics.RULES_RELOADS.labels("refused").inc()
            metrics.rules_were_read(right=False)
            log.error("the rules stay as they were: %s", error)
            raise
        metrics.rules_were_read(right=True)
        fingerprint = rules.fingerprint()
        if fingerprint == self.rules().fingerprint():
            metrics.RULES_RELOADS.labels("unchanged").inc()
            return False
        self._judge.engine = engine_of(rules, self._settings)
        for partition in self._owned():
            self._judge.take_up(partition)
        metrics.RULES_RELOADS.labels("applied").inc()
        self._show()
        log.info("the rules were read anew: they are %s now", fingerprint)
        return True

    def _show(self) -> None:
        rules = self.rules()
        metrics.show_rules(rules.fingerprint(), (*rules.named, FLEET_RULE))

    def asked(self) -> bool:
        """Reload for somebody who gets no answer: what is wrong is in the log."""
        with contextlib.suppress(RulesError):
            return self.reload()
        return False

    def commanding(self, command_id: str) -> bool:
        """Reload before the command to do so goes out: it is done here when it comes back."""
        self._commands.append(command_id)
        return self.reload()

    def commanded(self, command_id: str) -> bool:
        """Once a command, which comes in every partition that is ours."""
        if command_id in self._commands:
            return False
        self._commands.append(command_id)
        return self.asked()

    async def watch(self) -> None:
        """Look at the file for ever, if the settings say so; a wrong one is told once."""
        every = self._settings.rules_watch
        while every:
            await asyncio.sleep(every)
            # a folder on a network may take its time
            if await asyncio.to_thread(self._file.has_changed):
                self.asked()
