"""The ASGI application: read the request, find its route, answer, tell errors in OpenAI's words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any

from clew.core.errors import Busy, ClewError, Replayed
from clew.core.vector_stores import Found
from clew.executor.deliveries import Deliverer
from clew.executor.executor import Executor
from clew.server.http import (
    BODY_MAX,
    BODY_TIMEOUT_S,
    Answer,
    Disconnected,
    Request,
    Route,
    Server,
    Stream,
    encode,
    internal_error,
    new_request_id,
    too_large,
    too_slow,
    unsupported_media,
)
from clew.server.logs import request_id
from clew.server.places import end_expired
from clew.server.routes import ROUTES, find, tree
from clew.server.websockets import talk
from clew.store.store import Store
from clew.wire.errors import encode_error

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

log = logging.getLogger("clew.server")
_VERSION = (b"openai-version", b"2020-10-01")
"""The version of the API, as OpenAI has said it since there is one."""


class App:
    """Clew as an ASGI application."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        now: Callable[[], int],
        wake_indexer: Callable[[], None],
        search: Callable[..., Awaitable[list[Found]]],
        deliverer: Deliverer,
    ) -> None:
        self.server = Server(store, executor, now, ROUTES, wake_indexer, search, deliverer)
        self._root = tree(ROUTES)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await talk(self.server, scope, receive, send)
            return
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        begun, id = perf_counter(), new_request_id()
        request_id.set(id)
        answer = await self._settle(scope, receive)
        if answer is None:
            return
        headers = [
            (b"x-request-id", id.encode()),
            (b"openai-processing-ms", b"%d" % ((perf_counter() - begun) * 1000)),
            _VERSION,
        ]
        self.server.answers[200 if isinstance(answer, Stream) else answer.status] += 1
        if isinstance(answer, Stream):
            await _send_stream(receive, send, answer.chunks, [*answer.headers, *headers])
        else:
            await _send(send, answer, headers)

    async def _settle(self, scope: Mapping[str, Any], receive: Receive) -> Answer | Stream | None:
        """The answer to a request, whatever happens; None when nobody waits for it."""
        route = None
        try:
            route, params = self._route(scope["method"], scope["path"])
            body = b"" if route.takes == "stream" else await _read(scope, receive)
            request = Request(route, params, scope["headers"], scope["query_string"], body, receive)
            return await self._answer(route, request)
        except Disconnected:
            return None
        except Replayed as replayed:
            return Answer(replayed.answer, headers=[(b"idempotent-replayed", b"true")])
        except ClewError as error:
            return _refusal(error, route)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            return _refusal(internal_error(), route)

    async def _answer(self, route: Route, request: Request) -> Answer | Stream:
        """Answer; where a run whose time is over holds the thread, end it and try again."""
        server = self.server
        try:
            return await route.handler(server, request)
        except Busy as busy:
            if not await end_expired(server, request.project, busy):
                raise
            return await route.handler(server, request)

    def _route(self, method: str, path: str) -> tuple[Route, list[str]]:
        node, params = find(self._root, path)
        if node is None:
            node, params = find(self._root, f"/v1{path}")  # a base_url without /v1
        if node is None or not node.methods:
            raise ClewError("not_found", f"Invalid URL ({method} {path})", None, None)
        route = node.methods.get(method)
        if route is None:
            raise NotAllowed(method, path, node.methods)
        return route, params


class NotAllowed(ClewError):
    """The path is there, but not with this method. `allowed` are the others (RFC 9110, 15.5.6)."""

    def __init__(self, method: str, path: str, allowed: Iterable[str]) -> None:
        said = f"Not allowed to {method} on {path}."
        super().__init__("method_not_allowed", said, None, "method_not_supported")
        self.allowed = ", ".join(sorted(allowed))


def _refusal(error: ClewError, route: Route | None) -> Answer:
    face, act = (route.face, route.act) if route else ("clew", "append")
    body = encode(encode_error(error, face, act))
    headers = [(b"retry-after", b"1")] if error.status == 503 else []
    if isinstance(error, NotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    return Answer(body, status=error.status, headers=headers)


async def _read(scope: Mapping[str, Any], receive: Receive) -> bytes:
    """The whole body. One that is too large, too slow or of another kind is refused."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _whole(scope, receive)
    except TimeoutError:
        raise too_slow() from None


async def _whole(scope: Mapping[str, Any], receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if body or message.get("more_body"):
        _check_media(scope["headers"])
    return await _rest(receive, body) if message.get("more_body") else body


async def _rest(receive: Receive, body: bytes) -> bytes:
    chunks, size, more = [body], len(body), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = bool(message.get("more_body"))
        if size > BODY_MAX:
            raise too_large()
    return b"".join(chunks)


def _check_media(headers: Headers) -> None:
    """Refuse what cannot be JSON. A client that names no type, or a wrong one, may still mean it:
    curl calls every body a form."""
    for name, value in headers:
        if name == b"content-type" and value.lower().startswith(b"multipart/"):
            raise unsupported_media("Content-Type", value)
        if name == b"content-encoding" and value.lower() != b"identity":
            raise unsupported_media("Content-Encoding", value)
        if name == b"content-length" and int(value) > BODY_MAX:
            raise too_large()


async def _send(send: Send, answer: Answer, headers: Headers) -> None:
    headers = [
        (b"content-type", answer.type),
        (b"content-length", b"%d" % len(answer.body)),
        *headers,
        *answer.headers,
    ]
    if answer.revision is not None:
        headers.append((b"etag", b'"%d"' % answer.revision))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _send_stream(
    receive: Receive, send: Send, chunks: AsyncIterator[bytes], headers: Headers
) -> None:
    """Send what comes until there is no more, or nobody there to read it."""
    sending = asyncio.create_task(_send_chunks(send, chunks, headers))
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_chunks(send: Send, chunks: AsyncIterator[bytes], headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})  # the head, now
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _other(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Lifespan needs nothing of ours."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
