"""Settings in, the databases that they name out, and who is told of alerts; a client of a database
is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple, cast

from pipeline.settings import PREFIX, Settings
from pipeline.sinks.sink import EVENT, OPEN, READING, WINDOW, Sink


class NoSink(Exception):
    """A sink can't be had; the text says what to do."""


class Kept(NamedTuple):
    """A database: the class of its client, and what it keeps."""

    client: str
    kinds: tuple[str, ...]


SINKS: Final = {
    "mysql": Kept("MySQL", (EVENT, WINDOW)),
    "mongo": Kept("Mongo", (READING,)),
    "redis": Kept("Redis", (READING, OPEN)),
}
# Who is told, and of what: with databases, in the order of their ports
TOLD: Final = {"alertmanager": (EVENT, OPEN), "webhook": (EVENT,)}
APART: Final = {**{name: kept.kinds for name, kept in SINKS.items()}, **TOLD}


def driver_of(name: str) -> Callable[[Settings], Sink]:
    """The client of a database; NoSink where what it needs isn't installed."""
    try:
        client = getattr(import_module(f"pipeline.sinks.{name}"), SINKS[name].client)
    except ModuleNotFoundError as error:
        raise NoSink(
            f"the driver of {name} is missing ({error.name}): pip install 'smart-iot[storage]'"
        ) from None
    return cast("Callable[[Settings], Sink]", client)


def sink_of(name: str, settings: Settings) -> Sink:
    """The client of the database that is set; NoSink where it isn't, or its URL is wrong."""
    if not getattr(settings, f"{name}_url"):
        raise NoSink(f"{PREFIX}{name.upper()}_URL is not set: it names the database")
    client = driver_of(name)
    try:
        return client(settings)
    except ValueError as error:
        raise NoSink(f"{PREFIX}{name.upper()}_URL can't be used: {error}") from None


def configured(settings: Settings) -> list[str]:
    """Those whose URL is set."""
    return [name for name in SINKS if getattr(settings, f"{name}_url")]


def told(settings: Settings) -> list[str]:
    """Those who are told of alerts, where it is set whom to tell."""
    are_set = {"alertmanager": settings.alertmanager_urls, "webhook": settings.webhook_url}
    return [name for name, where in are_set.items() if where]
