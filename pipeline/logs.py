"""Settings in; the configuration of Python's logging out: a line an event, on standard error.

A line is JSON for machines, or text for people; libraries' lines come in the same form. One that is
written again and again is written once, and then told with a count. What is written while a request
is answered carries that request's id, and no line a secret of the settings.
"""

from __future__ import annotations

import copy
import json
import logging
import logging.config
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, TextIO
from urllib.parse import unquote, urlsplit

from pipeline.settings import Settings

HIDDEN: Final = "(hidden)"
SHORTEST: Final = 4  # characters of a secret; a shorter one would be found in any word
SECONDS: Final = 10.0  # a line that repeats is told once in so long
ORIGINS: Final = 1_000
BURST: Final = 20  # lines of ours from one place, if no two are the same, before they are counted
_PLAIN: Final = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"}
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code not in (9, 10)}


def configure(settings: Settings) -> None:
    logging.config.dictConfig(logging_config(settings))
    logging.captureWarnings(True)


def is_json(settings: Settings) -> bool:
    """People read a terminal; whatever else takes our lines is a machine."""
    if settings.log_format == "AUTO":
        return not sys.stderr.isatty()
    return settings.log_format == "JSON"


def logging_config(settings: Settings) -> dict[str, Any]:
    """Libraries from WARNING on, ours from the level that is set."""
    form = Json if is_json(settings) else Text
    handler = {"()": Lines, "formatter": "line", "repeats": Repeats()}
    levels = dict.fromkeys(("pipeline", "agents", "tables"), settings.log_level)
    # Faust logs the life of its services under the modules of their classes
    services = ("pipeline.streams", "pipeline.transport", "pipeline.app", "tables.devices")
    levels |= dict.fromkeys(services, "WARNING")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": form, "secrets": secrets_of(settings)}},
        "handlers": {
            # two, since Faust's command line lowers the first one of the root logger
            "libraries": {**handler, "burst": 1},
            "ours": {**handler, "burst": BURST, "counted": logging.WARNING},
        },
        "root": {"level": "WARNING", "handlers": ["libraries"]},
        "loggers": {
            # Faust's command line sets the root logger to DEBUG: thousands of records a second
            # would be made, for no handler to take
            "aiokafka": {"level": "WARNING"},
            **{
                name: {"level": level, "handlers": ["ours"], "propagate": False}
                for name, level in levels.items()
            },
        },
    }


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Texts that no line may hold, the longest first: of an address its password too."""
    values = [getattr(settings, one.name) for one in fields(settings) if one.metadata["secret"]]
    lists = [value if isinstance(value, tuple) else (value,) for value in values]
    whole = [text for listed in lists for text in listed if isinstance(text, str)]
    passwords = [urlsplit(text).password or "" for text in whole if "://" in text]
    found = {*whole, *passwords, *map(unquote, passwords)}
    return tuple(sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True))


# -- whose request a line belongs to


class Request:
    """While it is answered. What it has started in the background may outlive it."""

    __slots__ = ("id", "over")

    def __init__(self, id: str) -> None:
        self.id = id
        self.over = False


_answered: ContextVar[Request | None] = ContextVar("answered", default=None)


@contextmanager
def answering(id: str) -> Iterator[None]:
    """Lines that are written meanwhile, in this task and in those it starts, carry the id."""
    request = Request(id)
    token = _answered.set(request)
    try:
        yield
    finally:
        request.over = True
        _answered.reset(token)


# -- forms


class _Form(logging.Formatter):
    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        line = self.line(record)
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line

    def line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError

    def traceback(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        stack = self.formatStack(record.stack_info) if record.stack_info else None
        return "\n".join(filter(None, (exception, stack)))


class Json(_Form):
    """One object a line; what a record has beside its text (`extra=`) are fields of it."""

    def line(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = {name: one for name, one in vars(record).items() if name not in _PLAIN}
        if traceback := self.traceback(record):
            more["exception"] = traceback
        return json.dumps({**told, **more, **told}, ensure_ascii=False, default=str)


class Text(_Form):
    """For people: nothing in it can pass for another line, or speak to the terminal."""

    def line(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: "
        text = head + record.getMessage()
        if id := getattr(record, "request_id", ""):
            text += f" [request {id}]"
        if repeated := getattr(record, "repeated", 0):
            text += f" [{repeated} times more]"
        if traceback := self.traceback(record):
            text += "\n" + traceback
        return text.translate(_CONTROL).replace("\n", "\n    ")


# -- repeats


@dataclass(slots=True)
class _Origin:
    """What one place in the code has written since `began`."""

    began: float
    left: int
    last: logging.LogRecord
    written: set[str] = field(default_factory=set)
    held: int = 0

    def is_over(self, at: float) -> bool:
        return not 0 <= at - self.began < SECONDS  # a clock can be set back


class Repeats:
    """What a place in the code writes again and again is held back and counted: a broker that is
    away for 15 seconds makes aiokafka write a thousand lines. Every 10 seconds the last of them is
    told, with how many there were."""

    def __init__(self) -> None:
        self._origins: dict[tuple[str, int], _Origin] = {}
        self._lock = threading.Lock()  # handlers share it

    def passes(self, record: logging.LogRecord, burst: int) -> bool:
        key, text = (record.pathname, record.lineno), record.getMessage()
        with self._lock:
            origin = self._origins.get(key)
            if origin is None or (origin.is_over(record.created) and not origin.held):
                if len(self._origins) >= ORIGINS:
                    self._origins.clear()
                origin = self._origins[key] = _Origin(record.created, burst, record)
            if origin.left > 0 and text not in origin.written:
                origin.left -= 1
                origin.written.add(text)
                return True
            origin.held, origin.last = origin.held + 1, record
            return False

    def due(self, at: float, *, early: bool = False) -> list[logging.LogRecord]:
        """Those that were held back for long enough, each once, with their number."""
        with self._lock:
            held = [origin for origin in self._origins.values() if origin.held]
            return [_told(origin, at) for origin in held if early or origin.is_over(at)]


def _told(origin: _Origin, at: float) -> logging.LogRecord:
    record = copy.copy(origin.last)
    record.repeated = origin.held
    origin.began, origin.held, origin.left = at, 0, 0
    return record


class Lines(logging.StreamHandler[TextIO]):
    """Standard error, of whose lines those from level `counted` on are looked through for repeats.
    What is printed (`mode.redirect`) has no origin of its own, and passes."""

    def __init__(self, repeats: Repeats, burst: int, counted: int = logging.NOTSET) -> None:
        super().__init__(sys.stderr)
        self._repeats = repeats
        self._burst = burst
        self._counted = counted

    def emit(self, record: logging.LogRecord) -> None:
        request = _answered.get()
        if request is not None and not request.over:
            record.request_id = request.id
        is_last = record.levelno >= logging.CRITICAL  # before a process ends
        self._tell(record.created, early=is_last)
        free = is_last or record.levelno < self._counted or record.name == "mode.redirect"
        if free or self._repeats.passes(record, self._burst):
            super().emit(record)

    def close(self) -> None:
        self._tell(time.time(), early=True)
        super().close()

    def _tell(self, at: float, *, early: bool) -> None:
        for record in self._repeats.due(at, early=early):
            super().emit(record)
