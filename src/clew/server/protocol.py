"""uvicorn's HTTP protocol, with answers sent together, limits on heads, and refusals in JSON.

uvicorn writes the head of an answer, then its body, each at once: two system calls, and each may
wake the client. Here the two are one, and the answers that one turn of the event loop makes go out
at its end, so that who waits for several is woken once: a fifth of what a page of messages costs.

uvicorn waits for ever for the end of a head, of any size. Here a client has half a minute for it,
and for the rest of a body that was answered before it had come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Literal
from weakref import WeakKeyDictionary

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from clew.core.errors import BadRequest, ClewError
from clew.server.http import encode, new_request_id, too_slow
from clew.server.logs import request_id
from clew.wire.errors import encode_error

HEAD_BYTES_MAX = 65_536
"""Of a head that does not come at once."""

TRAILERS_MAX = 64
HEAD_TIMEOUT_S = 30.0

_OFFER = (b"connection", b"upgrade", b"http2-settings")

log = logging.getLogger("clew.server")

_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Not the head of an answer: the client sends its body when it has this."""


class Outbox:
    """What all connections of an event loop have to send, in the order they said so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def add(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self.send)
        self._waiting.append((transport, data))

    def send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():  # else this client went away since
                transport.write(data)


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


class OneWrite:
    """A transport that holds the head of an answer until the first write after it, or `flush`."""

    def __init__(self, transport: asyncio.Transport, outbox: Outbox) -> None:
        self.raw, self._outbox = transport, outbox
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data != _GO_ON:
            self._head = data
            return
        self._outbox.add(self.raw, data)

    def flush(self) -> None:
        if self._head is not None:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._outbox.send()
        self.raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


class Protocol(HttpToolsProtocol):
    """One connection. `_part` is what of a request the next byte belongs to."""

    _part: Literal["none", "head", "body"] = "none"
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        outbox = _outboxes.get(self.loop)
        if outbox is None:
            outbox = _outboxes[self.loop] = Outbox(self.loop)
        self._one_write = OneWrite(transport, outbox)
        self.transport = self._one_write  # type: ignore[assignment]
        self._trailers: list[tuple[bytes, bytes]] = []
        self._hurry(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hurry(False)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except HttpParserError:
            if self._is_busy() and not self.cycle.more_body:
                self.cycle.keep_alive = False  # first the answer to what came before this
            else:
                self._refuse(BadRequest("This is no valid HTTP request.", None, "invalid_http"))
            return
        if self._part == "head":
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX or len(self._trailers) > TRAILERS_MAX:
            self._refuse(_head_too_large())
        else:
            self._hurry(self._part == "head" or self._is_left_over())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part, self._trailers = "head", []

    def on_headers_complete(self) -> None:
        self._part, self._head_bytes = "body", 0
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = self._trailers = []  # no part of the head, which the request has

    def on_message_complete(self) -> None:
        self._part = "none"
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._one_write.flush()  # an answer to HEAD is all head
        super().on_response_complete()
        if self._is_left_over():
            self._hurry(True)

    def handle_websocket_upgrade(self) -> None:
        self._hurry(False)
        self.transport = self._one_write.raw  # the answer to a handshake is all head too
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        return True  # to something: `_feed` knows to what

    def _feed(self, data: bytes) -> None:
        """Read on. Who offers another protocol is answered in this one, but for WebSockets.

        The parser takes a body behind such an offer for bytes of that other protocol, so the
        request is read again without it. Java's HttpClient offers HTTP/2 with every request.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            method, headers = self.scope["method"].encode(), self.headers
            if method == b"CONNECT":
                raise HttpParserError("this is no proxy") from None
            if method == b"GET" and self._get_upgrade() == b"websocket" and _shakes_hands(headers):
                self.handle_websocket_upgrade()
                return
            self.parser = HttpRequestParser(self)
            self._feed(_without_offer(method, self.url, headers) + data[offer.args[0] :])

    def _hurry(self, is_late: bool) -> None:
        """Give the client half a minute, from when it was first said to; or no limit."""
        if is_late and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self._out_of_time)
        elif not is_late and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _out_of_time(self) -> None:
        self._deadline = None
        if self._part == "head" and not self._is_busy():
            self._refuse(too_slow())
        elif not self._is_busy():
            self.transport.close()

    def _is_busy(self) -> bool:
        """Whether an answer is being made."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_left_over(self) -> bool:
        """Whether what is read is of a body that nobody waits for any more."""
        return self._part == "body" and not self._is_busy()

    def _refuse(self, error: ClewError) -> None:
        """Answer what is no request, unless another answer would come in between; hang up."""
        is_heard = not self._is_busy() or (self.cycle.more_body and not self.cycle.response_started)
        if is_heard and not self.pipeline:
            self.transport.write(self._refusal(error))
        self.transport.close()

    def _refusal(self, error: ClewError) -> bytes:
        id, body = new_request_id(), encode(encode_error(error, "clew"))
        token = request_id.set(id)
        log.info("refused: %s", error.message)
        request_id.reset(token)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", id.encode()),
            (b"openai-processing-ms", b"0"),
            (b"connection", b"close"),
        ]
        return _head(STATUS_LINE[error.status], headers) + body


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which takes a refused handshake for a failed one."""

    async def send(self, event: Any) -> None:
        await super().send(event)
        if event["type"] == "websocket.http.response.body":
            self.handshake_complete = True


def _head(first: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return first + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"


def _without_offer(method: bytes, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a request that offers no other protocol."""
    kept = [header for header in headers if header[0] not in _OFFER]
    closes = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
    return _head(
        b"%b %b HTTP/1.1\r\n" % (method, url),
        [*kept, (b"connection", b"close")] if closes else kept,
    )


def _shakes_hands(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    said = dict(headers)
    return b"sec-websocket-key" in said and said.get(b"sec-websocket-version") == b"13"


def _head_too_large() -> ClewError:
    message = f"The head of the request is larger than {HEAD_BYTES_MAX} bytes."
    return ClewError("head_too_large", message, None, "request_header_too_large")
