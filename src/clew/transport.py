"""An HTTP transport that ends in Clew's application instead of a socket.

The official client sits on `httpx2` since its release 3, on `httpx` before; both know transports
by the same names.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from clew.core.errors import ClewError
from clew.exchange import WANTS, BrokenOff, Exchange, Message, Piece

if TYPE_CHECKING:
    from clew.embedded import Clew

T = TypeVar("T")


class _Talk:
    """The client's side of an exchange, for both kinds of client.

    `wait` waits for work on Clew's event loop, `pull` gets the next piece of the request's body.
    Those of a blocking client are done when they return, so that nothing here suspends.
    """

    def __init__(
        self,
        here: Clew,
        request: Any,
        wait: Callable[[Coroutine[Any, Any, list[Message]]], Awaitable[list[Message]]],
        pull: Callable[[], Awaitable[bytes | None]],
    ) -> None:
        self._is_over, self._has_left = False, True  # there is nothing to leave yet
        self._here, self._wait, self._pull = here, wait, pull
        self._exchange = Exchange(here.app, _scope(request))
        self._to_give, self._timeouts = _length(request), request.extensions.get("timeout", {})
        self._news = deque([WANTS])
        self._has_left = False

    async def next(self) -> Message:
        """What the application sends next; until then it is given the body as it wants it."""
        try:
            while not self._news or self._news[0] is WANTS:
                piece = await self._piece() if self._news else None
                self._news = deque(await self._step(piece))
        except BaseException:
            self.leave()
            raise
        return self._news.popleft()

    async def chunk(self) -> bytes | None:
        """The next piece of the answer's body, None at its end."""
        if self._is_over:
            return None
        message = await self.next()
        self._is_over = not message.get("more_body")
        body: bytes = message.get("body", b"")
        return body

    def leave(self) -> None:
        """Give and take no more. Any thread may say so, at any time."""
        if not (self._has_left or self._is_over):
            self._has_left = True
            with suppress(ClewError):
                self._here.submit(self._exchange.leave())

    __del__ = leave  # what nobody holds, nobody reads

    async def _piece(self) -> Piece:
        body = await self._pull() if self._to_give else None
        self._to_give = 0 if body is None else max(self._to_give - len(body), 0)
        return body or b"", self._to_give > 0

    async def _step(self, piece: Piece | None) -> list[Message]:
        http, gives = _http(), self._to_give > 0
        timeout_s = self._timeouts.get("write" if gives else "read")
        try:
            return await self._wait(self._exchange.step(piece, timeout_s))
        except TimeoutError:
            late = http.WriteTimeout if gives else http.ReadTimeout
            raise late(f"Clew took more than {timeout_s} seconds.") from None
        except BrokenOff as broken:
            raise http.RemoteProtocolError(str(broken)) from broken.__cause__
        except ClewError as closed:
            raise http.ReadError(closed.message) from closed


def sync_client(here: Clew) -> Any:
    return _http().Client(transport=_transport(here))


def async_client(here: Clew) -> Any:
    return _http().AsyncClient(transport=_transport(here))


def _transport(here: Clew) -> Any:
    """A transport for clients of both kinds, made of the classes of the HTTP library in use."""
    http = _http()

    class Body(http.SyncByteStream, http.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, talk: _Talk) -> None:
            self._talk = talk

        def __iter__(self) -> Iterator[bytes]:
            while (chunk := _at_once(self._talk.chunk())) is not None:
                yield chunk

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (chunk := await self._talk.chunk()) is not None:
                yield chunk

        def close(self) -> None:
            self._talk.leave()

        async def aclose(self) -> None:
            self._talk.leave()

    class Transport(http.BaseTransport, http.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            pieces = iter(request.stream)

            async def wait(work: Coroutine[Any, Any, T]) -> T:
                return here.run(work)

            async def pull() -> bytes | None:
                return next(pieces, None)

            return _at_once(self._answer(_Talk(here, request, wait, pull)))

        async def handle_async_request(self, request: Any) -> Any:
            pieces = aiter(request.stream)

            async def wait(work: Coroutine[Any, Any, T]) -> T:
                return await asyncio.wrap_future(here.submit(work))

            async def pull() -> bytes | None:
                return await anext(pieces, None)

            return await self._answer(_Talk(here, request, wait, pull))

        async def _answer(self, talk: _Talk) -> Any:
            head = await talk.next()
            return http.Response(head["status"], headers=head["headers"], stream=Body(talk))

    return Transport()


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("It suspended.")


def _scope(request: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": request.method,
        "path": request.url.path,
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }


def _length(request: Any) -> float:
    """How many bytes the body has; infinity where only its end will tell."""
    if "transfer-encoding" in request.headers:
        return math.inf
    return int(request.headers.get("content-length", 0))


def _http() -> Any:
    """The HTTP library of the installed official client."""
    import openai

    return importlib.import_module("httpx" if int(openai.VERSION.split(".")[0]) < 3 else "httpx2")
