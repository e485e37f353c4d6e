from __future__ import annotations

from ipaddress import ip_network

import pytest

from pipeline.web.addresses import counted_for
from pipeline.web.origins import Origins

PROXIES = [ip_network("10.0.0.0/8"), ip_network("127.0.0.1"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # nobody whom we believe
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.9, 198.51.100.1", "198.51.100.1"),  # the first is an invention
        ("10.0.0.1", "192.0.2.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", " , ,", "10.0.0.1"),
        ("fd00::1", "[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::/64"),  # a household
        ("fd00::1", "2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "", "203.0.113.7"),
        ("127.0.0.1", "", None),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "198.51.100.1", None),
        (None, "", None),  # a Unix socket
    ],
)
def test_a_viewer_counts_for_the_last_address_that_is_no_trusted_proxys(
    peer: str | None, forwarded: str, counted: str | None
) -> None:
    assert counted_for(peer, forwarded, PROXIES) == counted


LOOPBACK, NETWORK = "127.0.0.1", "0.0.0.0"


@pytest.mark.parametrize(
    ("listens", "origin", "host", "may"),
    [
        (LOOPBACK, None, "localhost:8000", True),
        (LOOPBACK, "http://localhost:8000", "localhost:8000", True),
        (LOOPBACK, "http://LOCALHOST:8000", "localhost:8000", True),
        (LOOPBACK, "http://[::1]:8000", "[::1]:8000", True),
        (LOOPBACK, "http://localhost:3000", "localhost:8000", True),
        (NETWORK, "http://localhost:3000", "iot.example:8000", False),
        (LOOPBACK, "http://localhost:8001", "localhost:8000", False),
        (LOOPBACK, "http://evil.example:8000", "localhost:8000", False),
        # its name leads to this machine
        (LOOPBACK, "http://evil.example:8000", "evil.example:8000", False),
        (NETWORK, "http://iot.example:8000", "iot.example:8000", True),
        (NETWORK, "https://iot.example", "iot.example", True),
        (NETWORK, "https://wall.example", "iot.example", True),  # the allow-list
        (NETWORK, "http://wall.example", "iot.example", False),
        (LOOPBACK, "https://wall.example", "wall.example", True),
        (NETWORK, "null", "iot.example", False),
        (NETWORK, "", "iot.example", False),
        (NETWORK, "", "", False),
        (NETWORK, "http://[", "iot.example", False),
        (NETWORK, "http://a:99999", "a:99999", False),
    ],
)
def test_which_pages_may(listens: str, origin: str | None, host: str, may: bool) -> None:
    origins = Origins(listens, frozenset({"https://wall.example"}))
    assert origins.allows(origin, host) is may


@pytest.mark.parametrize(
    ("listens", "host", "known"),
    [
        (LOOPBACK, "localhost:8000", True),
        (LOOPBACK, "127.0.0.1", True),
        (LOOPBACK, "127.7.7.7:1", True),
        (LOOPBACK, "[::1]:8000", True),
        (LOOPBACK, "wall.example", True),
        (LOOPBACK, "evil.example:8000", False),
        (LOOPBACK, "localhost.evil.example", False),
        (LOOPBACK, "", False),
        (LOOPBACK, "a:99999", False),
        (NETWORK, "evil.example", True),
    ],
)
def test_on_loopback_we_go_by_our_own_names_alone(listens: str, host: str, known: bool) -> None:
    assert Origins(listens, frozenset({"https://wall.example"})).knows(host) is known
