"""Where a tool may connect to: whoever uses the API names hosts, the operator says which.

Names are resolved here, and whoever asked connects to the addresses that were looked at, so a name
that changes its address meanwhile gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from clew.core.addresses import is_refused

Address = IPv4Address | IPv6Address


class Unreachable(Exception):
    """The host may not be connected to, or has no address; the message is for people."""


class Gate:
    """Lets through the hosts that match `allow`: names (`mcp.example.com`, `*.example.com`),
    addresses and networks (`10.1.0.0/16`). None is for any host; cloud metadata stays shut.
    """

    def __init__(self, allow: Sequence[str] | None = None) -> None:
        self._any = allow is None
        found = [_read(pattern) for pattern in allow or ()]
        self._networks = [one for one in found if not isinstance(one, str)]
        self._names = [one for one in found if isinstance(one, str)]

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to. Raises Unreachable."""
        name = host.lower().rstrip(".")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                name, port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            raise Unreachable("its host name has no address") from None
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        for address in addresses:
            self._check(name, ip_address(address))
        return addresses

    def _check(self, name: str, address: Address) -> None:
        if is_refused(address):
            raise Unreachable("its address is reserved or link-local")
        if self._any or any(fnmatchcase(name, pattern) for pattern in self._names):
            return
        if not any(address in network for network in self._networks):
            raise Unreachable("its host is not among those that this server may connect to")


def _read(pattern: str) -> IPv4Network | IPv6Network | str:
    """A network, or a pattern of names. Raises ValueError."""
    try:
        return ip_network(pattern, strict=False)
    except ValueError:
        if not pattern or set("/: \t\n") & set(pattern):
            raise ValueError(f"not a host, a pattern of hosts or a network: {pattern!r}") from None
    return pattern.lower().rstrip(".")
