"""Environment in, one frozen object of settings out; every wrong value is refused by name."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pipeline.access import Token, parse
from pipeline.given import FILE, PREFIX, SETTINGS, given
from pipeline.values import (
    ADDRESSES,
    HOLD,
    HTTP_ADDRESS,
    HTTP_ADDRESSES,
    NETWORKS,
    ORIGINS,
    PATH,
    PORT,
    SECONDS,
    SECONDS_OR_NEVER,
    TEXT,
    TIMEZONE,
    TOPIC_PREFIX,
    WINDOW,
    Kind,
    Network,
    one_of,
    refused,
    whole,
)

__all__ = ["PREFIX", "Settings", "SettingsError", "elsewhere", "from_environment", "texts"]


class SettingsError(ValueError):
    """One or more settings can't be used; the text names each of them, a line each."""


def _setting(
    default: Any,
    explain: str,
    kind: Kind = TEXT,
    *,
    allowed: Sequence[str] = (),
    secret: bool = False,
) -> Any:
    metadata = {
        "explain": explain,
        "kind": one_of(allowed) if allowed else kind,
        "allowed": allowed,
        "secret": secret,
    }
    return field(default=default, repr=not secret, metadata=metadata)


TOKENS = Kind('a list of {"token": …, "name": …}, as JSON', parse)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can choose. Each field is `SMART_IOT_<NAME>` in the environment; `given`
    knows the other ways."""

    bootstrap: str = _setting(
        "localhost:9092", "Kafka's addresses, host:port, comma-separated", ADDRESSES
    )
    broker: str = _setting(
        "KAFKA",
        "what answers there; `smart-iot up` alone sets FALLBACK, for its own fallback broker",
        allowed=("KAFKA", "FALLBACK"),
    )
    security_protocol: str = _setting(
        "PLAINTEXT",
        "how to talk to Kafka",
        allowed=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism: str = _setting(
        "PLAIN", "how to log in to Kafka", allowed=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    sasl_username: str = _setting("", "user name for Kafka")
    sasl_password: str = _setting("", "password for Kafka", secret=True)
    ssl_cafile: str = _setting(
        "", "file with the authorities we trust (PEM); empty: the system's", PATH
    )
    ssl_certfile: str = _setting(
        "", "file with our certificate (PEM), where Kafka asks for one", PATH
    )
    ssl_keyfile: str = _setting("", "file with the key of our certificate (PEM)", PATH)
    topic_prefix: str = _setting(
        "", "put before the name of every topic, table and group", TOPIC_PREFIX
    )
    rules: str = _setting("", "file of the rules (TOML); empty: the built-in ones", PATH)
    rules_watch: float = _setting(
        0.0, "seconds between two looks whether that file has changed; 0: never", SECONDS_OR_NEVER
    )
    partitions: int = _setting(
        8, "partitions of the topics where `readings` doesn't exist yet", whole(1)
    )
    replication: int = _setting(1, "replicas of the topics that we create", whole(1))
    data_dir: str = _setting(
        "", "folder of the RocksDB state; empty: ~/.local/share/smart-iot", PATH
    )
    cache_dir: str = _setting(
        "", "folder of Kafka's jars for `up`; empty: ~/.cache/smart-iot", PATH
    )
    web_host: str = _setting("127.0.0.1", "address that the web view listens on")
    web_port: int = _setting(8000, "port that the web view listens on; 0 takes a free one", PORT)
    viewers: int = _setting(10_000, "WebSocket viewers at the most", whole(1))
    viewer_queue: int = _setting(
        1_000, "messages a slow viewer may fall behind before it is dropped", whole(1)
    )
    windows_kept: int = _setting(
        500_000, "closed windows that a web view keeps in memory, for charts", whole(1)
    )
    viewers_per_address: int = _setting(
        200, "WebSocket viewers at the most from one address other than loopback", whole(1)
    )
    recovery_events: int = _setting(
        10_000, "alert events kept for viewers who come back and ask for what they missed", whole(1)
    )
    recovery_age: float = _setting(86_400.0, "seconds for which they are kept", SECONDS)
    origins: frozenset[str] = _setting(
        frozenset(),
        "origins of other pages that may watch and change, as https://example.org, comma-separated",
        ORIGINS,
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        (), "addresses or networks whose X-Forwarded-For is believed, comma-separated", NETWORKS
    )
    tokens: tuple[Token, ...] = _setting(
        (), "who may see and change what (JSON); empty: everybody everything", TOKENS, secret=True
    )
    web_certfile: str = _setting(
        "", "file with the web view's certificates (PEM): then it is TLS", PATH
    )
    web_keyfile: str = _setting(
        "", "file with the key of that (PEM), unless it is in there too", PATH
    )
    window: int = _setting(
        300, "seconds of the windows that are counted a device and metric; 0 counts none", WINDOW
    )
    flush_interval: float = _setting(1.0, "seconds between two writes of the state", SECONDS)
    flush_timeout: float = _setting(
        8.0, "seconds a flush may take before the worker gives up", SECONDS
    )
    session_timeout: float = _setting(
        10.0, "seconds without a heartbeat until Kafka gives our partitions away", SECONDS
    )
    naive_timezone: str = _setting("UTC", "time zone of timestamps that name none", TIMEZONE)
    mysql_url: str = _setting(
        "",
        "where alerts and windows go: mysql://user:password@host/database",
        secret=True,
    )
    mysql_days: int = _setting(
        365, "days that MySQL keeps what is over, from when it was stored; 0: for ever", whole(0)
    )
    mongo_url: str = _setting(
        "", "where readings go: mongodb://user:password@host/database", secret=True
    )
    mongo_days: int = _setting(
        30, "days that MongoDB keeps a reading, from when it was stored; 0: for ever", whole(0)
    )
    redis_url: str = _setting(
        "", "where the newest of every device goes: redis://:password@host/0", secret=True
    )
    redis_days: int = _setting(
        7,
        "days without a reading after which Redis forgets a device: as `retire_after` in the rules",
        whole(1),
    )
    archive_port: int = _setting(
        8001, "port of the first archive's /metrics, the others take the next; 0: any", PORT
    )
    archive_migrate: str = _setting(
        "NO", "whether an archive makes its tables by itself when it starts", allowed=("NO", "YES")
    )
    archive_rows: int = _setting(2_000, "records that an archive writes at once", whole(1))
    archive_wait: float = _setting(
        1.0, "seconds that an archive waits for as many before it writes what there is", SECONDS
    )
    web_url: str = _setting(
        "",
        "address at which people reach the page, for links to it; empty: localhost at the web port",
        HTTP_ADDRESS,
    )
    alertmanager_urls: tuple[str, ...] = _setting(
        (),
        "Alertmanagers to be told what is open, all of a cluster: http://host:9093, "
        "comma-separated",
        HTTP_ADDRESSES,
        secret=True,
    )
    alertmanager_hold: float = _setting(
        300.0,
        "seconds after which one takes an alert for resolved that we don't tell again",
        HOLD,
    )
    alertmanager_suppressed: str = _setting(
        "NO",
        "whether they are told of suppressed alerts too, and left to suppress them",
        allowed=("NO", "YES"),
    )
    webhook_url: str = _setting(
        "", "where each alert event is posted: https://example.org/path", HTTP_ADDRESS, secret=True
    )
    webhook_secret: str = _setting(
        "", "what the events posted there are signed with; empty: not at all", secret=True
    )
    webhook_patience: float = _setting(
        3_600.0, "seconds for which an event is tried that the webhook doesn't take", SECONDS
    )
    log_level: str = _setting(
        "INFO",
        "least severe log line that is written",
        allowed=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    log_format: str = _setting(
        "AUTO",
        "form of the log lines; AUTO: TEXT on a terminal, else JSON",
        allowed=("AUTO", "JSON", "TEXT"),
    )

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Settings of an environment, and of the file that it names. SettingsError names every
        wrong value and unknown name, with what is allowed."""
        found, errors = given(environment, fields(cls))
        values: dict[str, Any] = {}
        for setting in fields(cls):
            if (one := found.get(setting.name)) is None:
                continue
            kind = setting.metadata["kind"]
            try:
                values[setting.name] = kind.read(one.text)
            except ValueError as error:
                errors.append(f"{one.named} {refused(error, kind)}")
        settings = cls(**values)
        errors += settings._faults()
        if errors:
            raise SettingsError("\n".join(errors))
        return settings

    def _faults(self) -> list[str]:
        """What is wrong with values that are well-formed, beside each other."""
        errors = []
        if self.flush_timeout >= self.session_timeout:
            errors.append(
                f"{PREFIX}FLUSH_TIMEOUT={self.flush_timeout} must be below "
                f"{PREFIX}SESSION_TIMEOUT={self.session_timeout}: a flush must end before Kafka "
                "gives our partitions to another worker"
            )
        if self.security_protocol.startswith("SASL"):
            errors += [
                f"{PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs {PREFIX}{name.upper()}"
                for name in ("sasl_username", "sasl_password")
                if not getattr(self, name)
            ]
        errors += [
            f"{PREFIX}{key}_KEYFILE is of no use without {PREFIX}{key}_CERTFILE"
            for key in ("SSL", "WEB")
            if getattr(self, f"{key.lower()}_keyfile")
            and not getattr(self, f"{key.lower()}_certfile")
        ]
        return errors

    @property
    def state_dir(self) -> Path:
        return Path(self.data_dir) if self.data_dir else Path.home() / ".local/share/smart-iot"

    def kafka(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client: addresses and how to log in."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self.ssl_context()
        if self.security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        return arguments

    @property
    def fallback(self) -> bool:
        """Whether the broker is the one that stands in for Apache Kafka."""
        return self.broker == "FALLBACK"

    def delivery(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka producer: how its records reach the broker."""
        if self.fallback:
            # It refuses InitProducerId, and after a batch of several records the end that it
            # reports for the partition is too low.
            return {"acks": "all", "max_batch_size": 1, "linger_ms": 0}
        # Idempotent: a retry neither doubles a record nor lets a later one overtake it, and the
        # order within a partition is what `seq` and the rows' offsets rely on.
        return {"acks": "all", "enable_idempotence": True}

    def web_tls(self) -> ssl.SSLContext | None:
        """Of the web view, where it has a certificate. SettingsError where that can't be used."""
        if not self.web_certfile:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _load(context, "WEB", self.web_certfile, self.web_keyfile)
        return context

    def ssl_context(self) -> ssl.SSLContext:
        """To Kafka. SettingsError where a file of it can't be used."""
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile or None)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{PREFIX}SSL_CAFILE={self.ssl_cafile} can't be used: {error}"
            ) from None
        if self.ssl_certfile:
            _load(context, "SSL", self.ssl_certfile, self.ssl_keyfile)
        return context


def _load(context: ssl.SSLContext, whose: str, certfile: str, keyfile: str) -> None:
    try:
        # without a password: a key that has one must not make a server ask for it
        context.load_cert_chain(certfile, keyfile or None, lambda: "")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{PREFIX}{whose}_CERTFILE={certfile} with "
            f"{PREFIX}{whose}_KEYFILE={keyfile} can't be used: {error}"
        ) from None


def from_environment() -> Settings:
    return Settings.of(os.environ)


def texts(environment: Mapping[str, str]) -> dict[str, str]:
    """What is set, in the environment or in the settings file, as it stands there."""
    found, _ = given(environment, fields(Settings))
    return {name: one.text for name, one in found.items()}


def elsewhere(environment: Mapping[str, str]) -> dict[str, str]:
    """The same for a process in another folder: the files that are named are still found."""
    paths = {name: os.path.abspath(environment[name]) for name in _files() if environment.get(name)}
    return {**environment, **paths}


def _files() -> Iterator[str]:
    yield SETTINGS
    for setting in fields(Settings):
        name = PREFIX + setting.name.upper()
        if setting.metadata["kind"].is_path:
            yield name
        if setting.metadata["secret"]:
            yield name + FILE.upper()
