"""A newcomer's first minute: a clone into an empty folder, `make demo`, a browser.

What pip, uv and Maven have fetched before is used again; for the rest nobody has ever been here.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import expect

from pipeline.kafka.broker import free_port
from tests.chromium import chromium
from tests.lab import started, until

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
# In the home: what the README says; and pip asks rustc for its version, where there is one.
KEPT = (".local/share/smart-iot/", ".rustup/")
CACHES = {"PIP_CACHE_DIR": "pip", "UV_CACHE_DIR": "uv", "SMART_IOT_CACHE_DIR": "smart-iot"}
MINUTE = 60_000.0  # ms: where a test hangs


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a new folder" / "smart-iot"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    return folder


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home; its mark is on every process that comes from it."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    before = Path.home()
    settings = [name for name in os.environ if name.startswith("SMART_IOT_")]
    return {
        **dict.fromkeys([*settings, "MAKELEVEL", "MAKEFLAGS", "VIRTUAL_ENV"], ""),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        **{
            name: os.environ.get(name) or str(before / ".cache" / folder)
            for name, folder in CACHES.items()
        },
        "NEWCOMER": secrets.token_hex(8),
    }


def with_mark(mark: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # it has just ended
        if f"NEWCOMER={mark}".encode() in environment.split(b"\0"):
            found.append(int(process.name))
    return found


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def changed(checkout: Path) -> str:
    status = ["git", "-C", str(checkout), "status", "--porcelain"]
    return subprocess.run(status, check=True, capture_output=True, text=True, timeout=60).stdout


async def test_a_newcomer_sees_a_first_alert_and_nothing_is_left_after_ctrl_c(
    clone: Path, newcomer: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    arguments = ["-C", str(clone), "demo", f"UP_ARGS=--port {port}"]
    assert "make demo UP_ARGS='--port 8001'" in (clone / "README.md").read_text()
    with started("make", *arguments, **newcomer) as demo:
        demo.lines.until("smart-iot runs")
        said = demo.lines.until("http://")
        (page,) = re.findall(r"http://\S+", said)
        async with chromium() as browser:
            visit = await browser.new_page()
            await visit.goto(page)
            await expect(visit.locator("#connection")).to_have_text("Live", timeout=MINUTE)
            first = visit.locator("#alerts article").first
            await expect(first).to_contain_text("sim-", timeout=MINUTE)
            devices = visit.locator("#count-devices")
            await expect(devices).to_have_text("25", timeout=MINUTE)
        # Ctrl-C in a terminal is for the whole group, make too
        os.killpg(demo.pid, signal.SIGINT)
        demo.lines.rest()
        demo.code()
    until(lambda: not with_mark(newcomer["NEWCOMER"]), "no process of it is left")
    assert changed(clone) == "", "nothing in the checkout that git doesn't know to ignore"
    assert {name for name in files(tmp_path / "tmp") if not name.startswith("uv-")} == set()
    kept = {name for name in files(tmp_path / "home") if not name.startswith(KEPT)}
    assert kept == set(), "only the data that the README names"
