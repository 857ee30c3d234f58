"""One POST to an address that somebody else chose: bounded in time and size, and not anywhere.

Who registers a webhook makes this process connect. So the addresses by which cloud machines tell
their own secrets (link-local ones, and those in `METADATA`) are refused, after the name has been
resolved and on the very connection, so that a name cannot lead elsewhere the second time.
Redirects are not followed, proxies of the environment are not asked, certificates are verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2

from clew.core.addresses import is_refused
from clew.core.webhooks import Outcome

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 15.0
"""How long a POST may take, from the connection to the end of the answer's head."""

ANSWER_MAX = 65_536
"""Bytes of an answer that are read, so that its connection can be used again."""

CONNECTIONS_MAX = 256
KEPT_ALIVE_S = 15.0

_RETRY_LATER = frozenset({429, 503})


class Refused(Exception):
    """The address is none that Clew connects to."""


class Poster:
    """POSTs JSON; one for a process, which keeps its connections."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._connections: httpcore2.AsyncConnectionPool | None = None

    async def close(self) -> None:
        if self._connections is not None:
            await self._connections.aclose()

    async def post(self, url: str, body: bytes, headers: dict[str, str], now_ms: int) -> Outcome:
        """How it went; it never raises for what the other side does."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(url, body, headers, now_ms)
        except TimeoutError:
            return Outcome(f"no answer within {TIMEOUT_S:.0f} seconds")
        except Refused as refused:
            return Outcome(str(refused))
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            return Outcome(f"cannot connect: {_words(error)}")
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
            return Outcome(f"no valid HTTP: {_words(error)}")

    async def _post(self, url: str, body: bytes, headers: dict[str, str], now_ms: int) -> Outcome:
        target = httpx2.URL(url)
        sent = {
            "host": target.netloc.decode("ascii"),
            "content-type": "application/json",
            "content-length": str(len(body)),
            "user-agent": "clew",
            **headers,
        }
        asked = self._pool().stream(
            "POST",
            httpcore2.URL(
                scheme=target.raw_scheme,
                host=target.raw_host,
                port=target.port,
                target=target.raw_path,
            ),
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
            content=body,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT_S}},
        )
        async with asked as response:
            with suppress(httpcore2.ProtocolError, httpcore2.NetworkError):
                await _drain(response)
            return _outcome(response, now_ms)

    def _pool(self) -> httpcore2.AsyncConnectionPool:
        if self._connections is None:
            self._connections = httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context or httpx2.create_ssl_context(trust_env=False),
                max_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEPT_ALIVE_S,
                network_backend=Resolved(),
            )
        return self._connections


class Resolved(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses of a name that may be connected to, one after the other."""

    def __init__(self) -> None:
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await addresses(host, port):
            try:
                return await self._sockets.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def addresses(host: str, port: int) -> list[str]:
    """Where a name leads; Refused when any of it is where Clew does not connect to."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"the name {host} leads nowhere") from error
    all = list(dict.fromkeys(str(place[0]) for *_, place in found))
    for address in all:
        if is_refused(ip_address(address)):
            raise Refused(f"Clew does not connect to {address}, where {host} leads")
    return all


async def _drain(response: httpcore2.Response) -> None:
    """Read the answer if it is short; else its connection is closed."""
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > ANSWER_MAX:
            return


def _outcome(response: httpcore2.Response, now_ms: int) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome(None, status)
    headers = {name.lower(): value for name, value in response.headers}
    said = headers.get(b"retry-after") if status in _RETRY_LATER else None
    return Outcome(f"HTTP {status}", status, 0 if said is None else retry_after_ms(said, now_ms))


def retry_after_ms(said: bytes, now_ms: int) -> int:
    """`Retry-After`, in seconds or as a date; 0 for what is neither."""
    text = said.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * 1000
    try:
        date: datetime = parsedate_to_datetime(text)
        return max(0, int(date.timestamp() * 1000) - now_ms)
    except (ValueError, OverflowError):
        return 0


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
