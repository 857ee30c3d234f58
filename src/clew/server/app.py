"""The ASGI application: read the request, find its route, answer, tell errors in OpenAI's words."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from clew.core.errors import Busy, ClewError, Replayed
from clew.executor.executor import Executor
from clew.server.http import (
    BODY_MAX,
    Answer,
    Request,
    Route,
    Server,
    Stream,
    encode,
    new_request_id,
    too_large,
)
from clew.server.routes import ROUTES, find, tree
from clew.store.store import Store
from clew.wire.errors import encode_error

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

log = logging.getLogger("clew.server")
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_INTERNAL = ClewError("internal", "The server had an error. It has been logged.", None, None)


class Disconnected(Exception):
    """The client went away before its request was complete."""


class App:
    """Clew as an ASGI application."""

    def __init__(self, store: Store, executor: Executor, now: Callable[[], int]) -> None:
        self.server = Server(store, executor, now, ROUTES)
        self._root = tree(ROUTES)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        request_id, route = new_request_id(), None
        try:
            route, params = self._route(scope["method"], scope["path"])
            body = await _read(receive)
            request = Request(route, params, scope["headers"], scope["query_string"], body)
            answer = await self._answer(route, request)
        except Disconnected:
            return
        except Replayed as replayed:
            answer = Answer(replayed.answer, headers=[(b"idempotent-replayed", b"true")])
        except ClewError as error:
            answer = _refusal(error, route)
        except Exception:
            log.exception("%s %s %s", request_id.decode(), scope["method"], scope["path"])
            answer = _refusal(_INTERNAL, route)
        if isinstance(answer, Stream):
            await _send_stream(send, answer.chunks, request_id)
        else:
            await _send(send, answer, request_id)

    async def _answer(self, route: Route, request: Request) -> Answer | Stream:
        """Answer; where a run whose time is over holds the thread, end it and try again."""
        server = self.server
        try:
            return await route.handler(server, request)
        except Busy as busy:
            run = await server.store.get_run(request.project, busy.thread, busy.run)
            if run.expires_at > server.now() or server.executor.following(run.key):
                raise
            await server.executor.expire(request.project, run)
            return await route.handler(server, request)

    def _route(self, method: str, path: str) -> tuple[Route, list[str]]:
        node, params = find(self._root, path)
        if node is None:
            node, params = find(self._root, f"/v1{path}")  # a base_url without /v1
        if node is None or not node.methods:
            raise ClewError("not_found", f"Invalid URL ({method} {path})", None, None)
        route = node.methods.get(method)
        if route is None:
            raise ClewError(
                "method_not_allowed",
                f"Not allowed to {method} on {path}.",
                None,
                "method_not_supported",
            )
        return route, params


def _refusal(error: ClewError, route: Route | None) -> Answer:
    face, act = (route.face, route.act) if route else ("clew", "append")
    body = encode(encode_error(error, face, act))
    headers = [(b"retry-after", b"1")] if error.status == 503 else []
    return Answer(body, status=error.status, headers=headers)


async def _read(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_MAX:
            raise too_large()
    return b"".join(chunks)


async def _send(send: Send, answer: Answer, request_id: bytes) -> None:
    headers = [
        (b"content-type", answer.type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", request_id),
        *answer.headers,
    ]
    if answer.revision is not None:
        headers.append((b"etag", b'"%d"' % answer.revision))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _send_stream(send: Send, chunks: AsyncIterator[bytes], request_id: bytes) -> None:
    headers = [*_STREAM_HEADERS, (b"x-request-id", request_id)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})  # the head, now
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _other(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Lifespan needs nothing of ours; WebSockets are refused."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1003})
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
