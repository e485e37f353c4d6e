"""A checkout on a machine that lacks something in; what `make` says about it out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make venv` looks at, in a folder with a space in its name."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(checkout: Path, python: str = sys.executable, **environment: str) -> list[str]:
    """What `make venv` says where it fails, without make's own last line."""
    done = subprocess.run(
        ["make", "venv", f"PYTHON={python}"],
        cwd=checkout,
        env={**os.environ, **environment, "MAKELEVEL": "", "MAKEFLAGS": ""},  # `make test` runs us
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2
    *said, last = done.stderr.splitlines()
    assert last.startswith("make: ***")
    return said


def test_without_python_one_line_says_what_to_install(checkout: Path) -> None:
    assert make(checkout, python="python-that-is-nowhere") == [
        "no python-that-is-nowhere was found: install Python 3.11 or newer "
        "(apt-get install python3 python3-venv)"
    ]


def test_an_old_python_is_refused_before_anything_is_made(checkout: Path, tmp_path: Path) -> None:
    # read by every interpreter as it starts: this one now says that it is an old one
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 9, 2)\n")
    assert make(checkout, PYTHONPATH=str(tmp_path)) == [
        f"Python 3.11 or newer is needed, and {sys.executable} is 3.9: "
        "name another with make PYTHON=..."
    ]
    assert not (checkout / ".venv").exists()


def test_without_python3_venv_one_line_names_the_package(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")
    assert make(checkout, PYTHONPATH=str(tmp_path)) == [
        f"{sys.executable} can make no virtual environment: apt-get install python3-venv"
    ]
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_without_a_network_one_line_says_so(checkout: Path) -> None:
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:1/",  # nothing listens there
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    (line,) = make(checkout, **nowhere)
    assert line.startswith("not all packages could be installed (ERROR: ")
    assert "is there a network, and room on the disk? Then run make again" in line
