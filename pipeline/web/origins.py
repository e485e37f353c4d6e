"""The names that a request gives, of its page and of us, in; whether they may be so out."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

DEVELOPMENT = frozenset({"http://localhost:3000", "http://127.0.0.1:3000"})


class Origins:
    """Our own pages, those of the allow-list, and, where we listen on loopback, who develops one on
    this machine.

    A foreign name can be made to lead to this machine, and its page then seems to be ours. So where
    we listen on loopback, we go by loopback's own names and those of the allow-list, by no other.
    """

    def __init__(self, host: str, allowed: frozenset[str]) -> None:
        self._is_local = is_loopback(host)
        self._allowed = allowed | (DEVELOPMENT if self._is_local else frozenset())
        self._names = {parts(origin).hostname for origin in self._allowed}

    def knows(self, host: str) -> bool:
        """Whether we go by the name that a request has for us."""
        name = parts(f"//{host}").hostname or ""
        return not self._is_local or is_loopback(name) or name in self._names

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a page may watch and change; what is no browser has no origin, and may."""
        if origin is None or origin in self._allowed:
            return True
        return bool(host) and parts(origin).netloc.lower() == host.lower() and self.knows(host)


def parts(url: str) -> SplitResult:
    """Of what a browser says; what is no URL has no host."""
    try:
        split = urlsplit(url)
        _ = split.hostname, split.port  # which raise where they can't be had
    except ValueError:
        return urlsplit("")
    return split


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
