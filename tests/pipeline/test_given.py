"""An environment and a settings file in; what of both is a setting, and what is refused, out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.settings import Settings, SettingsError, texts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "smart-iot.toml"


def settings(file: Path, **environment: str) -> Settings:
    ours = {f"SMART_IOT_{name}": value for name, value in environment.items()}
    return Settings.of({"SMART_IOT_SETTINGS": str(file), **ours})


def refused(file: Path, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings(file, **environment)
    return str(raised.value).splitlines()


def test_a_file_has_the_same_names_in_small_letters_and_values_of_their_own_kind(
    file: Path,
) -> None:
    file.write_text(
        """
        bootstrap = "kafka-1:9092,kafka-2:9092"
        partitions = 12
        flush_interval = 0.5
        origins = ["https://a.example", "https://b.example"]
        tokens = [{ token = "tell-nobody", name = "ada", devices = ["hall/*"] }]
        """
    )
    found = settings(file)
    assert (found.bootstrap, found.partitions) == ("kafka-1:9092,kafka-2:9092", 12)
    assert found.flush_interval == 0.5
    assert found.origins == {"https://a.example", "https://b.example"}
    assert [token.scope.name for token in found.tokens] == ["ada"]


def test_what_stands_in_the_environment_wins(file: Path) -> None:
    file.write_text('partitions = 12\nsasl_password_file = "/no/such/file"\n')
    found = settings(file, PARTITIONS="3", SASL_PASSWORD="out there")  # noqa: S106
    assert (found.partitions, found.sasl_password) == (3, "out there")


def test_an_empty_variable_is_as_good_as_none(file: Path) -> None:
    file.write_text("partitions = 12\n")
    (file.parent / "password").write_text("tell nobody")
    secret = {"SASL_PASSWORD": "", "SASL_PASSWORD_FILE": str(file.parent / "password")}
    found = settings(file, PARTITIONS="", BOOTSTRAP="", WEB_HOST="", **secret)
    assert found.sasl_password == "tell nobody"  # noqa: S105
    assert (found.partitions, found.bootstrap, found.web_host) == (
        12,
        "localhost:9092",
        "127.0.0.1",
    )


def test_an_empty_name_of_a_secrets_file_is_none_that_can_be_read() -> None:
    with pytest.raises(SettingsError, match="SMART_IOT_TOKENS can't be read"):
        Settings.of({"SMART_IOT_TOKENS_FILE": ""})


def test_relative_paths_in_a_file_begin_at_its_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "password").write_text("tell nobody\n")
    file.write_text('rules = "rules.toml"\nsasl_password_file = "password"\ndata_dir = "~/iot"\n')
    monkeypatch.setenv("HOME", "/home/ada")
    found = settings(file)
    assert found.rules == str(file.parent / "rules.toml")
    assert found.sasl_password == "tell nobody"  # noqa: S105
    assert found.data_dir == "/home/ada/iot"
    assert settings(file, RULES="rules.toml").rules == "rules.toml"


def test_all_mistakes_of_both_are_told_at_once_each_with_its_place(file: Path) -> None:
    file.write_text('partition = 3\nviewers = "many"\n[web]\nport = 1\n')
    assert refused(file, WEB_PORT="none", VIEWER="1") == [
        "SMART_IOT_VIEWER is no setting: SMART_IOT_VIEWERS is meant?",
        f"{file}: web is a table: settings stand at the top of the file, in none",
        f"{file}: partition is no setting: partitions is meant?",
        "SMART_IOT_WEB_PORT=none is not a port, 0 to 65535",
        f"{file}: viewers=many is not a whole number of at least 1",
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2026-11-22", "is neither text, a number nor a list of them"),
        ("[1, 2]", "is neither text, a number nor a list of them"),
        ("{ a = 1 }", "is a table: settings stand at the top of the file, in none"),
    ],
)
def test_a_value_that_no_setting_can_have_is_refused(file: Path, value: str, said: str) -> None:
    file.write_text(f"partitions = {value}\n")
    assert refused(file) == [f"{file}: partitions {said}"]


def test_a_secret_of_a_file_is_not_shown_when_it_is_wrong(file: Path) -> None:
    file.write_text('tokens = [{ token = "hunter2", name = "ada" }]\n')
    (line,) = refused(file)
    assert line.startswith(f"{file}: tokens has no token of at least 8")
    assert "hunter2" not in line


def test_a_file_that_is_not_there_or_is_no_toml_is_refused_by_its_name(file: Path) -> None:
    assert refused(file) == [f"SMART_IOT_SETTINGS={file} can't be read: No such file or directory"]
    file.write_text("partitions: 3\n")
    (line,) = refused(file)
    assert line.startswith(f"SMART_IOT_SETTINGS={file} is not TOML: ")


def test_a_secrets_file_that_is_not_text_is_refused_without_a_byte_of_it(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"SMART_IOT_SASL_PASSWORD can't be read: .* not UTF-8"):
        Settings.of({"SMART_IOT_SASL_PASSWORD_FILE": str(tmp_path / "password")})


def test_what_kubernetes_says_of_services_of_such_names_is_no_setting() -> None:
    links = {
        "SMART_IOT_PORT": "tcp://10.0.0.7:8000",
        "SMART_IOT_PORT_8000_TCP_ADDR": "10.0.0.7",
        "SMART_IOT_SERVICE_HOST": "10.0.0.7",
        "SMART_IOT_WEB_SERVICE_PORT_HTTP": "8000",
        "SMART_IOT_WEB_PORT": "tcp://10.0.0.7:8000",
    }
    assert Settings.of(links) == Settings()
    with pytest.raises(SettingsError, match=r"SMART_IOT_WEB_PORT=10\.0\.0\.7 is not a port"):
        Settings.of({**links, "SMART_IOT_WEB_PORT": "10.0.0.7"})


def test_how_the_core_is_built_is_none_of_ours() -> None:
    assert texts({"SMART_IOT_CORE": "plain", "SMART_IOT_VIEWERS": "5"}) == {"viewers": "5"}
    assert Settings.of({"SMART_IOT_CORE": "plain"}) == Settings()


def test_a_name_in_small_letters_is_refused() -> None:
    with pytest.raises(SettingsError, match="SMART_IOT_partitions is no setting"):
        Settings.of({"SMART_IOT_partitions": "3"})
