"""Addresses that Clew does not connect to on behalf of whoever named them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

METADATA = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"))
)
"""Where clouds tell a machine its own secrets, beside the link-local 169.254.169.254: Alibaba,
Azure, Oracle, Amazon over IPv6."""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that a network translates to IPv4 (RFC 6052)."""


def is_refused(address: IPv4Address | IPv6Address) -> bool:
    """Link-local, metadata, "any" and group addresses, in whatever notation."""
    inner = _inner(address)
    if inner is not None:
        return is_refused(inner)
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in METADATA
    )


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return None
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
