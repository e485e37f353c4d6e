"""A data folder in; out comes everything on this machine: Kafka, the worker, simulated devices,
and, where it is asked for, databases and what fills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import click

from pipeline.cli.archive import who_is_told
from pipeline.cli.storage import storage_children, stores_of, urls_of
from pipeline.kafka import Fallback, FolderInUse, Kafka, Missing, Unusable, locked
from pipeline.settings import PREFIX, Settings, elsewhere, from_environment, texts
from pipeline.sinks.known import told
from pipeline.stores import CannotPrepare, Store
from pipeline.supervisor import Child, GivenUp, Supervisor

KAFKA_PORT = 9092  # where every client looks first; another one if it is taken
WORKER_ENDS_WITHIN = 20.0  # seconds from SIGTERM to SIGKILL
KAFKA_ENDS_WITHIN = 10.0
SIMULATOR_ENDS_WITHIN = 5.0
LEAST_FREE = 100 << 20  # bytes: below, Kafka and RocksDB fail in ways that name no disk
# After kill -9 of another `up` its children hold the folder for some more milliseconds.
FOLDER_PATIENCE = 3.0
_NOTHING_IS_KEPT = "the fallback broker keeps nothing to go on from; start `smart-iot up` again"
# Beside our own broker a killed worker is replaced sooner; Kafka takes no session below 6 s.
_IMPATIENT = {"session_timeout": "6", "flush_timeout": "4"}


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web view [8000].")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where Kafka and the worker keep their data [~/.local/share/smart-iot].",
)
@click.option(
    "--bootstrap",
    envvar=PREFIX + "BOOTSTRAP",
    show_envvar=True,
    metavar="HOST:PORT",
    help="A Kafka of yours, instead of the embedded one.",
)
@click.option(
    "--simulator/--no-simulator",
    default=None,
    help="Simulated devices or none [simulated ones, but not in a Kafka of yours].",
)
@click.option(
    "--with-storage",
    is_flag=True,
    help="Archive to MariaDB, MongoDB and Redis too: those that are set, or installed here.",
)
def up(
    port: int | None,
    data_dir: Path | None,
    bootstrap: str | None,
    simulator: bool | None,
    with_storage: bool,
) -> None:
    """Run everything on this machine, until Ctrl-C: Kafka, the worker, the web view, devices."""
    settings = from_environment()
    bootstrap = bootstrap or texts(os.environ).get("bootstrap")
    web = (settings.web_host, settings.web_port if port is None else port)
    refuse_taken(*web)
    folder = (data_dir or settings.state_dir).absolute()
    try:
        if full := when_full(folder):
            raise Unusable(full)
        with (
            locked(folder / "lock", FOLDER_PATIENCE) as lock,
            _broker(folder, bootstrap) as broker,
        ):
            if simulator is None:
                simulator = broker is not None
            stores = stores_of(folder, settings, say) if with_storage else None
            if stores is not None and isinstance(broker, Fallback):
                raise Unusable("--with-storage needs Apache Kafka: the fallback carries one worker")
            asyncio.run(_run(folder, lock, web, broker, bootstrap or "", simulator, stores))
    except (FolderInUse, Unusable, GivenUp, CannotPrepare) as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _broker(folder: Path, bootstrap: str | None) -> Iterator[Kafka | Fallback | None]:
    """Apache Kafka, ready to be started; what stands in for it where it can't be had; None where
    a Kafka of the user's is named."""
    if bootstrap:
        yield None
        return
    kafka = Kafka(folder / "kafka", port=KAFKA_PORT)
    try:
        kafka.prepare(say)
    except Missing as missing:
        fallback = Fallback(folder / "temporary", port=KAFKA_PORT)
        with fallback.prepared(missing, say):
            yield fallback
    else:
        yield kafka


async def _run(
    folder: Path,
    lock: int,
    web: tuple[str, int],
    broker: Kafka | Fallback | None,
    bootstrap: str,
    simulator: bool,
    stores: Sequence[Store] | None,
) -> None:
    children, environment, named = [], elsewhere(os.environ), texts(os.environ)

    def hopeless() -> str | None:
        return when_full(folder) or (_NOTHING_IS_KEPT if isinstance(broker, Fallback) else None)

    environment[PREFIX + "DATA_DIR"] = str(folder)
    environment[PREFIX + "LOG_FORMAT"] = named.get("log_format", "TEXT")  # people read it here
    if broker:
        bootstrap = broker.bootstrap
        environment[PREFIX + "SECURITY_PROTOCOL"] = "PLAINTEXT"  # ours listens on loopback alone
        environment[PREFIX + "BROKER"] = "KAFKA"
        if not _IMPATIENT.keys() & named.keys():
            environment |= {PREFIX + name.upper(): text for name, text in _IMPATIENT.items()}
    if isinstance(broker, Fallback):
        environment[PREFIX + "BROKER"] = "FALLBACK"
        environment[PREFIX + "DATA_DIR"] = str(broker.data_dir)
    environment[PREFIX + "BOOTSTRAP"] = bootstrap
    environment[PREFIX + "WEB_PORT"] = str(web[1])
    environment |= urls_of(stores or ())
    if broker:
        children.append(_kafka(broker, lock, hopeless))
    scheme = "https" if named.get("web_certfile") else "http"
    address = f"{scheme}://{_reachable(web[0])}:{web[1]}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        children.append(_worker(folder, lock, environment, session, address, hopeless))
        if simulator:
            children.append(_simulator(folder, environment))
        if isinstance(broker, Fallback):
            if told(Settings.of(environment)):
                say("nobody is told of alerts: the fallback carries one worker, and no more")
        else:
            children += who_is_told(folder, environment)
        if stores is not None:  # last: no alert waits for a database
            children += storage_children(stores, folder, lock, environment, hopeless)
        await Supervisor(children, say).run(lambda: _announce(address, bootstrap))


def _kafka(broker: Kafka | Fallback, lock: int, hopeless: Callable[[], str | None]) -> Child:
    async def answers() -> bool:
        return await asyncio.to_thread(broker.answers)

    return Child(
        name="Kafka" if isinstance(broker, Kafka) else "fallback broker",
        command=broker.command(),
        environment=os.environ if isinstance(broker, Kafka) else {"NO_COLOR": "1"},
        cwd=broker.data_dir,
        stop_within=KAFKA_ENDS_WITHIN,
        ready=answers,
        keep_open=[lock],
        hopeless=hopeless,
    )


def _worker(
    folder: Path,
    lock: int,
    environment: Mapping[str, str],
    session: aiohttp.ClientSession,
    address: str,
    hopeless: Callable[[], str | None],
) -> Child:
    async def is_ready() -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            # it is ours, on this machine: whoever signed its certificate
            async with session.get(f"{address}/-/ready", ssl=False) as answer:
                return answer.status == 200
        return False

    return Child(
        name="worker",
        command=[sys.executable, "-P", "-m", "faust", "-A", "pipeline.app", "worker"],
        environment=environment,
        # Faust imports from its folder first: not from the user's, who may have `agents` there.
        cwd=folder,
        stop_within=WORKER_ENDS_WITHIN,
        ready=is_ready,
        keep_open=[lock],
        hopeless=hopeless,
    )


def _simulator(folder: Path, environment: Mapping[str, str]) -> Child:
    code = "from pipeline.cli import main; main(['simulate'])"
    return Child(
        name="simulator",
        command=[sys.executable, "-P", "-c", code],
        environment=environment,
        cwd=folder,
        stop_within=SIMULATOR_ENDS_WITHIN,
    )


def refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"can't listen on {host}:{port} ({error.strerror}): choose another with --port"
            raise click.UsageError(why) from None


def when_full(folder: Path) -> str | None:
    """What to do about a disk without room; None where there is enough."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if free >= LEAST_FREE:
        return None
    return (
        f"the disk of {folder} is full ({free >> 20} MB are free, {LEAST_FREE >> 20} are "
        "needed): make room there, or choose another folder with --data-dir"
    )


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
    return f"[{host}]" if ":" in host else host


def _announce(address: str, bootstrap: str) -> None:
    say(f"""
smart-iot runs; Ctrl-C ends all of it.
  alerts   {address}/
  Kafka    {bootstrap}
  try      smart-iot publish --bootstrap {bootstrap} greenhouse-7 temperature=36.2
""")


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone: SIGHUP is on its way
        click.echo(line, err=True)
