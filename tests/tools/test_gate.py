"""Which hosts a tool may connect to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from clew.tools.gate import Gate, Unreachable


def looked_up(host: str, allow: Sequence[str] | None, found: Sequence[str] = ()) -> list[str]:
    """The addresses let through; `found` stands for what a name server would say."""

    async def run() -> list[str]:
        loop = asyncio.get_running_loop()

        async def answer(host: str, port: int, **_: Any) -> list[Any]:
            kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in found]
            pairs = zip(kinds, found, strict=True)
            return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in pairs]

        if found:
            loop.getaddrinfo = answer  # type: ignore[method-assign, assignment]
        return await Gate(allow).addresses(host, 443)

    return asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "93.184.215.14", "::1"])
def test_any_host_is_let_through_by_default(host: str):
    """Servers on one's own machine and network are what many people mean."""
    assert looked_up(host, None) == [host]


METADATA = """169.254.169.254 169.254.170.2 0.0.0.0 100.100.100.200 168.63.129.16 192.0.0.192
    224.0.0.1 255.255.255.255 fe80::1 fe80::1%1 :: ff02::1 fd00:ec2::254 ::ffff:169.254.169.254
    64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 2852039166 0xa9fea9fe 169.254.43518""".split()


@pytest.mark.parametrize("allow", [None, ["*"], ["0.0.0.0/0", "::/0"]])
@pytest.mark.parametrize("host", METADATA)
def test_metadata_of_clouds_is_never_let_through(host: str, allow: list[str] | None):
    """However the address is written, and whatever the operator allows."""
    with pytest.raises(Unreachable, match="reserved or link-local"):
        looked_up(host, allow)


@pytest.mark.parametrize("found", [["169.254.169.254"], ["93.184.215.14", "169.254.169.254"]])
def test_a_name_of_metadata_is_not_let_through(found: list[str]):
    """What counts is the address; a name with one forbidden address is forbidden."""
    with pytest.raises(Unreachable, match="reserved or link-local"):
        looked_up("innocent.example.com", None, found)


@pytest.mark.parametrize(
    ("host", "found", "fits"),
    [
        ("mcp.example.com", "93.184.215.14", True),
        ("MCP.Example.COM.", "93.184.215.14", True),
        ("a.tools.test", "93.184.215.14", True),
        ("a.b.tools.test", "93.184.215.14", True),
        ("tools.test", "93.184.215.14", False),
        ("mcp.example.com.evil.test", "93.184.215.14", False),
        ("evil-mcp.example.com", "93.184.215.14", False),
        ("other.test", "10.1.2.3", True),
        ("other.test", "10.2.0.1", False),
        ("other.test", "fd12::5", True),
        ("other.test", "fd13::5", False),
    ],
)
def test_a_list_lets_through_what_matches(host: str, found: str, fits: bool):
    """Names match whole, with * for any part; addresses match networks."""
    allow = ["mcp.example.com", "*.tools.test", "10.1.0.0/16", "fd12::/16"]
    if fits:
        assert looked_up(host, allow, [found]) == [found]
    else:
        with pytest.raises(Unreachable, match="not among those"):
            looked_up(host, allow, [found])


def test_an_empty_list_lets_nothing_through():
    """Nobody is allowed, which is not the same as no list."""
    with pytest.raises(Unreachable):
        looked_up("127.0.0.1", [])


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".test", "..", "\u2028"])
def test_a_host_without_an_address_is_unreachable(host: str):
    """Also one that is no name at all."""
    with pytest.raises(Unreachable, match="no address"):
        looked_up(host, None)


@pytest.mark.parametrize(
    "pattern", ["", "http://example.com", "example.com:80", "10.0.0.0/99", "a b"]
)
def test_a_pattern_that_matches_nothing_is_refused(pattern: str):
    """The operator hears of it at the start."""
    with pytest.raises(ValueError, match="not a host"):
        Gate([pattern])
