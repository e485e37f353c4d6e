"""A pom.xml in, a folder of Kafka's jars out: fetched once by Maven, then kept in a cache."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.kafka.lock import locked
from pipeline.supervisor import tied_to_this_process

POM = Path(__file__).with_name("pom.xml")
OLDEST_JAVA = 17
LONGEST_REASON = 300
NO_SPACE = os.strerror(errno.ENOSPC)  # Java's words are the C library's
FETCH_PATIENCE = 900.0  # seconds to wait for another process that is fetching the same jars
# Maven's own patience with a repository that doesn't answer is half an hour.
MAVEN_LIMITS = (
    "-Dmaven.wagon.http.connectionTimeout=10000",
    "-Dmaven.wagon.rto=60000",
    "-Daether.connector.connectTimeout=10000",
    "-Daether.connector.requestTimeout=60000",
)


class Unusable(Exception):
    """The embedded broker can't be used here; the text is one line that says why."""


class Missing(Unusable):
    """Java, Maven or what Maven fetches can't be had: Apache Kafka can't be, here and now."""


def version() -> str:
    """Kafka's version: pom.xml alone says it."""
    match = re.search(r"<kafka\.version>([\w.-]+)</kafka\.version>", POM.read_text())
    if match is None:
        raise Unusable(f"{POM} names no kafka.version")
    return match[1]


def cache_dir() -> Path:
    """SMART_IOT_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("SMART_IOT_CACHE_DIR")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smart-iot"


def java() -> str:
    """The Java to run: JAVA_HOME's, else the one on the PATH. Unusable where it is too old."""
    home = os.environ.get("JAVA_HOME")
    found = (shutil.which("java", path=f"{home}/bin") if home else None) or shutil.which("java")
    if found is None:
        raise Missing(
            f"no java was found: install Java {OLDEST_JAVA} or newer (openjdk-17-jre-headless), "
            "or use a Kafka of yours with --bootstrap"
        )
    told = subprocess.run(
        [found, "-version"], capture_output=True, text=True, timeout=60, check=False
    ).stderr
    number = re.search(r'version "(\d+)', told)
    if number is None or int(number[1]) < OLDEST_JAVA:
        raise Missing(f"{found} is no Java {OLDEST_JAVA} or newer, which Kafka {version()} needs")
    return found


def fetched(say: Callable[[str], None]) -> Path:
    """The folder of the jars. Whole or not there: it is renamed into place once complete."""
    folder = cache_dir() / f"kafka-{version()}"
    if not folder.is_dir():
        with locked(folder.with_name(f"{folder.name}.lock"), FETCH_PATIENCE):
            if not folder.is_dir():
                _fetch(folder, say)
    return folder


def _fetch(folder: Path, say: Callable[[str], None]) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise Missing(
            f"no mvn was found: Kafka {version()} is fetched with Maven once (install maven), "
            "or use a Kafka of yours with --bootstrap"
        )
    say(f"fetching Kafka {version()} with Maven, once…")
    unfinished = f".fetching-{folder.name}-"
    for left in folder.parent.glob(f"{unfinished}*"):  # by a process that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=unfinished) as work:
        shutil.copy(POM, work)
        _run(mvn, Path(work), say)
        (Path(work) / "jars").rename(folder)


def _run(mvn: str, work: Path, say: Callable[[str], None]) -> None:
    # By its full name, in the version of the pom: the short one needs the repository's index.
    goal = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
    command = [mvn, "-B", goal, "-DincludeScope=runtime"]
    with subprocess.Popen(
        [*command, f"-DoutputDirectory={work / 'jars'}", *MAVEN_LIMITS],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=tied_to_this_process(),
    ) as process:
        try:
            why = _first_error(process.stdout or (), say)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        why = why or f"mvn ended with code {process.returncode}"
        if NO_SPACE in why:
            raise Unusable(
                f"no space for Kafka's jars in {work.parent} or for Maven's own copy: make room, "
                "or name another folder with SMART_IOT_CACHE_DIR"
            )
        raise Missing(f"Maven can't fetch Kafka {version()} (is its repository reachable?): {why}")


def _first_error(lines: Iterable[str], say: Callable[[str], None]) -> str:
    """Reads what Maven says to the end, and says how far it is as jars arrive."""
    jars, error = 0, ""
    for line in lines:
        if line.startswith("[INFO] Downloaded") and ".jar" in line:
            jars += 1
            if jars % 20 == 0:
                say(f"fetching Kafka… {jars} jars")
        elif line.startswith("[ERROR]") and not error:
            error = " ".join(line.removeprefix("[ERROR]").split()).removesuffix(" -> [Help 1]")
    return error[-LONGEST_REASON:]  # the cause comes last
