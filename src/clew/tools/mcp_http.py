"""The HTTP between Clew and one MCP server, with its bounds: a server may say anything.

Bytes are counted as they come and a request is sent once. Whatever is wrong on this level is kept
as `trouble`, because the SDK above tells its callers less, or nothing, or asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec

from clew.tools.gate import Gate, Unreachable
from clew.tools.mcp_failures import INVALID_ANSWER, LOST, Failure

ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""Of one operation (a call, a list, a connection), over all its answers."""

EVENTS_MAX = 4096
"""Of one operation: what a server may tell of its progress. Each costs more than its bytes."""

OBJECTS_MAX = 20_000
LISTS_PER_OBJECT = 5
"""Of one operation: reading JSON takes time by its objects (and a fifth of it by its lists), and
half a second is enough to take from everybody else. What looks like one within a text counts too,
but for objects of JSON that is given as text."""

REQUESTS_MAX = 64
"""Of one operation: a server may ask us things, and break off a stream so that it is resumed."""

REDIRECTS_MAX = 3
CONNECT_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 2.0
KEPT_S = 4.0
"""Connections are not used again after that: many servers close them at 5 s, which looks like an
answer that got lost."""

NO_MESSAGE = "The server's answer is no JSON-RPC message."

_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_SESSION = "mcp-session-id"
_VERSION = "mcp-protocol-version"
_WHY_MAX = 200
_MOVED = (307, 308)


class _Head(msgspec.Struct):
    """What tells which message a JSON text is."""

    id: str | int | float | None = None
    method: Any = None


class Wire(httpx2.AsyncBaseTransport):
    """Carries the requests of one session, one operation at a time."""

    def __init__(
        self, url: str, gate: Gate, verify: Any, bytes_max: int = ANSWER_BYTES_MAX
    ) -> None:
        self._url, self._gate, self._bytes_max = httpx2.URL(url), gate, bytes_max
        self._inner = httpx2.AsyncHTTPTransport(
            verify=verify,
            trust_env=False,
            retries=0,
            limits=httpx2.Limits(max_connections=8, keepalive_expiry=KEPT_S),
        )
        self._addresses: list[str] = []
        self._leave: dict[str, str] = {}
        self.is_open = False
        """The handshake is over: from here on a redirect is an error, since it was a call."""
        self.was_told_off = asyncio.Event()
        """The server has heard that a call was given up."""
        self.begin()

    def begin(self) -> None:
        """Another operation begins, with bounds of its own."""
        self._bytes = self._events = self._requests = 0
        self._objects = 0.0
        self.status = 0
        """Of the last answer."""
        self.trouble: Failure | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def client(self, headers: tuple[tuple[str, str], ...]) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=self,
            headers={"user-agent": "clew", **dict(headers), "accept-encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            max_redirects=0,
            trust_env=False,
        )

    async def leave(self, client: httpx2.AsyncClient) -> None:
        """Tell the server that its session is over, if it keeps one."""
        if not self._leave:
            return
        self.begin()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await client.delete(self._url, headers=self._leave)
        except (httpx2.HTTPError, TimeoutError):
            pass  # it will find out by itself

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and "last-event-id" not in request.headers:
            return httpx2.Response(405)  # nobody listens for what a server says unasked
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise self._broken_by(f"The server made Clew send more than {REQUESTS_MAX} requests.")
        response = await self._send(request)
        for _ in range(REDIRECTS_MAX):
            if self.is_open or not self._follow(response):
                break
            await response.aclose()
            response = await self._send(request)
        return self._taken(request, response)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Send it to the first address that can be connected to."""
        if self.trouble is not None:
            raise httpx2.ConnectError(self.trouble.message)
        url, why = self._url, ""
        for address in await self._resolved():
            to = httpx2.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.host},
            )
            try:
                return await self._inner.handle_async_request(to)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                why = str(error)[:_WHY_MAX] or "no answer"
            except (httpx2.RequestError, ValueError) as error:
                raise self.cut_off(error) from error
        raise self._broken_by(f"The server cannot be connected to: {why}.")

    async def _resolved(self) -> list[str]:
        """Looked up once: what was looked at is what is connected to."""
        if not self._addresses:
            port = self._url.port or (443 if self._url.scheme == "https" else 80)
            try:
                self._addresses = await self._gate.addresses(self._url.host, port)
            except Unreachable as error:
                raise self._broken_by(f"The server cannot be connected to: {error}.") from error
        return self._addresses

    def _follow(self, response: httpx2.Response) -> bool:
        """Go where the answer points, if that is another place on the same server."""
        if response.status_code not in _MOVED or "location" not in response.headers:
            return False
        try:
            there = self._url.join(response.headers["location"])
        except (httpx2.InvalidURL, ValueError):
            return False
        here = self._url
        if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
            return False
        self._url = there.copy_with(userinfo=here.userinfo)
        return True

    def _taken(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        """The answer, with its body under watch."""
        self.status = response.status_code
        head = _head(request.content)
        if head.method == "notifications/cancelled":
            self.was_told_off.set()
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise self._broken_by("The server packed its answer although it was asked not to.")
        if _SESSION in response.headers and head.method == "initialize":
            self._leave = {_SESSION: response.headers[_SESSION]}
        elif self._leave and _VERSION in request.headers:
            self._leave[_VERSION] = request.headers[_VERSION]
        is_json = response.headers.get("content-type", "").lower().startswith("application/json")
        expected = head.id if is_json and response.status_code < 300 else None
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Body(self, stream, expected),
            extensions=response.extensions,
        )

    def count(self, piece: bytes) -> None:
        self._bytes += len(piece)
        self._events += piece.count(b"data:")
        self._objects += piece.count(b"{") - piece.count(b"{\\")
        self._objects += (piece.count(b"[") - piece.count(b"[\\")) / LISTS_PER_OBJECT
        if self._bytes > self._bytes_max:
            raise self._broken_by(f"The server's answer is longer than {self._bytes_max} bytes.")
        if self._events > EVENTS_MAX:
            raise self._broken_by(f"The server sent more than {EVENTS_MAX} events.")
        if self._objects > OBJECTS_MAX:
            raise self._broken_by(f"The server's answer has more than {OBJECTS_MAX} objects.")

    def check(self, body: bytes, expected: str | int | float) -> None:
        """A JSON body is the answer to its own request. Whatever else is wrong, the SDK finds."""
        try:
            head = msgspec.json.decode(body, type=_Head)
        except _NOT_JSON:
            raise self._broken_by(NO_MESSAGE, INVALID_ANSWER) from None
        if head.method is not None or head.id not in (expected, None):
            raise self._broken_by("The server's answer is to another request.", INVALID_ANSWER)

    def cut_off(self, error: Exception) -> httpx2.ReadError:
        return self._broken_by(f"The connection broke off ({type(error).__name__}).")

    def _broken_by(self, message: str, code: int = LOST) -> httpx2.ReadError:
        """Nothing more of this operation: the error to raise."""
        if self.trouble is None:
            self.trouble = Failure(message, code)
        if not self.broken.done():
            self.broken.set_result(None)
        return httpx2.ReadError(message)


class _Body(httpx2.AsyncByteStream):
    def __init__(
        self, wire: Wire, stream: httpx2.AsyncByteStream, expected: str | int | float | None
    ) -> None:
        self._wire, self._stream, self._expected = wire, stream, expected

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: list[bytes] = []
        try:
            async for piece in self._stream:
                self._wire.count(piece)
                if self._expected is not None:
                    pieces.append(piece)
                yield piece
        except httpx2.RequestError as error:
            raise self._wire.cut_off(error) from error
        if self._expected is not None:
            self._wire.check(b"".join(pieces), self._expected)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _head(data: bytes) -> _Head:
    try:
        return msgspec.json.decode(data, type=_Head)
    except _NOT_JSON:
        return _Head()
