"""The dashboards of deploy/grafana: what they ask can be asked, of metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deploy.exposed import (
    ROOT,
    metrics_of,
    needs_prometheus,
    promtool,
    samples,
    unknown_labels,
)

FOLDER: Final = ROOT / "deploy/grafana"
DASHBOARDS: Final = sorted(FOLDER.glob("dashboards/*.json"))
PROVISIONED: Final = (FOLDER / "provisioning/datasources/prometheus.yml").read_text()
# Of Grafana's: how they stand once it has put values in their place
GRAFANA: Final = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}

pytestmark = pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(file.read_text())
    return dashboard


def panels(file: Path) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in read(file)["panels"] if panel["type"] != "row")


def expressions(file: Path) -> Iterator[str]:
    """All that are asked of Prometheus, as it gets them."""
    dashboard = read(file)
    asked = [target["expr"] for panel in panels(file) for target in panel["targets"]]
    asked += [one["expr"] for one in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        asked += re.findall(r"label_values\((\w+),", variable["definition"])
    for expression in asked:
        for name, value in GRAFANA.items():
            expression = expression.replace(name, value)
        yield expression


@needs_prometheus
def test_every_expression_can_be_asked(file: Path, tmp_path: Path) -> None:
    rules = [{"record": "asked", "expr": asked} for asked in expressions(file)]
    written = tmp_path / "rules.yml"  # JSON is YAML
    for number, rule in enumerate(rules):
        rule["labels"] = {"number": str(number)}  # no two rules may be the same
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(written))


def test_only_metrics_that_there_are_are_asked_for(file: Path) -> None:
    known = samples()
    for expression in expressions(file):
        asked = metrics_of(expression)
        assert asked, expression
        assert asked <= known, (expression, asked - known)


def test_only_labels_that_its_metrics_have_are_asked_for_and_shown(file: Path) -> None:
    for panel in panels(file):
        for target in panel["targets"]:
            wrong = unknown_labels(target["expr"], target.get("legendFormat", ""))
            assert not wrong, (panel["title"], wrong)


def test_every_panel_has_a_place_of_its_own_a_title_and_words_that_explain_it(file: Path) -> None:
    taken: set[tuple[int, int]] = set()
    numbers = [panel["id"] for panel in read(file)["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in read(file)["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in panels(file):
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_everything_is_asked_of_the_data_source_that_is_provisioned(file: Path) -> None:
    uids = re.findall(r'"uid": "([\w-]+)"', file.read_text())
    (provisioned,) = re.findall(r"uid: (\S+)", PROVISIONED)
    assert set(uids) == {read(file)["uid"], provisioned}
    assert read(file)["uid"] == f"smart-iot-{file.stem}"
