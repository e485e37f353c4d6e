"""The Dockerfile is a good one, takes what it needs from the lock, and is given no secret."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from configparser import ConfigParser
from pathlib import Path

import pytest
from aiohttp import web

from tests.deploy import image
from tests.deploy.ignored import Ignore
from tests.deploy.manifests import DEPLOY, ROOT

HADOLINT = Path(sys.executable).parent / "hadolint"
HEALTHY = DEPLOY / "image" / "healthy.py"
LOCK = (ROOT / "requirements.lock").read_text()


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([HADOLINT, image.DOCKERFILE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def needed(*names: str) -> str:
    done = subprocess.run(
        [sys.executable, DEPLOY / "image" / "needed.py", *names],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def packages(lock: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))


def test_what_the_image_needs_is_cut_out_of_the_lock_with_its_hashes() -> None:
    entries = re.split(r"^(?=\w)", needed("install_requires"), flags=re.MULTILINE)[1:]
    assert all(entry in LOCK and "--hash=sha256:" in entry for entry in entries)


def test_it_is_what_is_asked_for_and_what_that_needs_and_no_more() -> None:
    found = packages(needed("install_requires"))
    assert {"faust-streaming", "aiokafka", "rocksdict"} < found  # asked for, rocksdict by an extra
    assert {"mode-streaming", "yarl", "multidict"} < found  # by those
    assert not {"pytest", "mypy", "hypothesis", "playwright", "uv", "ruff"} & found
    assert {"mypy", "setuptools"} < packages(needed("build"))
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    everything = packages(needed("install_requires", *setup["options.extras_require"]))
    assert everything == packages(LOCK)


def test_an_extra_that_is_none_is_no_image_without_it() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        needed("install_requires", "storrage")


# --- what goes to the builder -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("pipeline/rules/engine.py", False),
        ("pipeline/web/static/app.js", False),
        ("pipeline/web/page/src/App.tsx", True),
        ("pipeline/__pycache__/names.cpython-311.pyc", True),
        ("pipeline/rules/engine.cpython-311-x86_64-linux-gnu.so", True),
        ("deploy/image/healthy.py", False),
        ("deploy/secrets/tokens", True),
        ("deploy/.env", True),
        ("deploy/settings.env", True),
        (".git/config", True),
        ("tests/lab.py", True),
        ("requirements.lock", False),
        (".venv/bin/python", True),
    ],
)
def test_the_builder_is_given_what_it_needs_and_no_secret(path: str, ignored: bool) -> None:
    assert Ignore(Path(f"{image.DOCKERFILE}.dockerignore").read_text()).ignores(path) is ignored


# --- health -----------------------------------------------------------------------------------


async def serving(status: int, check: Callable[[int], Awaitable[None]]) -> list[str]:
    """The paths that were asked for of what answers with that."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"reason": "tables are being recovered"}, status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await check(runner.addresses[0][1])
    finally:
        await runner.cleanup()
    return asked


async def health(*arguments: str, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(HEALTHY), *arguments),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_health_is_whether_it_is_alive_and_with_ready_whether_it_is_ready() -> None:
    async def check(port: int) -> None:
        assert await health(str(port)) == (0, "")
        assert await health("--ready", str(port), str(port)) == (0, "")
        assert await health("--ready", SMART_IOT_WEB_PORT=str(port)) == (0, "")

    asked = await serving(200, check)
    assert asked == ["/-/healthy", "/-/ready", "/-/ready", "/-/ready"]


async def test_what_is_not_ready_says_why() -> None:
    async def check(port: int) -> None:
        code, said = await health("--ready", str(port))
        assert code == 1
        assert "503" in said
        assert "tables are being recovered" in said

    await serving(503, check)


async def test_one_of_several_that_is_not_there_is_named() -> None:
    async def check(port: int) -> None:
        code, said = await health(str(port), "1")
        assert code == 1
        assert said.startswith("1: ")
        assert len(said.splitlines()) == 1

    await serving(200, check)
