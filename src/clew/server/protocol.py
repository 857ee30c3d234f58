"""uvicorn's HTTP protocol, sending the head of an answer together with its body.

uvicorn writes them one after the other, a system call each. An answer of ours is short, so the
second call is a tenth of what the whole request costs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Not the head of an answer: the client sends its body when it has this."""


class OneWrite:
    """A transport that holds the head of an answer until the first write after it, or `flush`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data != _GO_ON:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        if self._head is not None:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._one_write = OneWrite(transport)
        self.transport = self._one_write  # type: ignore[assignment]

    def on_response_complete(self) -> None:
        self._one_write.flush()  # an answer to HEAD is all head
        super().on_response_complete()
