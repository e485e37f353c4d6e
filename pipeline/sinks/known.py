"""Settings in, the databases that they name out; a client is imported when it is asked for."""

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
