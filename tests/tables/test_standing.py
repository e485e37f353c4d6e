"""Steps of alerts in, how many are open out."""

from __future__ import annotations

import pytest

from tables.standing import Standing

FIRED = ("a", "warning", "threshold")
WORSE = ("a", "danger", "threshold")
SILENT = ("b", "warning", "offline")


@pytest.mark.parametrize(
    ("steps", "severities", "offline"),
    [
        ([FIRED], {"warning": 1}, 0),
        ([FIRED, FIRED], {"warning": 1}, 0),  # a reminder, or the sweep after it
        ([FIRED, WORSE], {"danger": 1}, 0),
        ([FIRED, WORSE, FIRED], {"warning": 1}, 0),
        ([FIRED, SILENT], {"warning": 2}, 1),
        ([FIRED, SILENT, "a"], {"warning": 1}, 1),
        ([FIRED, SILENT, "b"], {"warning": 1}, 0),
        ([FIRED, "a", "a"], {}, 0),
        (["a"], {}, 0),
    ],
)
def test_an_alert_counts_once_at_its_severity_of_now_and_not_once_it_is_resolved(
    steps: list[tuple[str, str, str] | str], severities: dict[str, int], offline: int
) -> None:
    standing = Standing()
    for step in steps:
        if isinstance(step, str):
            standing.closed(step)
        else:
            standing.opened(*step)
    assert +standing.by_severity == severities
    assert standing.offline == offline
