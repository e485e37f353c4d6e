"""The least severe level in; the configuration of Python's logging out."""

from __future__ import annotations

import logging
from typing import Any


def logging_config(level: str) -> dict[str, Any]:
    """One line an event on standard error; libraries from WARNING on, and each repeat once."""
    handler = {"class": "logging.StreamHandler", "formatter": "line"}
    levels = dict.fromkeys(("pipeline", "agents", "tables"), level)
    # Faust logs the life of its services under the modules of their classes
    levels |= dict.fromkeys(("pipeline.transport", "pipeline.app", "tables.devices"), "WARNING")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"repeats": {"()": RepeatFilter}},
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            # two, since Faust's command line lowers the first one of the root logger
            "libraries": {**handler, "filters": ["repeats"]},
            "ours": handler,
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


class RepeatFilter(logging.Filter):
    """Lets a line of one origin through once in 10 seconds: a broker that is away for 15 seconds
    makes aiokafka write a thousand. What is printed has no origin of its own, and passes."""

    SECONDS = 10.0
    ORIGINS = 1_000

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        origin = (record.pathname, record.lineno)
        if record.levelno >= logging.CRITICAL or record.name == "mode.redirect":
            return True
        if record.created - self._written.get(origin, -self.SECONDS) < self.SECONDS:
            return False
        if len(self._written) >= self.ORIGINS:
            self._written.clear()
        self._written[origin] = record.created
        return True
