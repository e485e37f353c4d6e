"""`smart-iot archive`: what it refuses in a line, and what it makes."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.cli.archive import who_is_told
from pipeline.settings import Settings
from pipeline.sinks.known import SINKS, NoSink, configured, driver_of, told
from tests.lab import python, started
from tests.stores import Mongo, Redis, running


def run(*arguments: str, **environment: str) -> Result:
    named = {f"SMART_IOT_{name}": value for name, value in environment.items()}
    return CliRunner().invoke(main, ["archive", *arguments], env=named)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nobody is named to keep or tell anything: set one of SMART_IOT_MYSQL_URL, "),
        (("migrate",), "no database is named: set one of SMART_IOT_MYSQL_URL, SMART_IOT_MONGO_URL"),
    ],
)
def test_what_must_be_set_is_said(arguments, said):
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.output.startswith(f"smart-iot: {said}")


@pytest.mark.parametrize("arguments", [(), ("migrate",)])
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MYSQL_URL": "postgres://h/d"}, "SMART_IOT_MYSQL_URL can't be used: it must read mysql"),
        ({"MONGO_URL": "http://h/d"}, "SMART_IOT_MONGO_URL can't be used: Invalid URI scheme"),
        ({"REDIS_URL": "h"}, "SMART_IOT_REDIS_URL can't be used: Redis URL must specify"),
    ],
)
def test_what_cant_be_archived_to_is_refused_in_a_line(arguments, environment, said):
    done = run(*arguments, **environment)
    assert done.exit_code == 2
    assert done.output.startswith(f"smart-iot: {said}")


@pytest.mark.parametrize("sink", SINKS)
def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch, sink):
    driver = {"mysql": "pymysql", "mongo": "bson", "redis": "redis"}[sink]
    monkeypatch.delitem(sys.modules, f"pipeline.sinks.{sink}", raising=False)
    for name in [one for one in sys.modules if one.split(".")[0] == driver]:
        monkeypatch.delitem(sys.modules, name)

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name.split(".")[0] == driver:
                raise ModuleNotFoundError(f"No module named {driver!r}", name=driver)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(NoSink, match=r"is missing .* pip install 'smart-iot\[storage\]'"):
        driver_of(sink)


def test_the_worker_and_the_commands_need_no_driver():
    code = "import sys, pipeline.app, pipeline.archive, pipeline.cli.up; print(sorted(sys.modules))"
    with started(*python(code)) as program:
        loaded = "".join(program.lines.rest())
        assert program.code() == 0
    assert "'pipeline.sinks.known'" in loaded
    for driver in ("pymysql", "pymongo", "redis"):
        assert f"'{driver}'" not in loaded


def test_those_are_archived_to_whose_url_is_set():
    assert configured(Settings()) == []
    assert configured(Settings(redis_url="redis://h", mysql_url="mysql://h/d")) == [
        "mysql",
        "redis",
    ]


def test_those_are_told_of_alerts_for_whom_it_is_set():
    assert told(Settings()) == []
    assert told(Settings(alertmanager_urls=("http://am:9093",))) == ["alertmanager"]
    assert told(Settings(webhook_url="http://hook")) == ["webhook"]


def test_each_of_those_is_a_process_of_its_own(tmp_path):
    children = who_is_told(
        tmp_path,
        {"SMART_IOT_ALERTMANAGER_URLS": "http://am:9093", "SMART_IOT_WEBHOOK_URL": "http://hook"},
    )
    assert [child.name for child in children] == ["alertmanager", "webhook"]
    assert ["pipeline.archive:alertmanager" in child.command for child in children] == [True, False]


@pytest.mark.parametrize(
    "setting",
    [
        {"mysql_url": "mysql://me:secret@host/db"},
        {"alertmanager_urls": ("http://me:secret@am:9093",)},
        {"webhook_url": "https://hook/secret"},
        {"webhook_secret": "secret"},
    ],
)
def test_a_password_in_a_url_is_never_shown(setting):
    assert "=secret" not in repr(Settings(**setting)).replace("/", "=").replace(":", "=")


def test_migrate_says_what_it_made_and_what_it_cant_reach(tmp_path):
    with running(Mongo(tmp_path / "mongo")) as mongo, running(Redis(tmp_path / "redis")) as redis:
        done = run("migrate", MONGO_URL=mongo.url, REDIS_URL=redis.url)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines() == [
            "MongoDB has version 1 of the indexes",
            "Redis answers; there is nothing to create in it",
        ]
    done = run("migrate", REDIS_URL=redis.url)
    assert done.exit_code == 2
    assert done.output.startswith("smart-iot: redis can't be migrated: ")


@pytest.mark.parametrize(
    ("app", "setting"),
    [("redis", "REDIS_URL"), ("webhook", "WEBHOOK_URL")],
)
def test_what_isnt_set_up_ends_and_says_so(app, setting):
    with started(
        sys.executable, "-m", "faust", "-A", f"pipeline.archive:{app}", "worker"
    ) as program:
        program.lines.until(f"SMART_IOT_{setting} is not set")
        assert program.code() == 70


def test_for_machines_every_line_is_json_and_those_of_its_children_stay_as_they_are() -> None:
    code = """
from pipeline.cli.archive import sayer
from pipeline.settings import from_environment
say = sayer(from_environment())
say("starting redis archive…")
say('{"message": "restored"}')
"""
    with started(*python(code), SMART_IOT_LOG_FORMAT="JSON") as program:
        ours, its = program.lines.rest()
    assert json.loads(ours)["message"] == "starting redis archive…"
    assert its == '{"message": "restored"}'
