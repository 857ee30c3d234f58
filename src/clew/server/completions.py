"""Chat completions over HTTP: a model asked once, and those that are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from clew.core.completions import Completion, Piece
from clew.core.errors import ClewError
from clew.core.ids import new_key
from clew.executor import relay
from clew.server.http import Answer, Request, Route, Server, Stream, encode
from clew.server.presence import while_there
from clew.wire import completions
from clew.wire.completion_chunks import Chunks, Whole, event
from clew.wire.completion_messages import encode_messages
from clew.wire.errors import Face, encode_error
from clew.wire.fields import encode_page, page_of, seconds

Said = AsyncGenerator[bytes, None]
"""The JSON of each chunk, or the one completion."""

_BROKEN = "server_error"


async def create_completion(server: Server, request: Request) -> Answer | Stream:
    """Ask a model. With `store`, the messages and the whole answer are kept under an id of ours.

    An `Idempotency-Key` counts where a completion is kept and not streamed: a retry gets the first
    answer and no model is asked. Elsewhere nothing is left that could be said again, so it has no
    effect; a stream that breaks off is not kept, and its retry asks anew.
    """
    now, body = server.now(), request.body()
    streams, key = bool(body.get("stream")), new_key(now)
    said = _ask(server, body, now, key)
    if body.get("store"):
        keep = _keep_stream if streams else _keep_whole
        said = keep(server, request, body, now, key, said)
    first = await while_there(request, _next(said))
    if streams:
        return Stream(_events(first, said, request.route.face))
    await said.aclose()
    return Answer(first)


async def get_completion(server: Server, request: Request) -> Answer:
    found = await server.store.get_completion(request.project, request.key("completion"))
    return Answer(_encode(found))


async def list_completions(server: Server, request: Request) -> Answer:
    query = completions.decode_list(request.query_pairs())
    found, more = await server.store.list_completions(request.project, query)
    return Answer(
        encode(encode_page([completions.encode_completion(each) for each in found], more))
    )


async def list_completion_messages(server: Server, request: Request) -> Answer:
    key, page = request.key("completion"), page_of({"order": "asc"} | request.query())
    if page.after is not None:
        page.after = completions.message_number(key, page.after)
    found, more = await server.store.list_completion_messages(request.project, key, page)
    return Answer(encode(encode_messages(key, found, more)))


async def update_completion(server: Server, request: Request) -> Answer:
    key, metadata = request.key("completion"), request.body()["metadata"] or {}
    once = request.once(server.now(), _encode)
    changed = await server.store.update_completion(request.project, key, metadata, once=once)
    return Answer(_encode(changed))


async def delete_completion(server: Server, request: Request) -> Answer:
    await server.store.delete_completion(request.project, request.key("completion"))
    id = request.params[0]
    deleted = {"object": "chat.completion.deleted", "id": id, "deleted": True}
    return Answer(encode(deleted))


def _ask(server: Server, body: dict[str, Any], now: int, key: str) -> Said:
    """What the model says: through an upstream as it says it, else in words of ours."""
    executor, model = server.executor, body["model"]
    if relay.relays(executor, model):
        return relay.chunks(executor, completions.passed_on(body))
    asked = completions.decode_request(body, now)
    streams = bool(body.get("stream"))
    with_usage = completions.wants_usage(body) or bool(body.get("store")) or not streams
    chunks = Chunks(f"chatcmpl-{key}", seconds(now), model, with_usage)
    return _bridged(relay.pieces(executor, asked), chunks, streams)


async def _next(said: Said) -> bytes:
    return await anext(said)


async def _bridged(pieces: AsyncGenerator[Piece, None], chunks: Chunks, streams: bool) -> Said:
    whole = Whole()
    async with aclosing(pieces):
        async for piece in pieces:
            for chunk in chunks.encode(piece):
                if streams:
                    yield encode(chunk)
                else:
                    whole.take(chunk)
    if not streams:
        yield encode({"usage": None} | whole.completion())


async def _keep_whole(
    server: Server, request: Request, body: dict[str, Any], now: int, key: str, said: Said
) -> Said:
    """The one completion under an id of ours, kept before it is told; no retry asks a model."""
    once = request.once(now, _encode)
    if once is not None:
        await server.store.recall_completion(request.project, once)
    async with aclosing(said):
        answer = _read(await anext(said), key)
    encoded = encode(answer)
    if once is not None:
        once.encode = lambda _: encoded
    completion, messages = completions.keep(key, now, body, answer)
    await server.store.create_completion(request.project, completion, messages, once=once)
    yield encoded


async def _keep_stream(
    server: Server, request: Request, body: dict[str, Any], now: int, key: str, said: Said
) -> Said:
    """The chunks under an id of ours; the whole is kept before the stream is said to be done."""
    whole = Whole()
    async with aclosing(said):
        async for chunk in said:
            data = _read(chunk, key)
            _gather(whole, data)
            shown = completions.shown(data, body)
            if shown is not None:
                yield encode(shown)
    if not whole.is_complete:
        raise ClewError("upstream", "The model's answer broke off.", None, _BROKEN)
    completion, messages = completions.keep(key, now, body, whole.completion())
    await server.store.create_completion(request.project, completion, messages)


def _read(chunk: bytes, key: str) -> dict[str, Any]:
    """A chunk, or the whole, under an id of ours."""
    try:
        data = msgspec.json.decode(chunk)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("choices", []), list):
        raise _unreadable()
    return data | {"id": f"chatcmpl-{key}"}


def _gather(whole: Whole, chunk: dict[str, Any]) -> None:
    try:
        whole.take(chunk)
    except (AttributeError, TypeError) as error:  # a delta that is none: servers do lie
        raise _unreadable() from error


def _unreadable() -> ClewError:
    return ClewError("upstream", "The model server's answer is unreadable.", None, _BROKEN)


async def _events(first: bytes, rest: Said, face: Face) -> AsyncIterator[bytes]:
    """The stream as it goes out. What fails once it has begun is said in it, and ends it."""
    try:
        async with aclosing(rest):
            yield event(first)
            async for chunk in rest:
                yield event(chunk)
    except ClewError as error:
        yield event(encode(encode_error(error, face)))
    else:
        yield event(b"[DONE]")


def _encode(completion: Completion) -> bytes:
    return encode(completions.encode_completion(completion))


_ALL = "/v1/chat/completions"
_ONE = f"{_ALL}/{{completion_id}}"
_F: Face = "clew"
ROUTES = [
    Route("POST", _ALL, create_completion, _F, "Create a chat completion", completions.CREATE),
    Route("GET", _ALL, list_completions, _F, "List chat completions", query=completions.LIST),
    Route("GET", _ONE, get_completion, _F, "Retrieve a chat completion"),
    Route("POST", _ONE, update_completion, _F, "Update a chat completion", completions.UPDATE),
    Route("DELETE", _ONE, delete_completion, _F, "Delete a chat completion"),
    Route(
        "GET",
        f"{_ONE}/messages",
        list_completion_messages,
        _F,
        "List the messages of a chat completion",
        query=completions.LIST_MESSAGES,
    ),
]
