"""Environment in, one frozen object of settings out; every wrong value is refused by name."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.access import Token, parse

Network = IPv4Network | IPv6Network

PREFIX = "SMART_IOT_"
# A row holds the windows that a late reading can fall into: of 10 s each, 32 and no more.
SHORTEST_WINDOW, LONGEST_WINDOW = 10, 86_400
_LEAST = {
    **dict.fromkeys(("partitions", "replication", "viewers", "viewer_queue"), 1),
    **dict.fromkeys(("viewers_per_address", "recovery_events", "windows_kept"), 1),
    **dict.fromkeys(("redis_days", "archive_rows"), 1),
    **dict.fromkeys(("mysql_days", "mongo_days"), 0),
}


class SettingsError(ValueError):
    """One or more settings can't be used; the text names each of them, a line each."""


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number") from None


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not 0 < value < 1e9:
        raise ValueError("is not a positive number of seconds")
    return value


def _seconds_or_never(text: str) -> float:
    return 0.0 if text.strip() == "0" else _seconds(text)


def _origins(text: str) -> frozenset[str]:
    origins = frozenset(one.strip().lower().rstrip("/") for one in text.split(",") if one.strip())
    for origin in origins:
        try:
            parts = urlsplit(origin)
            is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_one = False
        if not is_one or origin != f"{parts.scheme}://{parts.netloc}" or "@" in origin:
            raise ValueError(f"has {origin!r}, which is no origin such as https://example.org")
    return origins


def _networks(text: str) -> tuple[Network, ...]:
    networks = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ip_network(one))
        except ValueError:
            raise ValueError(f"has {one!r}, which is no address or network (10.0.0.0/8)") from None
    return tuple(networks)


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not the name of a time zone, such as Asia/Ho_Chi_Minh") from None
    return text


def _setting(default: Any, explain: str, parse: Callable[[str], Any] = str, **more: Any) -> Any:
    metadata = {"explain": explain, "parse": parse, **more}
    return field(default=default, repr=not more.get("secret"), metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can choose. Each field is `SMART_IOT_<NAME>` in the environment; a secret
    can also come from the file that `SMART_IOT_<NAME>_FILE` names."""

    bootstrap: str = _setting("localhost:9092", "Kafka's addresses, host:port, comma-separated")
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
    ssl_cafile: str = _setting("", "file with the authorities we trust (PEM); empty: the system's")
    ssl_certfile: str = _setting("", "file with our certificate (PEM), where Kafka asks for one")
    ssl_keyfile: str = _setting("", "file with the key of our certificate (PEM)")
    topic_prefix: str = _setting("", "put before the name of every topic, table and group")
    rules: str = _setting("", "file of the rules (TOML); empty: the built-in ones")
    rules_watch: float = _setting(
        0.0, "seconds between two looks whether that file has changed; 0: never", _seconds_or_never
    )
    partitions: int = _setting(
        8, "partitions of the topics where `readings` doesn't exist yet", _whole
    )
    replication: int = _setting(1, "replicas of the topics that we create", _whole)
    data_dir: str = _setting("", "folder of the RocksDB state; empty: ~/.local/share/smart-iot")
    cache_dir: str = _setting("", "folder of Kafka's jars for `up`; empty: ~/.cache/smart-iot")
    web_host: str = _setting("127.0.0.1", "address that the web view listens on")
    web_port: int = _setting(8000, "port that the web view listens on; 0 takes a free one", _whole)
    viewers: int = _setting(10_000, "WebSocket viewers at the most", _whole)
    viewer_queue: int = _setting(
        1_000, "messages a slow viewer may fall behind before it is dropped", _whole
    )
    windows_kept: int = _setting(
        500_000, "closed windows that a web view keeps in memory, for charts", _whole
    )
    viewers_per_address: int = _setting(
        200, "WebSocket viewers at the most from one address other than loopback", _whole
    )
    recovery_events: int = _setting(
        10_000, "alert events kept for viewers who come back and ask for what they missed", _whole
    )
    recovery_age: float = _setting(86_400.0, "seconds for which they are kept", _seconds)
    origins: frozenset[str] = _setting(
        frozenset(),
        "origins of other pages that may watch and change, as https://example.org, comma-separated",
        _origins,
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        (), "addresses or networks whose X-Forwarded-For is believed, comma-separated", _networks
    )
    tokens: tuple[Token, ...] = _setting(
        (), "who may see and change what (JSON); empty: everybody everything", parse, secret=True
    )
    web_certfile: str = _setting("", "file with the web view's certificates (PEM): then it is TLS")
    web_keyfile: str = _setting("", "file with the key of that (PEM), unless it is in there too")
    window: int = _setting(
        300, "seconds of the windows that are counted a device and metric; 0 counts none", _whole
    )
    flush_interval: float = _setting(1.0, "seconds between two writes of the state", _seconds)
    flush_timeout: float = _setting(
        8.0, "seconds a flush may take before the worker gives up", _seconds
    )
    session_timeout: float = _setting(
        10.0, "seconds without a heartbeat until Kafka gives our partitions away", _seconds
    )
    naive_timezone: str = _setting("UTC", "time zone of timestamps that name none", _timezone)
    mysql_url: str = _setting(
        "",
        "where alerts and windows go: mysql://user:password@host/database",
        secret=True,
    )
    mysql_days: int = _setting(
        365, "days that MySQL keeps what is over, from when it was stored; 0: for ever", _whole
    )
    mongo_url: str = _setting(
        "", "where readings go: mongodb://user:password@host/database", secret=True
    )
    mongo_days: int = _setting(
        30, "days that MongoDB keeps a reading, from when it was stored; 0: for ever", _whole
    )
    redis_url: str = _setting(
        "", "where the newest of every device goes: redis://:password@host/0", secret=True
    )
    redis_days: int = _setting(
        7, "days without a reading after which Redis forgets a device", _whole
    )
    archive_port: int = _setting(
        8001, "port of the first archive's /metrics, the others take the next; 0: any", _whole
    )
    archive_migrate: str = _setting(
        "NO", "whether an archive makes its tables by itself when it starts", allowed=("NO", "YES")
    )
    archive_rows: int = _setting(2_000, "records that an archive writes at once", _whole)
    archive_wait: float = _setting(
        1.0, "seconds that an archive waits for as many before it writes what there is", _seconds
    )
    log_level: str = _setting(
        "INFO",
        "least severe log line that is written",
        allowed=("DEBUG", "INFO", "WARNING", "ERROR"),
    )

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """Settings of an environment. SettingsError names every wrong value and unknown name."""
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        errors: list[str] = []
        values: dict[str, Any] = {}
        for name, setting in known.items():
            try:
                text = _text(environment, name, secret=setting.metadata.get("secret", False))
                if text is not None:
                    values[setting.name] = _parse(text, setting.metadata)
            except ValueError as error:
                shown = "" if setting.metadata.get("secret") else f"={environment.get(name, '')}"
                errors.append(f"{name}{shown} {error}")
        errors += _unknown(environment, known)
        settings = cls(**values)
        errors += settings._faults()
        if errors:
            raise SettingsError("\n".join(errors))
        return settings

    def _faults(self) -> list[str]:
        """What is wrong with values that are well-formed."""
        errors = []
        errors += [
            f"{PREFIX}{name.upper()}={getattr(self, name)} is not a port (0 to 65535)"
            for name in ("web_port", "archive_port")
            if not 0 <= getattr(self, name) < 65536
        ]
        errors += [
            f"{PREFIX}{name.upper()}={getattr(self, name)} must be at least {least}"
            for name, least in _LEAST.items()
            if getattr(self, name) < least
        ]
        if self.window != 0 and not SHORTEST_WINDOW <= self.window <= LONGEST_WINDOW:
            errors.append(
                f"{PREFIX}WINDOW={self.window} is neither 0 nor "
                f"{SHORTEST_WINDOW} to {LONGEST_WINDOW} seconds"
            )
        if self.flush_timeout >= self.session_timeout:
            errors.append(
                f"{PREFIX}FLUSH_TIMEOUT={self.flush_timeout} must be below "
                f"{PREFIX}SESSION_TIMEOUT={self.session_timeout}: a flush must end before Kafka "
                "gives our partitions to another worker"
            )
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
        try:
            # without a password: a key that has one must not make a server ask for it
            context.load_cert_chain(self.web_certfile, self.web_keyfile or None, lambda: "")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{PREFIX}WEB_CERTFILE={self.web_certfile} with "
                f"{PREFIX}WEB_KEYFILE={self.web_keyfile} can't be used: {error}"
            ) from None
        return context

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ssl_cafile or None)
        if self.ssl_certfile:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile or None)
        return context


def _unknown(environment: Mapping[str, str], known: Mapping[str, Field[Any]]) -> list[str]:
    """A name with a slip in it would otherwise be a setting that silently does nothing."""
    files = {name + "_FILE" for name, setting in known.items() if setting.metadata.get("secret")}
    allowed = known.keys() | files
    unknown = [name for name in environment if name.startswith(PREFIX) and name not in allowed]
    return [f"{name} is no setting{_meant(name, allowed)}" for name in sorted(unknown)]


def _meant(name: str, allowed: Iterable[str]) -> str:
    near = get_close_matches(name, allowed, n=1)
    return f": {near[0]} is meant?" if near else ""


def _text(environment: Mapping[str, str], name: str, *, secret: bool) -> str | None:
    path = environment.get(name + "_FILE") if secret else None
    if path is None:
        return environment.get(name)
    if name in environment:
        raise ValueError(f"is set twice: as {name} and as {name}_FILE")
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ValueError(f"can't be read: {name}_FILE={path}: {error.strerror}") from None


def _parse(text: str, metadata: Mapping[str, Any]) -> Any:
    allowed = metadata.get("allowed")
    if allowed and text.upper() not in allowed:
        raise ValueError(f"is not one of {', '.join(allowed)}")
    return text.upper() if allowed else metadata["parse"](text)


def from_environment() -> Settings:
    return Settings.of(os.environ)
