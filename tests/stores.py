"""Databases for tests: real servers on free ports, in folders of their own, started, stopped and
killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql

from pipeline.kafka.broker import free_port
from pipeline.supervisor import tied_to_this_process

PATIENCE = 30.0


class Server:
    """`folder` is its own; what it keeps there survives `stop` and `kill`."""

    scheme = ""
    database = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}127.0.0.1:{self.port}/{self.database}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tied_to_this_process(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.02)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class Redis(Server):
    """Writes everything to its disk at once, so that it knows it again."""

    scheme, database = "redis://", "0"

    def command(self) -> list[str]:
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return ["redis-server", *where, *kept]

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(5) == b"+PONG"  # not yet while it loads
        return False


class MariaDB(Server):
    scheme, database = "mysql://root@", "smart"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        asked = ["--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"]
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *asked, f"--datadir={folder / 'data'}"],
            check=True,
            capture_output=True,
        )

    def command(self) -> list[str]:
        kept = [f"--datadir={self.folder / 'data'}", f"--pid-file={self.folder / 'pid'}"]
        where = [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder / 's'}"]
        quick = ["--skip-log-bin", "--innodb-flush-method=nosync", "--user=root"]
        return ["/usr/sbin/mariadbd", "--no-defaults", *kept, *where, *quick]

    def answers(self) -> bool:
        try:
            self.execute(f"CREATE DATABASE IF NOT EXISTS {self.database}", database="")
        except pymysql.MySQLError:
            return False
        return True

    def execute(
        self, statement: str, *values: object, database: str = "smart"
    ) -> list[tuple[object, ...]]:
        link = pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=database or None,
            charset="utf8mb4",
            autocommit=True,
        )
        with link, link.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())


class Mongo(Server):
    """What speaks MongoDB's protocol."""

    scheme, database = "mongodb://", "smart"

    def command(self) -> list[str]:
        program = str(Path(sys.executable).parent / "secantusd-py")
        where = ["--port", str(self.port), "--storage-path", str(self.folder / "data")]
        return [program, *where, "--standalone"]


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
