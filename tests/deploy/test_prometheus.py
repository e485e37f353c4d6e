"""The files of deploy/prometheus: what Prometheus' own tool says of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.exposed import (
    OF_PROMETHEUS,
    ROOT,
    metrics_of,
    needs_prometheus,
    promtool,
    samples,
    unknown_labels,
)

FOLDER = ROOT / "deploy/prometheus"
FILES = sorted(FOLDER.glob("rules/*.yml"))
TESTS = sorted(Path(__file__).parent.glob("prometheus/*_test.yml"))
RULES: list[dict[str, Any]] = [
    rule
    for file in FILES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


KUBERNETES = "    kubernetes_sd_configs:\n      - role: pod\n"
POD = {
    "namespace": "production",
    "pod_ip": "10.1.2.3",
    "pod_phase": "Running",
    "pod_label_app_kubernetes_io_part_of": "smart-iot",
    "pod_label_app_kubernetes_io_component": "worker",
    "pod_annotation_prometheus_io_scrape": "true",
    "pod_annotation_prometheus_io_port": "8000",
}
# A pod's name; in what it differs; where it is scraped, if it is
PODS: list[tuple[str, dict[str, str], str | None]] = [
    ("worker-0", {}, "10.1.2.3:8000/metrics"),
    ("elsewhere", {"pod_annotation_prometheus_io_path": "/m"}, "10.1.2.3:8000/m"),
    ("archive-0", {"pod_annotation_prometheus_io_port": "8001"}, "10.1.2.3:8001/metrics"),
    ("unasked", {"pod_annotation_prometheus_io_scrape": "false"}, None),
    ("else", {"pod_label_app_kubernetes_io_part_of": "else"}, None),
    ("done", {"pod_phase": "Succeeded"}, None),
]


@needs_prometheus
def test_the_configuration_is_one_and_its_rules_are_found() -> None:
    said = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert said.count("rules found") == len(FILES)


@needs_prometheus
def test_in_kubernetes_the_pods_that_ask_for_it_are_scraped(tmp_path: Path) -> None:
    """Debian's Prometheus knows nothing of Kubernetes: what that would tell it stands in a file."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "kubernetes.yml"
    text = config.read_text()
    assert KUBERNETES in text
    config.write_text(text.replace(KUBERNETES, "    file_sd_configs: [{files: [pods.yml]}]\n"))
    pods = [
        {
            "targets": ["10.1.2.3:9999"],
            "labels": {
                f"__meta_kubernetes_{label}": value
                for label, value in {**POD, "pod_name": name, **other}.items()
            },
        }
        for name, other, _ in PODS
    ]
    (tmp_path / "pods.yml").write_text(json.dumps(pods))  # JSON is YAML
    promtool("check", "config", str(config))
    said = promtool("check", "service-discovery", "--timeout=2s", str(config), "smart-iot")
    found = {
        target["discoveredLabels"]["__meta_kubernetes_pod_name"]: target["labels"]
        for target in json.JSONDecoder().raw_decode(said)[0]  # its log comes behind that
    }
    assert {name: _address(labels) for name, labels in found.items()} == {
        name: scraped for name, _, scraped in PODS
    }
    labels = found["worker-0"]
    named = [labels[name] for name in ("job", "instance", "component", "namespace")]
    assert named == ["smart-iot", "worker-0", "worker", "production"]


def _address(labels: dict[str, str]) -> str | None:
    """None where it was dropped."""
    return labels["__address__"] + labels["__metrics_path__"] if labels else None


@needs_prometheus
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_fire_and_clear_as_they_should(file: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(file))


@needs_prometheus
def test_a_wrong_expectation_of_a_rule_is_found(tmp_path: Path) -> None:
    """So the test above can fail."""
    shutil.copytree(FOLDER, tmp_path / "deploy/prometheus")
    wrong = tmp_path / "tests/deploy/prometheus/wrong_test.yml"
    wrong.parent.mkdir(parents=True)
    wrong.write_text(TESTS[0].read_text().replace("value: 1}", "value: 2}", 1))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", str(wrong))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    expected = "".join(file.read_text() for file in TESTS)
    asked = re.findall(rf'alertname="{alert}".*\n +exp_samples: (.+)', expected)
    assert "[]" in asked
    assert any(one != "[]" for one in asked)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"].keys() == {"summary", "description"}


def test_rules_ask_for_metrics_that_there_are() -> None:
    known = samples() | RECORDED
    for rule in RULES:
        asked = metrics_of(rule["expr"])
        assert asked, rule
        assert asked <= known, asked - known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_labels_that_their_metrics_have_and_tell_no_others(rule) -> None:
    summary = rule.get("annotations", {}).get("summary", "")
    told = re.sub(r"\$labels\.", "", summary).replace("$value", "")
    if not OF_PROMETHEUS & metrics_of(rule["expr"]):
        assert not unknown_labels(rule["expr"], told)


def test_nothing_is_recorded_that_no_alert_asks_for() -> None:
    asked = {name for rule in ALERTS.values() for name in metrics_of(rule["expr"])}
    assert asked >= RECORDED
