"""The text of a setting in; its value out, or in words what is allowed instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Network = IPv4Network | IPv6Network

# A row holds the windows that a late reading can fall into: of 10 s each, 32 and no more.
SHORTEST_WINDOW, LONGEST_WINDOW = 10, 86_400
SHORTEST_HOLD = 5  # seconds, in which it is told anew five times
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,200}")  # Kafka's own alphabet; 249 a whole name


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting may be, how its text is read (ValueError, in words where `allowed` doesn't
    say it), and how its value is written again."""

    allowed: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    is_path: bool = False


def refused(error: ValueError, kind: Kind) -> str:
    return str(error) or f"is not {kind.allowed}"


def one_of(words: Sequence[str]) -> Kind:
    """In capitals, however they are written."""
    return Kind(f"one of {', '.join(words)}", partial(_one_of, words))


def whole(least: int, most: int | None = None) -> Kind:
    numbers = f"of at least {least}" if most is None else f"of {least} to {most}"
    return Kind(f"a whole number {numbers}", partial(_whole, least, most))


def _one_of(words: Sequence[str], text: str) -> str:
    if text.upper() not in words:
        raise ValueError
    return text.upper()


def _whole(least: int, most: int | None, text: str) -> int:
    number: int = _number(int, text)
    if number < least or (most is not None and number > most):
        raise ValueError
    return number


def _number(kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError from None


def _seconds(text: str) -> float:
    value: float = _number(float, text)
    if not 0 < value < 1e9:
        raise ValueError
    return value


def _hold(text: str) -> float:
    value = _seconds(text)
    if value < SHORTEST_HOLD:
        raise ValueError
    return value


def _seconds_or_never(text: str) -> float:
    return 0.0 if _number(float, text) == 0 else _seconds(text)


def _window(text: str) -> int:
    return 0 if text.strip() == "0" else _whole(SHORTEST_WINDOW, LONGEST_WINDOW, text)


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError
    return text


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError from None
    return text


def _parts(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _addresses(text: str) -> str:
    addresses = _parts(text)
    if not addresses:
        raise ValueError
    for one in addresses:
        host, colon, port = one.rpartition(":")
        is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65_536
        if re.search(r"[\s/@]", one) or (colon and not (host and is_port)):
            raise ValueError(f"has {one!r}, which is no address such as kafka-1:9092")
    return ",".join(addresses)


def _http_address(text: str) -> str:
    """What is wrong is said without it, since it can hold a secret."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if url and not (is_one and url.isascii() and not parts.fragment and len(url.split()) == 1):
        raise ValueError("is no address such as https://example.org/path")
    return url


def _http_addresses(text: str) -> tuple[str, ...]:
    """Each once, to which a path can be added."""
    found = dict.fromkeys(_http_address(one).rstrip("/") for one in _parts(text))
    if any("?" in one for one in found):
        raise ValueError("has an address with a query")
    return tuple(found)


def _origins(text: str) -> frozenset[str]:
    origins = frozenset(one.lower().rstrip("/") for one in _parts(text))
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
    for one in _parts(text):
        try:
            networks.append(ip_network(one))
        except ValueError:
            raise ValueError(f"has {one!r}, which is no address or network (10.0.0.0/8)") from None
    return tuple(networks)


def _listed(values: Iterable[Any]) -> str:
    return ",".join(sorted(map(str, values)))


TEXT: Final = Kind("text")
PATH: Final = Kind("a path", is_path=True)
PORT: Final = Kind("a port, 0 to 65535", partial(_whole, 0, 65_535))
SECONDS: Final = Kind("a number of seconds above 0", _seconds, "{:g}".format)
SECONDS_OR_NEVER: Final = Kind("a number of seconds, 0 or more", _seconds_or_never, "{:g}".format)
WINDOW: Final = Kind(f"0 or {SHORTEST_WINDOW} to {LONGEST_WINDOW} whole seconds", _window)
TOPIC_PREFIX: Final = Kind("at most 200 of A-Z a-z 0-9 . _ -", _prefix)
TIMEZONE: Final = Kind("the name of a time zone, such as Asia/Ho_Chi_Minh", _timezone)
ADDRESSES: Final = Kind("host:port, comma-separated", _addresses)
HTTP_ADDRESS: Final = Kind("an address such as https://example.org/path", _http_address)
HTTP_ADDRESSES: Final = Kind(
    "addresses such as http://host:9093, comma-separated", _http_addresses, ",".join
)
HOLD: Final = Kind(f"a number of seconds, {SHORTEST_HOLD} or more", _hold, "{:g}".format)
ORIGINS: Final = Kind("origins such as https://example.org, comma-separated", _origins, _listed)
NETWORKS: Final = Kind("addresses or networks (10.0.0.0/8), comma-separated", _networks, _listed)
