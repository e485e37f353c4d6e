"""A data folder in; out comes everything on this machine: Kafka, the worker, simulated devices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import click

from pipeline.kafka import FolderInUse, Kafka, Unusable, locked
from pipeline.settings import PREFIX, from_environment
from pipeline.supervisor import Child, Supervisor

KAFKA_PORT = 9092  # where every client looks first; another one if it is taken
WORKER_ENDS_WITHIN = 20.0  # seconds from SIGTERM to SIGKILL
KAFKA_ENDS_WITHIN = 10.0
SIMULATOR_ENDS_WITHIN = 5.0
# After kill -9 of another `up` its children hold the folder for some more milliseconds.
FOLDER_PATIENCE = 3.0
# Beside our own broker a killed worker is replaced sooner; Kafka takes no session below 6 s.
_IMPATIENT = {PREFIX + "SESSION_TIMEOUT": "6", PREFIX + "FLUSH_TIMEOUT": "4"}


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
def up(
    port: int | None, data_dir: Path | None, bootstrap: str | None, simulator: bool | None
) -> None:
    """Run everything on this machine, until Ctrl-C: Kafka, the worker, the web view, devices."""
    settings = from_environment()
    web = (settings.web_host, settings.web_port if port is None else port)
    refuse_taken(*web)
    folder = (data_dir or settings.state_dir).absolute()
    kafka = None if bootstrap else Kafka(folder / "kafka", port=KAFKA_PORT)
    try:
        with locked(folder / "lock", FOLDER_PATIENCE) as lock:
            if kafka:
                kafka.prepare(say)
            if simulator is None:
                simulator = kafka is not None
            asyncio.run(_run(folder, lock, web, kafka, bootstrap or "", simulator))
    except (FolderInUse, Unusable) as error:
        raise click.UsageError(str(error)) from None


async def _run(
    folder: Path,
    lock: int,
    web: tuple[str, int],
    kafka: Kafka | None,
    bootstrap: str,
    simulator: bool,
) -> None:
    children, environment = [], _environment(os.environ)
    if kafka:
        bootstrap = kafka.bootstrap
        children.append(_kafka(kafka, lock))
        environment[PREFIX + "SECURITY_PROTOCOL"] = "PLAINTEXT"  # ours listens on loopback alone
        if not _IMPATIENT.keys() & environment.keys():
            environment |= _IMPATIENT
    environment[PREFIX + "BOOTSTRAP"] = bootstrap
    environment[PREFIX + "DATA_DIR"] = str(folder)
    environment[PREFIX + "WEB_PORT"] = str(web[1])
    address = f"http://{_reachable(web[0])}:{web[1]}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        children.append(_worker(folder, lock, environment, session, address))
        if simulator:
            children.append(_simulator(folder, environment))
        await Supervisor(children, say).run(lambda: _announce(address, bootstrap))


def _kafka(kafka: Kafka, lock: int) -> Child:
    async def answers() -> bool:
        return await asyncio.to_thread(kafka.answers)

    return Child(
        name="Kafka",
        command=kafka.command(),
        environment=os.environ,
        cwd=kafka.data_dir,
        stop_within=KAFKA_ENDS_WITHIN,
        ready=answers,
        keep_open=[lock],
    )


def _worker(
    folder: Path,
    lock: int,
    environment: Mapping[str, str],
    session: aiohttp.ClientSession,
    address: str,
) -> Child:
    async def is_ready() -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{address}/-/ready") as answer:
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


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The worker's: files that are named from our folder are still found from its own."""
    return {**ours, **{name: os.path.abspath(ours[name]) for name in _files(ours)}}


def _files(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name.startswith(PREFIX) and name.endswith("FILE") and value:
            yield name


def refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = f"can't listen on {host}:{port} ({error.strerror}): choose another with --port"
            raise click.UsageError(why) from None


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
