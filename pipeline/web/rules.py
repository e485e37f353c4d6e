"""Requests about the rules in; the ones that hold, and the word to read them anew, out.

A worker's view has the rules that it judges by. One that stands alone judges nothing: it has the
file that the settings name, if they do, and tells the workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from aiohttp import web
from aiokafka.errors import KafkaError

from pipeline import commands
from pipeline.commands import EVERYBODY
from pipeline.rules.description import described
from pipeline.rules.excerpt import excerpt
from pipeline.rules.faults import RulesError
from pipeline.rules.rulebook import Rulebook
from pipeline.rulesource import RulesFile
from pipeline.settings import Settings
from pipeline.web.changes import Sender
from pipeline.web.gate import refusal, scope_of

BY: Final = "POST /-/reload"


class Judging(NamedTuple):
    """Of a worker: the rules that it judges by, and how it reads them anew (RulesError) before the
    command of that id tells everybody to."""

    rules: Callable[[], Rulebook]
    reload: Callable[[str], object]


class Rules:
    def __init__(self, settings: Settings, sender: Sender, judging: Judging | None) -> None:
        self._file = RulesFile(settings)
        self._sender = sender
        self._judging = judging

    def add_to(self, router: web.UrlDispatcher) -> None:
        for slash in ("/", ""):
            router.add_get("/api/rules" + slash, self.rules)
        router.add_post("/-/reload", self.reload)

    async def rules(self, request: web.Request) -> web.Response:
        """In the form of the rules file, of it what concerns the devices that may be seen;
        `?device=` what they come to for one device."""
        scope = scope_of(request)
        try:
            book = self._book()
        except RulesError as error:
            return _wrong(error if scope.sees_all else RulesError([]), 503)
        if book is None:
            return refusal(404, "this view judges nothing: ask a worker")
        device = request.query.get("device") or None
        if device is not None and not scope.sees(device):
            return refusal(403, "this token may not see that device")
        told = described(book if device is None else book.of(device))
        answer = {
            "hash": book.fingerprint(),
            "file": None if self._file.path is None else str(self._file.path),
            "for": device,
            **(told if scope.sees_all else excerpt(told, scope.reaches)),
        }
        return web.json_response(answer)

    def _book(self) -> Rulebook | None:
        if self._judging is not None:
            return self._judging.rules()
        return None if self._file.path is None else self._file.read()

    async def reload(self, request: web.Request) -> web.Response:
        """Read our rules anew, and tell all workers to do the same with theirs; 422 with all that
        is wrong, and then nobody is told and the old ones go on."""
        if not scope_of(request).sees_all:
            return refusal(403, "this token may not change that: it is for some devices alone")
        command = commands.reload(BY, time.time())
        try:
            if self._judging is not None:
                self._judging.reload(command.command_id)
            else:
                self._file.read()
        except RulesError as error:
            return _wrong(error, 422)
        reloaded = self._judging is not None
        try:
            await self._sender.send(command, EVERYBODY)
        except (KafkaError, TimeoutError, OSError):
            why = "Kafka doesn't take the command: the other workers weren't told"
            return web.json_response({"error": why, "reloaded": reloaded}, status=503)
        told = {"reloaded": reloaded, "command_id": command.command_id}
        return web.json_response(told, status=200 if reloaded else 202)


def _wrong(error: RulesError, status: int) -> web.Response:
    wrong = {"error": "the rules are wrong", "mistakes": error.faults}
    return web.json_response(wrong, status=status)
