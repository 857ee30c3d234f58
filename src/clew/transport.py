"""An HTTP transport that ends in Clew's application instead of a socket.

The official client sits on `httpx2` since its release 3, on `httpx` before; both know transports
by the same names.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.embedded import Clew


class _Exchange:
    """One request on Clew's event loop. `answer` gives status and headers, `chunk` the body."""

    def __init__(self, here: Clew, request: Any, body: bytes) -> None:
        self._here, self._body = here, body
        self._scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }
        self._sent: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def answer(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        app = self._here.app(self._scope, self._receive, self._sent.put)
        self._task = asyncio.create_task(app)
        start = await self._sent.get()
        return start["status"], start["headers"]

    async def chunk(self) -> bytes | None:
        """The next piece of the body, None at its end."""
        if self._task is None:
            return None
        message = await self._sent.get()
        if not message.get("more_body"):
            self._task = None
        body: bytes = message["body"]
        return body

    async def _receive(self) -> Mapping[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}


def sync_client(here: Clew) -> Any:
    http = _http()

    class Body(http.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, exchange: _Exchange) -> None:
            self._exchange = exchange

        def __iter__(self) -> Iterator[bytes]:
            while (chunk := here.run(self._exchange.chunk())) is not None:
                yield chunk

    class Transport(http.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            exchange = _Exchange(here, request, request.read())
            status, headers = here.run(exchange.answer())
            return http.Response(status, headers=headers, stream=Body(exchange))

    return http.Client(transport=Transport())


def async_client(here: Clew) -> Any:
    http = _http()

    class Body(http.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, exchange: _Exchange) -> None:
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (chunk := await _there(here, self._exchange.chunk())) is not None:
                yield chunk

    class Transport(http.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            exchange = _Exchange(here, request, await request.aread())
            status, headers = await _there(here, exchange.answer())
            return http.Response(status, headers=headers, stream=Body(exchange))

    return http.AsyncClient(transport=Transport())


async def _there(here: Clew, work: Any) -> Any:
    """Wait, on this event loop, for work on Clew's."""
    return await asyncio.wrap_future(here.submit(work))


def _http() -> Any:
    """The HTTP library of the installed official client."""
    import openai

    return importlib.import_module("httpx" if int(openai.VERSION.split(".")[0]) < 3 else "httpx2")
