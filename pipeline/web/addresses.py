"""Who sent a request, and through which proxies, in; the address that a viewer counts for out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pipeline.values import Network

HOUSEHOLD = 64  # bits of an IPv6 address that one household shares

Address = IPv4Address | IPv6Address


def counted_for(peer: str | None, forwarded: str, trusted: Sequence[Network]) -> str | None:
    """The address whose viewers are counted together; None for loopback, which isn't counted: a
    proxy that we weren't told of, or this machine's own."""
    address = client(peer, forwarded, trusted)
    if address is None or address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return str(ip_network((address, HOUSEHOLD), strict=False))
    return str(address)


def client(peer: str | None, forwarded: str, trusted: Sequence[Network]) -> Address | None:
    """The last address that isn't a trusted proxy's; what stands before it anybody can invent."""
    address = _address(peer or "")
    for named in reversed(forwarded.split(",") if forwarded else ()):
        if address is None or not _is_of(address, trusted):
            break
        further = _address(named.strip())
        if further is None:
            break
        address = further
    return address


def _is_of(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Of `10.0.0.1`, `10.0.0.1:4711`, `::1%lo` or `[::1]:4711`, as proxies write them."""
    text = text.partition("]")[0].lstrip("[") if text.startswith("[") else text
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
