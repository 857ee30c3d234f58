"""Addresses that Clew does not connect to on behalf of whoever named them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Where clouds tell a machine its own secrets, beside the link-local 169.254.169.254: Alibaba,
Azure, Oracle, Amazon over IPv6."""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that a network translates to IPv4 (RFC 6052)."""


_NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "::/128", "255.255.255.255/32")))
"""What is no machine's address."""


def is_refused(address: IPv4Address | IPv6Address) -> bool:
    """Link-local, metadata, "any" and group addresses, in whatever notation."""
    return _is_refused(address) or any(map(_is_refused, _inner(address)))


def _is_refused(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_link_local
        or address.is_multicast
        or address in METADATA
        or any(address in network for network in _NOWHERE)
    )


def _inner(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return
    if address in _TRANSLATED:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    packed = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    yield from filter(None, packed)
