"""How many connections each client has open."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmrouter.gateway_settings import Settings

# Key of a connection's state, under which the application finds why the connection was cut.
CUT = "cut"


class Peers:
    """Counts the connections of each peer.

    Args:
        most: Most connections in all; None: as many as the process may open files.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()
        self._total = 0

    def refusal(self, peer: str, settings: Settings) -> str | None:
        """Count a new connection; returns why it is one too many."""
        self._counts[peer] += 1
        self._total += 1
        if self._most is not None and self._total > self._most:
            return "The gateway has as many connections open as it may; try again."
        if self._counts[peer] > settings.peer_connections and not settings.trusts(peer):
            return f"{peer} has more than {settings.peer_connections} connections open; close some."
        return None

    def left(self, peer: str) -> None:
        """Forget a connection that ended."""
        self._total -= 1
        self._counts[peer] -= 1
        if not self._counts[peer]:
            del self._counts[peer]


def peer_of(address: tuple[str, int] | None) -> str:
    """Return who is at the other end: an IPv4 address, or a network of IPv6, of which one host has many."""
    if address is None:
        return "unknown"
    try:
        found = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return address[0]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found) if found.is_loopback else f"{ipaddress.ip_network((found, 64), strict=False)}"
