"""compose.yaml is one, starts in a healthy order, and knows the product that it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import main
from pipeline.settings import PREFIX, Settings
from pipeline.sinks.known import SINKS
from tests.deploy.manifests import DEPLOY, ROOT

COMPOSE = Path(sys.executable).parent / "docker-compose"
PROFILES = ("", "storage", "storage,monitoring,demo")
OURS = {"worker-1", "worker-2", "web", "topics", "simulator", "archive", "bridge"}
NO_SECRETS = {"MYSQL_RANDOM_ROOT_PASSWORD", "SMART_IOT_ALERTMANAGER_URLS"}
ONCE = {"topics"}  # ends when it is done


def compose(*arguments: str, profiles: str = "*") -> str:
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("COMPOSE_", PREFIX, "DOCKER"))
    }
    done = subprocess.run(
        [COMPOSE, "--file", DEPLOY / "compose.yaml", *arguments],
        env={**clean, "COMPOSE_PROFILES": profiles, "COMPOSE_DISABLE_ENV_FILE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """As Compose understands it: what is shared is filled in, what is short is written out."""
    return dict(json.loads(compose("config", "--format", "json")))


@pytest.fixture(scope="module")
def services(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(config["services"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make-secrets makes."""
    folder = tmp_path_factory.mktemp("deploy")
    shutil.copy(DEPLOY / "make-secrets", folder)
    subprocess.run([folder / "make-secrets"], check=True, timeout=60)
    return folder / "secrets"


@pytest.mark.parametrize("profiles", PROFILES)
def test_compose_takes_the_file_with_any_of_its_profiles(profiles: str) -> None:
    assert compose("config", "-q", profiles=profiles) == ""


def test_without_a_profile_it_is_kafka_two_workers_and_the_web_view() -> None:
    assert sorted(compose("config", "--services", profiles="").split()) == [
        "kafka",
        "web",
        "worker-1",
        "worker-2",
    ]


# --- order, health and limits -----------------------------------------------------------------


def test_nothing_starts_before_what_it_needs_is_healthy(services) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy", (name, needed)
            assert "healthcheck" in services[needed]
    needs = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert needs["worker-1"] == needs["worker-2"] == {"kafka"}
    assert needs["web"] == {"kafka", "worker-1", "worker-2"}
    assert needs["archive"] == {"kafka", "mysql", "mongo", "redis"}
    assert needs["bridge"] == {"kafka", "alertmanager"}


def test_what_is_needed_is_in_the_same_profile_or_in_none(services) -> None:
    for service in services.values():
        for needed in service.get("depends_on", {}):
            its_own = services[needed].get("profiles", [])
            assert not its_own or its_own == service.get("profiles")


def test_whatever_stays_is_looked_after_and_limited(services) -> None:
    for name, service in services.items():
        if name in ONCE:
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
        if name != "simulator":  # it listens to nothing
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_ports_are_open_on_this_machine_alone_unless_it_is_told_otherwise(services) -> None:
    opened = {name: s["ports"] for name, s in services.items() if "ports" in s}
    assert opened.keys() == {"kafka", "web", "prometheus", "alertmanager", "grafana"}
    for ports in opened.values():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"]


def test_databases_have_no_way_out_and_only_who_asks_them_has_one_to_them(config, services) -> None:
    assert config["networks"]["storage"]["internal"] is True
    on_it = {name for name, service in services.items() if "storage" in service["networks"]}
    assert on_it == {"mysql", "mongo", "redis", "archive", "web"}
    for name in ("mysql", "mongo", "redis"):
        assert services[name]["networks"].keys() == {"storage"}


def test_our_programs_have_no_rights_and_write_to_their_volumes_alone(services) -> None:
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name in OURS:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["image"] == "smart-iot:latest"
            assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).is_file()


# --- what it gives to the product -------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting_and_its_value_one_that_is_taken(
    services, secrets, name
) -> None:
    service = services[name]
    mounted = {one["source"]: one["target"] for one in service.get("secrets", [])}
    environment = {}
    for variable, value in service["environment"].items():
        if variable.endswith("_FILE") and value is not None:
            secret = value.rpartition("/")[2]
            assert value == mounted[secret] == f"/run/secrets/{secret}"
            value = str(secrets / secret)
        if value is not None:  # such is passed on from .env
            environment[variable] = value
    assert environment["SMART_IOT_BOOTSTRAP"] == "kafka:19092"
    Settings.of(environment)


def test_what_may_be_passed_on_to_the_web_view_is_mounted_there(services, secrets) -> None:
    web = services["web"]
    passed_on = [name for name, value in web["environment"].items() if value is None]
    assert passed_on == ["SMART_IOT_MYSQL_URL_FILE", "SMART_IOT_REDIS_URL_FILE"]
    mounted = {one["source"] for one in web["secrets"]}
    guide = (ROOT / "docs" / "deploy.md").read_text()
    for name in passed_on:
        (path,) = re.findall(rf"^{name}=(\S+)$", guide, re.MULTILINE)
        assert path.removeprefix("/run/secrets/") in mounted
        Settings.of({name: str(secrets / path.rpartition("/")[2])})


def test_the_archive_can_use_the_urls_that_it_is_given(services, secrets) -> None:
    from pipeline.cli.archive import usable

    urls = ("MYSQL_URL", "MONGO_URL", "REDIS_URL")
    settings = Settings.of(
        {f"{PREFIX}{name}": (secrets / name.lower()).read_text() for name in urls}
    )
    assert list(usable(settings)) == ["mysql", "mongo", "redis"]
    hosts = [
        re.findall(r"[@/]([\w-]+):\d+/", (secrets / name.lower()).read_text())[0] for name in urls
    ]
    assert hosts == ["mysql", "mongo", "redis"]
    assert hosts == [name for name in hosts if name in services]


def test_commands_are_ours(services) -> None:
    for name in OURS:
        command = services[name].get("command")
        if command:  # else it is the image's own
            assert command[0] == "smart-iot"
            assert main.get_command(
                main.make_context("smart-iot", ["--help"], resilient_parsing=True), command[1]
            )


def test_what_is_mounted_from_here_is_here(services) -> None:
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert volume["read_only"] is True
                assert Path(volume["source"]).exists(), (name, volume["source"])


def test_a_worker_has_a_volume_of_its_own_and_the_rules_that_are_beside_the_file(services) -> None:
    sources = []
    for name in ("worker-1", "worker-2"):
        volume, rules = services[name]["volumes"]
        assert (volume["type"], volume["target"]) == ("volume", "/data")
        sources.append(volume["source"])
        assert rules["target"] == services[name]["environment"]["SMART_IOT_RULES"]
        assert Path(rules["source"]) == DEPLOY / "rules.toml"
    assert len(set(sources)) == 2


def test_prometheus_finds_whatever_has_metrics_where_it_listens(services) -> None:
    settings = Settings()
    *archives, bridge = [settings.archive_port + number for number in range(4)]
    ports = {"worker-1": [settings.web_port], "worker-2": [settings.web_port]}
    ports |= {"web": [settings.web_port], "archive": archives, "bridge": [bridge]}
    targets = yaml.safe_load((DEPLOY / "compose" / "targets.yml").read_text())
    assert sorted(target for group in targets for target in group["targets"]) == sorted(
        f"{name}:{port}" for name, its_own in ports.items() for port in its_own
    )
    check = services["archive"]["healthcheck"]["test"]
    assert check[-3:] == [str(port) for port in archives]
    assert services["bridge"]["healthcheck"]["test"][-1] == str(bridge)
    (tellers,) = yaml.safe_load((DEPLOY / "compose" / "alertmanagers.yml").read_text())
    assert tellers["targets"] == ["alertmanager:9093"]
    for name in ("targets.yml", "alertmanagers.yml"):  # each in the place of one that is there
        assert (DEPLOY / "prometheus" / name).is_file()


def test_grafana_finds_its_dashboards_and_its_prometheus(services) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    mounted = {one["target"]: one.get("source", "") for one in services["grafana"]["volumes"]}
    assert Path(mounted["/etc/grafana/provisioning"]) == provisioning
    (dashboards,) = _provisioned(provisioning / "dashboards", "providers")
    assert Path(mounted[dashboards["options"]["path"]]) == DEPLOY / "grafana" / "dashboards"
    (source,) = _provisioned(provisioning / "datasources", "datasources")
    port = services["prometheus"]["ports"][0]["target"]
    assert source["url"] == f"http://prometheus:{port}"
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]


def _provisioned(folder: Path, what: str) -> list[Any]:
    (file,) = folder.iterdir()
    read = yaml.safe_load(file.read_text())
    assert read.keys() == {"apiVersion", what}
    return list(read[what])


def test_the_example_of_the_databases_settings_is_one() -> None:
    lines = (DEPLOY / "storage.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = Settings.of(given)
    assert list(given) == [
        f"{PREFIX}{name.upper()}_{what}" for name in SINKS for what in ("URL", "DAYS")
    ]
    for name in SINKS:  # as it is without the line
        days = f"{name}_days"
        assert getattr(settings, days) == getattr(Settings(), days)


# --- secrets ----------------------------------------------------------------------------------


def test_make_secrets_makes_every_secret_and_keeps_those_that_are_there(config, secrets) -> None:
    wanted = {Path(secret["file"]).name for secret in config["secrets"].values()}
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert made.keys() == wanted == config["secrets"].keys()
    (secrets / "grafana_password").write_text("mine")
    subprocess.run([secrets.parent / "make-secrets"], check=True, timeout=60)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == {
        **made,
        "grafana_password": "mine",
    }
    assert len({made[f"{name}_password"] for name in ("mysql", "mongo", "redis", "grafana")}) == 4
    for name in ("mysql", "mongo", "redis"):
        assert f":{made[f'{name}_password']}@" in made[f"{name}_url"]


def test_secrets_are_readable_in_containers_and_to_nobody_else_here(secrets) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o644}


def test_no_secret_stands_in_the_file_and_none_is_kept_in_git(services) -> None:
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if re.search(r"PASSWORD|TOKEN|SECRET|_URL|_KEY", variable):
                assert variable.endswith("_FILE") or variable in NO_SECRETS, name
    ignored = subprocess.run(
        [
            "git",
            "check-ignore",
            "--no-index",
            "deploy/secrets/tokens",
            "deploy/.env",
            "deploy/settings.env",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert len(ignored.stdout.splitlines()) == 3
