from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pipeline.kafka import jars
from pipeline.kafka.jars import Unusable
from tests.lab import children, python, runs, started, until

FETCH = """
from pipeline.kafka import jars
print("in", jars.fetched(lambda line: print(line, flush=True)))
"""
# Nothing listens on port 1 of this machine.
NO_REPOSITORY = """
<settings><localRepository>{local}</localRepository><mirrors><mirror>
<id>none</id><mirrorOf>*</mirrorOf><url>http://127.0.0.1:1/</url>
</mirror></mirrors></settings>
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMART_IOT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.kafka
def test_two_that_start_at_once_fetch_once(cache: Path) -> None:
    with started(*python(FETCH)) as one, started(*python(FETCH)) as other:
        said = one.lines.rest() + other.lines.rest()
    folder = cache / f"kafka-{jars.version()}"
    assert sum("fetching Kafka" in line and "once" in line for line in said) == 1
    assert said.count(f"in {folder}") == 2
    assert (folder / f"kafka_2.13-{jars.version()}.jar").is_file()


@pytest.mark.kafka
def test_a_fetch_that_was_killed_leaves_nothing_that_looks_whole(cache: Path) -> None:
    folder = cache / f"kafka-{jars.version()}"
    with started(*python(FETCH)) as program:
        program.lines.until("fetching Kafka")
        until(lambda: children(program.pid), "Maven runs")
        (maven,) = children(program.pid)
        program.signal(signal.SIGKILL)
        until(lambda: not runs(maven), "Maven is gone")
    assert not folder.exists()
    assert jars.fetched(print) == folder
    assert [entry.name for entry in cache.iterdir() if entry.name.startswith(".")] == []


def test_without_java_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Unusable, match=r"^no java was found: install Java 17 .*--bootstrap$"):
        jars.java()


def test_a_java_that_is_too_old_is_refused_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "bin/java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Unusable, match=rf"^{old} is no Java 17 or newer, which Kafka 4"):
        jars.java()


def test_without_maven_one_line_says_what_to_install(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(Unusable, match=r"^no mvn was found: .*install maven.*--bootstrap$"):
        jars.fetched(print)


@pytest.mark.kafka
def test_a_repository_that_can_not_be_reached_is_one_line_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / ".m2/settings.xml"
    settings.parent.mkdir()
    settings.write_text(NO_REPOSITORY.format(local=tmp_path / "repository"))
    monkeypatch.setenv("MAVEN_OPTS", f"-Duser.home={tmp_path}")
    with pytest.raises(Unusable, match=r"^Maven can't fetch Kafka .*Connection refused.*$"):
        jars.fetched(print)
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]


def test_the_version_is_that_of_the_pom() -> None:
    assert f"<kafka.version>{jars.version()}<" in jars.POM.read_text()
