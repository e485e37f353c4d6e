"""A folder in, a database server of our own in it out: what `smart-iot up --with-storage` runs.

Each listens on loopback alone, on a free port, and keeps what it has in its folder. Whoever may
talk to this machine's loopback may talk to it, as with the embedded Kafka.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

HOST: Final = "127.0.0.1"
DATABASE: Final = "smart_iot"
PREPARED_WITHIN: Final = 180.0  # seconds: a busy machine may need as many
PLACES: Final = os.pathsep.join(("/usr/sbin", "/usr/local/sbin"))


class CannotPrepare(Exception):
    """A server can't be set up in its folder; the text says why."""


class Store:
    """`sink` is what writes to it, `programs` what it needs."""

    sink: ClassVar[str]
    programs: ClassVar[Sequence[str]]

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    @classmethod
    def missing(cls) -> str | None:
        """The first program that isn't installed."""
        return next((name for name in cls.programs if not program(name)), None)

    @property
    def url(self) -> str:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make its folder; CannotPrepare if that fails."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), 1) as link:
            link.settimeout(1)
            return self._greeted(link)
        return False

    def _greeted(self, link: socket.socket) -> bool:
        return True


class LocalMariaDB(Store):
    sink = "mysql"
    programs = ("mariadbd", "mariadb-install-db")

    @property
    def url(self) -> str:
        return f"mysql://root@{HOST}:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        super().prepare()
        begin = f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n"
        (self.folder / "begin.sql").write_text(begin)
        if not (self.folder / "data" / "mysql").is_dir():
            self._install()

    def _install(self) -> None:
        """Aside first: half of it would be taken for the whole."""
        made, data = self.folder / "data.new", self.folder / "data"
        shutil.rmtree(made, ignore_errors=True)
        command = [
            str(program("mariadb-install-db")),
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--datadir={made}",
            *_as_root(),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PREPARED_WITHIN, check=False
        )
        if done.returncode:
            why = " ".join((done.stderr or done.stdout).split())[-300:]
            raise CannotPrepare(f"MariaDB can't be set up in {self.folder}: {why}")
        made.rename(data)

    def command(self) -> list[str]:
        return [
            str(program("mariadbd")),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 's'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={self.folder / 'begin.sql'}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            "--skip-log-bin",
            *_as_root(),
        ]

    def _greeted(self, link: socket.socket) -> bool:
        return link.recv(5)[4:] == b"\x0a"  # a handshake of version 10, and not an error


class LocalMongoDB(Store):
    sink = "mongo"
    programs = ("mongod",)

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/{DATABASE}"

    def command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind_ip", HOST, "--dbpath", str(self.folder)]
        return [str(program("mongod")), *where, "--quiet"]


class LocalRedis(Store):
    sink = "redis"
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.folder)]
        kept = ["--appendonly", "yes", "--save", "", "--loglevel", "warning"]
        return [str(program("redis-server")), *where, *kept]

    def _greeted(self, link: socket.socket) -> bool:
        link.sendall(b"PING\r\n")
        return link.recv(5) == b"+PONG"  # not yet while it loads


LOCAL: Final[Sequence[type[Store]]] = (LocalMariaDB, LocalMongoDB, LocalRedis)


def program(name: str) -> str | None:
    """Where it is installed: servers are often where only root looks."""
    return shutil.which(name) or shutil.which(name, path=PLACES)


def _as_root() -> list[str]:
    """MariaDB runs as root only if it is told to."""
    return ["--user=root"] if os.geteuid() == 0 else []
