"""The sources in, a wheel out: its core compiled by mypyc, where that and a C compiler are at hand.

The same sources run as they are, so the build goes on without, and says so. `SMART_IOT_CORE` in
the environment is `plain` for whoever wants it so, and `compiled` for whoever wants nothing else.
What is installed as editable stays plain, unless it is asked for.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import Extension, setup

ASKED = os.environ.get("SMART_IOT_CORE", "")
# What runs for every reading too: decoding, a worker's way from a chunk to its rows, and a
# backtest's own loop
BESIDE = [
    "agents/checks.py",
    "agents/intake.py",
    "agents/item.py",
    "agents/judge.py",
    "agents/order.py",
    "pipeline/home.py",
    "pipeline/records.py",
    "pipeline/rows.py",
    "pipeline/words.py",
    "tables/partition.py",
    "tables/plan.py",
    "pipeline/backtest/recording.py",
    "pipeline/backtest/replay.py",
    "pipeline/backtest/run.py",
]
BUILDS = {"bdist_wheel", "build", "install"}
METADATA = {"dist_info", "egg_info"}  # pip asks for it first, and it is the same either way
COMPILER_FLAGS = ("-I", sysconfig.get_path("include"), "-c", "probe.c")


class CannotCompile(Exception):
    """Says what is missing."""


def core() -> Sequence[Extension]:
    if ASKED not in ("", "plain", "compiled"):
        sys.exit(f"SMART_IOT_CORE={ASKED} is neither plain nor compiled")
    if ASKED == "plain" or METADATA & set(sys.argv) or not (ASKED or BUILDS & set(sys.argv)):
        return []
    try:
        return compiled()
    except CannotCompile as error:
        if ASKED:
            sys.exit(f"the core can't be compiled: {error}")
        sys.stderr.write(f"smart-iot: the core stays plain Python, which is slower: {error}\n")
        return []


def compiled() -> Sequence[Extension]:
    try:
        from mypyc.build import mypycify
    except ImportError:
        raise CannotCompile("mypy is not installed") from None
    try_compiler()
    try:
        return mypycify(
            [*sorted(glob("pipeline/rules/*.py")), *BESIDE], group_name="smart_iot_core"
        )
    except SystemExit as error:  # it has printed why
        raise CannotCompile("mypyc refuses it") from error


def try_compiler() -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with TemporaryDirectory() as folder:
        Path(folder, "probe.c").write_text("#include <Python.h>\n")
        try:
            subprocess.run(
                [*compiler, *COMPILER_FLAGS], cwd=folder, check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            raise CannotCompile("a C compiler or Python's headers are missing") from None


setup(ext_modules=core())
