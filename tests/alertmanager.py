"""Alertmanager for tests: the real one on a free port, with the documents' rules of inhibition, and
what it has and has notified of."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.stores import program
from tests.receiver import Receiver
from tests.stores import Server

GUIDE = (Path(__file__).parent.parent / "docs/operation.md").read_text()
CONFIG = """
route:
  receiver: told
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: told
    webhook_configs:
      - url: {address}/
        send_resolved: true
"""


class Told(NamedTuple):
    """What people are notified of."""

    status: str
    device_id: str
    severity: str


class Alertmanager(Server):
    """Forgets its alerts when it is stopped, as they all do, and not whom it has notified."""

    sink = "alertmanager"
    programs = ("prometheus-alertmanager",)

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self._address = receiver.address
        super().__init__(folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/am"

    def prepare(self) -> None:
        super().prepare()
        (inhibit,) = re.findall(r"```yaml\n(inhibit_rules:.*?)```", GUIDE, re.DOTALL)
        (self.folder / "am.yml").write_text(CONFIG.format(address=self._address) + inhibit)

    def command(self) -> list[str]:
        return [
            str(program(self.programs[0])),
            f"--config.file={self.folder / 'am.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.route-prefix=/am",
            "--cluster.listen-address=",
        ]

    def answers(self) -> bool:
        with suppress(OSError):
            return self._get("/-/ready") is not None
        return False

    def alerts(self) -> dict[tuple[str, str], Any]:
        """Device and severity to the alert, of what is firing."""
        found = json.loads(self._get("/api/v2/alerts"))
        return {(one["labels"]["device_id"], one["labels"]["severity"]): one for one in found}

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def amtool(self, *words: str) -> Any:
        command = ["amtool", f"--alertmanager.url={self.url}", "--output=json", *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)


def notified(receiver: Receiver) -> list[Told]:
    return [
        Told(one["status"], one["labels"]["device_id"], one["labels"]["severity"])
        for posted in receiver.taken
        for one in posted.event["alerts"]
    ]
