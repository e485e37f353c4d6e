from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from pipeline.settings import Settings, SettingsError, elsewhere


def refused(**environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        Settings.of({f"SMART_IOT_{name}": value for name, value in environment.items()})
    return str(raised.value).splitlines()


def test_an_empty_environment_gives_the_defaults_of_the_seed() -> None:
    settings = Settings.of({})
    assert settings == Settings()
    assert (settings.bootstrap, settings.web_host, settings.web_port) == (
        "localhost:9092",
        "127.0.0.1",
        8000,
    )


def test_each_setting_is_read_from_its_name_in_capitals() -> None:
    settings = Settings.of(
        {
            "SMART_IOT_BOOTSTRAP": "one:1,two:2",
            "SMART_IOT_PARTITIONS": "3",
            "SMART_IOT_FLUSH_INTERVAL": "0.25",
            "SMART_IOT_LOG_LEVEL": "debug",
            "PARTITIONS": "99",
        }
    )
    assert (settings.partitions, settings.flush_interval, settings.log_level) == (3, 0.25, "DEBUG")
    assert settings.kafka() == {
        "bootstrap_servers": ["one:1", "two:2"],
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PARTITIONS", "three", "is not a whole number of at least 1"),
        ("PARTITIONS", "0", "is not a whole number of at least 1"),
        ("REPLICATION", "1.5", "is not a whole number of at least 1"),
        ("VIEWERS", "-1", "is not a whole number of at least 1"),
        ("VIEWER_QUEUE", "0", "is not a whole number of at least 1"),
        ("WEB_PORT", "65536", "is not a port, 0 to 65535"),
        ("WEB_PORT", "-1", "is not a port, 0 to 65535"),
        ("FLUSH_INTERVAL", "soon", "is not a number of seconds above 0"),
        ("FLUSH_INTERVAL", "0", "is not a number of seconds above 0"),
        ("FLUSH_INTERVAL", "nan", "is not a number of seconds above 0"),
        ("RULES_WATCH", "yes", "is not a number of seconds, 0 or more"),
        ("RULES_WATCH", "-1", "is not a number of seconds, 0 or more"),
        ("WINDOW", "5m", "is not 0 or 10 to 86400 whole seconds"),
        ("WINDOW", "9", "is not 0 or 10 to 86400 whole seconds"),
        ("WINDOW", "-300", "is not 0 or 10 to 86400 whole seconds"),
        ("SESSION_TIMEOUT", "inf", "is not a number of seconds above 0"),
        ("SECURITY_PROTOCOL", "TLS", "is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("SASL_MECHANISM", "GSSAPI", "is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("BROKER", "PULSAR", "is not one of KAFKA, FALLBACK"),
        ("LOG_LEVEL", "LOUD", "is not one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "XML", "is not one of AUTO, JSON, TEXT"),
        ("BOOTSTRAP", ",", "is not host:port, comma-separated"),
        ("BOOTSTRAP", "a:1,b:x", "has 'b:x', which is no address such as kafka-1:9092"),
        ("BOOTSTRAP", "kafka://a", "has 'kafka://a', which is no address such as kafka-1:9092"),
        ("TOPIC_PREFIX", "my topics/", "is not at most 200 of A-Z a-z 0-9 . _ -"),
        (
            "ORIGINS",
            "example.org",
            "has 'example.org', which is no origin such as https://example.org",
        ),
        ("TRUSTED_PROXIES", "me", "has 'me', which is no address or network (10.0.0.0/8)"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, said: str) -> None:
    assert refused(**{name: value}) == [f"SMART_IOT_{name}={value} {said}"]


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("0.0", 0), ("2.5", 2.5)])
def test_the_watch_over_the_rules_can_be_off(value: str, seconds: float) -> None:
    assert Settings.of({"SMART_IOT_RULES_WATCH": value}).rules_watch == seconds


def test_all_wrong_values_are_named_at_once() -> None:
    assert refused(PARTITIONS="three", FLUSH_INTERVAL="soon", LOG_LEVEL="LOUD") == [
        "SMART_IOT_PARTITIONS=three is not a whole number of at least 1",
        "SMART_IOT_FLUSH_INTERVAL=soon is not a number of seconds above 0",
        "SMART_IOT_LOG_LEVEL=LOUD is not one of DEBUG, INFO, WARNING, ERROR",
    ]
    assert len(refused(PARTITIONS="0", WEB_PORT="65536", FLUSH_TIMEOUT="11")) == 3


def test_a_flush_must_end_before_kafka_gives_the_partitions_away() -> None:
    (line,) = refused(FLUSH_TIMEOUT="10", SESSION_TIMEOUT="10")
    assert line.startswith(
        "SMART_IOT_FLUSH_TIMEOUT=10.0 must be below SMART_IOT_SESSION_TIMEOUT=10"
    )


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("tell nobody\n")
    settings = Settings.of(
        {
            "SMART_IOT_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "SMART_IOT_SASL_USERNAME": "iot",
            "SMART_IOT_SASL_PASSWORD_FILE": str(tmp_path / "password"),
        }
    )
    assert settings.kafka() == {
        "bootstrap_servers": ["localhost:9092"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "iot",
        "sasl_plain_password": "tell nobody",
    }


def test_a_secrets_file_that_can_not_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (line,) = refused(SASL_PASSWORD_FILE=str(tmp_path / "none"))
    assert line == (
        f"SMART_IOT_SASL_PASSWORD can't be read: SMART_IOT_SASL_PASSWORD_FILE={tmp_path / 'none'}: "
        "No such file or directory"
    )


def test_a_secret_that_is_set_twice_is_refused_and_never_shown() -> None:
    (line,) = refused(SASL_PASSWORD="hunter2", SASL_PASSWORD_FILE="/dev/null")  # noqa: S106
    assert "is set twice" in line
    assert "hunter2" not in line


def test_only_secrets_are_read_from_files() -> None:
    (line,) = refused(BOOTSTRAP_FILE="/no/such/file")
    assert line == "SMART_IOT_BOOTSTRAP_FILE is no setting: SMART_IOT_BOOTSTRAP is meant?"


def test_the_state_is_kept_below_home_unless_a_folder_is_named() -> None:
    assert Settings.of({}).state_dir == Path.home() / ".local/share/smart-iot"
    assert Settings.of({"SMART_IOT_DATA_DIR": "/srv/iot"}).state_dir == Path("/srv/iot")


def test_a_name_with_a_slip_in_it_is_refused_with_the_right_one() -> None:
    with pytest.raises(
        SettingsError, match="SMART_IOT_BOOTSTAP is no setting: SMART_IOT_BOOTSTRAP"
    ):
        Settings.of({"SMART_IOT_BOOTSTAP": "localhost:9092"})


def test_a_time_zone_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="SMART_IOT_NAIVE_TIMEZONE=Nowhere/At_All is not"):
        Settings.of({"SMART_IOT_NAIVE_TIMEZONE": "Nowhere/At_All"})


def test_a_wrong_range_is_told_together_with_a_wrong_form() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.of({"SMART_IOT_PARTITIONS": "0", "SMART_IOT_WEB_PORT": "many"})
    assert "SMART_IOT_PARTITIONS=0" in str(refused.value)
    assert "SMART_IOT_WEB_PORT=many" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALERTMANAGER_URLS", "http://am:9093,s3cret", "is no address such as http"),
        ("ALERTMANAGER_URLS", "http://am:9093?key=s3cret", "has an address with a query"),
        ("WEBHOOK_URL", "example.org/s3cret", "is no address such as http"),
        ("WEBHOOK_URL", "https://example.org/a s3cret", "is no address such as http"),
        ("WEBHOOK_URL", "https://[::1/s3cret", "is no address such as http"),
    ],
)
def test_an_address_that_cant_be_used_is_refused_without_being_shown(
    name: str, value: str, said: str
) -> None:
    (line,) = refused(**{name: value})
    assert line.startswith(f"SMART_IOT_{name} {said}")
    assert "s3cret" not in line


def test_alertmanagers_are_each_named_once() -> None:
    settings = Settings.of(
        {"SMART_IOT_ALERTMANAGER_URLS": "http://a:1/am/ , http://b:2,http://b:2/"}
    )
    assert settings.alertmanager_urls == ("http://a:1/am", "http://b:2")


def test_an_alertmanager_must_be_told_anew_in_time() -> None:
    (line,) = refused(ALERTMANAGER_HOLD="4")
    assert line == "SMART_IOT_ALERTMANAGER_HOLD=4 is not a number of seconds, 5 or more"


def test_a_login_to_kafka_needs_a_name_and_a_password() -> None:
    assert refused(SECURITY_PROTOCOL="SASL_SSL") == [
        "SMART_IOT_SECURITY_PROTOCOL=SASL_SSL needs SMART_IOT_SASL_USERNAME",
        "SMART_IOT_SECURITY_PROTOCOL=SASL_SSL needs SMART_IOT_SASL_PASSWORD",
    ]


@pytest.mark.parametrize("whose", ["SSL", "WEB"])
def test_a_key_without_a_certificate_is_refused(whose: str) -> None:
    assert refused(**{f"{whose}_KEYFILE": "key.pem"}) == [
        f"SMART_IOT_{whose}_KEYFILE is of no use without SMART_IOT_{whose}_CERTFILE"
    ]


@pytest.mark.parametrize("name", ["SSL_CAFILE", "SSL_CERTFILE"])
def test_a_file_for_tls_that_can_not_be_read_is_refused_by_name(name: str) -> None:
    settings = Settings.of({"SMART_IOT_SECURITY_PROTOCOL": "SSL", f"SMART_IOT_{name}": "/none"})
    with pytest.raises(SettingsError, match=f"SMART_IOT_{name}=/none .*No such file"):
        settings.kafka()


def test_every_default_is_what_its_own_text_says() -> None:
    for setting in fields(Settings):
        kind = setting.metadata["kind"]
        if not setting.metadata["secret"]:
            assert kind.read(kind.write(setting.default)) == setting.default, setting.name


def test_a_secret_is_in_no_text_of_the_settings() -> None:
    settings = Settings.of({"SMART_IOT_SASL_PASSWORD": "tell nobody"})
    assert "tell nobody" not in repr(settings)


def test_for_a_process_in_another_folder_the_files_that_are_named_are_still_found() -> None:
    names = {"SMART_IOT_RULES", "SMART_IOT_TOKENS_FILE", "SMART_IOT_SETTINGS"}
    given = {**dict.fromkeys(names, "here/it"), "SMART_IOT_DATA_DIR": "", "PATH": "bin"}
    found = elsewhere(given)
    assert {name for name in given if found[name] != given[name]} == names
    assert {found[name] for name in names} == {str(Path("here/it").absolute())}
