"""`smart-iot settings` in; what holds and where it comes from, without a secret, out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pipeline.cli.settings import explained
from pipeline.settings import Settings

CLI = (sys.executable, "-c", "from pipeline.cli import main; main()", "settings")
EXAMPLE = Path(__file__).parents[3] / "deploy/.env.example"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {name: one for name, one in os.environ.items() if not name.startswith("SMART_IOT_")}
    return subprocess.run(
        [*CLI, *arguments], env=ours | environment, capture_output=True, text=True, timeout=60
    )


def test_every_setting_is_told_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2-hunter2\n")
    (tmp_path / "house.toml").write_text('viewers = 5\nsasl_password_file = "password"\n')
    told = run(
        SMART_IOT_SETTINGS=str(tmp_path / "house.toml"),
        SMART_IOT_BOOTSTRAP="kafka-1:9092",
        SMART_IOT_TOKENS='[{"token": "tell-nobody", "name": "ada"}]',
    )
    assert (told.returncode, told.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()}
    assert len(rows) == len(Settings.__dataclass_fields__)
    assert rows["SMART_IOT_BOOTSTRAP"] == ["kafka-1:9092", "environment"]
    assert rows["SMART_IOT_VIEWERS"] == ["5", str(tmp_path / "house.toml")]
    assert rows["SMART_IOT_SASL_PASSWORD"] == ["(hidden)", str(tmp_path / "password")]
    assert rows["SMART_IOT_TOKENS"] == ["(hidden)", "environment"]
    assert rows["SMART_IOT_FLUSH_TIMEOUT"] == ["8", "default"]
    assert "hunter2" not in told.stdout
    assert "tell-nobody" not in told.stdout


def test_wrong_settings_are_refused_a_line_each() -> None:
    told = run(SMART_IOT_PARTITIONS="0", SMART_IOT_LOGLEVEL="INFO")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.splitlines() == [
        "smart-iot: SMART_IOT_LOGLEVEL is no setting: SMART_IOT_LOG_LEVEL is meant?",
        "SMART_IOT_PARTITIONS=0 is not a whole number of at least 1",
    ]


def test_the_example_is_what_the_settings_are() -> None:
    assert EXAMPLE.read_text() == explained(), "make example"
    assert run("--example").stdout == explained()


def test_what_the_example_proposes_are_the_defaults() -> None:
    proposed = [line[1:] for line in explained().splitlines() if line.startswith("#SMART_IOT_")]
    pairs = dict(line.split("=", 1) for line in proposed)
    secrets = {name for name in pairs if f"{name}_FILE" in pairs}
    assert {"SMART_IOT_SASL_PASSWORD", "SMART_IOT_TOKENS"} <= secrets
    given = {
        name: text for name, text in pairs.items() if name.removesuffix("_FILE") not in secrets
    }
    assert Settings.of(given) == Settings()
    assert len(given) + len(secrets) == len(Settings.__dataclass_fields__)
