"""A data folder in; the databases of `up --with-storage` and their archives, to be run, out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from pipeline.cli.archive import archive_of
from pipeline.kafka.broker import free_port
from pipeline.settings import PREFIX, Settings
from pipeline.sinks.known import NoSink, configured, driver_of
from pipeline.stores import LOCAL, Store
from pipeline.supervisor import Child, Say

STORE_ENDS_WITHIN = 15.0  # seconds from SIGTERM to SIGKILL
WAITED_FOR = 15.0  # seconds: the archives of the others don't need it, and its own tries again


def stores_of(folder: Path, settings: Settings, say: Say) -> list[Store]:
    """Servers for the databases that no URL is set for, ready to be started; what is left out is
    said. UsageError where there is none at all, CannotPrepare where one can't be set up."""
    theirs = configured(settings)
    stores = []
    for kind in LOCAL:
        if kind.sink in theirs:
            continue
        if why := _missing(kind):
            say(f"without {kind.sink}: {why}")
            continue
        store = kind(folder / kind.sink, free_port())
        say(f"preparing {kind.sink}…")
        store.prepare()
        stores.append(store)
    if not stores and not theirs:
        raise click.UsageError(
            "--with-storage finds no database: install redis-server or mariadb-server, "
            "and the drivers with pip install 'smart-iot[storage]'"
        )
    return stores


def urls_of(stores: Sequence[Store]) -> dict[str, str]:
    """As settings: who writes to them needs these, and the web view, which asks them."""
    return {PREFIX + f"{store.sink.upper()}_URL": store.url for store in stores}


def _missing(kind: type[Store]) -> str | None:
    try:
        driver_of(kind.sink)
    except NoSink as error:
        return str(error)
    absent = kind.missing()
    return f"{absent} is not installed" if absent else None


def storage_children(
    stores: Sequence[Store],
    folder: Path,
    lock: int,
    environment: Mapping[str, str],
    hopeless: Callable[[], str | None],
) -> list[Child]:
    """The servers, and then an archive for each database, ours and theirs."""
    told = {PREFIX + "ARCHIVE_MIGRATE": "YES", **environment, **urls_of(stores)}
    names = configured(Settings.of(told))
    servers = [_server(store, lock, hopeless) for store in stores]
    return servers + [archive_of(name, folder, told) for name in names]


def _server(store: Store, lock: int, hopeless: Callable[[], str | None]) -> Child:
    async def answers() -> bool:
        return await asyncio.to_thread(store.answers)

    return Child(
        name=f"{store.sink} server",
        command=store.command(),
        environment={"LC_ALL": "C"},
        cwd=store.folder,
        stop_within=STORE_ENDS_WITHIN,
        ready=answers,
        waited_for=WAITED_FOR,
        keep_open=[lock],
        hopeless=hopeless,
    )
