"""Addresses that Clew does not connect to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from clew.core.addresses import is_refused


@pytest.mark.parametrize(
    "address",
    """169.254.169.254 169.254.0.1 fe80::1 fe80::1%eth0 ::ffff:169.254.169.254 0.0.0.0 :: 224.0.0.1
    ff02::1 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 64:ff9b::a9fe:a9fe
    2002:a9fe:a9fe::1 ::ffff:0.0.0.0""".split(),
)
def test_metadata_and_the_like_are_refused(address: str):
    """In whatever notation they come."""
    assert is_refused(ip_address(address))


@pytest.mark.parametrize(
    "address",
    "127.0.0.1 ::1 10.0.0.1 192.168.1.1 93.184.216.34 2606:2800:220:1::1 fd00::1 "
    "::ffff:10.0.0.1 64:ff9b::0a00:0001".split(),
)
def test_others_are_not(address: str):
    """Operators run webhooks inside, also on the same machine."""
    assert not is_refused(ip_address(address))
