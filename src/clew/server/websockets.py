"""Responses over a WebSocket: many on one connection, in lanes that go on side by side.

A lane is what a `stream_id` names (without one it is the connection's own): its responses are made
one after the other. What was said with `store: false` is remembered as long as the connection is
there, for the newest response of each lane, until going on from it fails. A response goes on when
its client leaves.

Events of a response have the numbers they have in any other stream of it. An event about steering
has the number of the event before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.errors import BadRequest, Busy, ClewError
from clew.core.ids import new_key, random_part
from clew.executor.live import Live
from clew.server.events import tell
from clew.server.http import (
    BODY_MAX,
    Request,
    Server,
    check_origin,
    encode,
    internal_error,
    new_request_id,
)
from clew.server.logs import request_id
from clew.server.places import Begun, Place, begin, end_expired
from clew.server.responses import CREATE
from clew.wire import response_sockets as sockets
from clew.wire.errors import encode_error
from clew.wire.response_events import ResponseStream
from clew.wire.response_sockets import Steer

LANES_MAX = 64
"""Lanes of one connection."""

WAITING_MAX = 64
"""Requests that wait in one lane, and steers of one response."""

WAITING_BYTES_MAX = 2 * BODY_MAX
"""Of all requests that wait on one connection."""

PATHS = ("/v1/responses", "/responses")

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

log = logging.getLogger("clew.server")


async def talk(server: Server, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """One WebSocket, from its handshake to its end."""
    id = new_request_id()
    request_id.set(id)
    headers = [(b"x-request-id", id.encode())]
    await receive()
    try:
        request = _request(scope, receive)
    except ClewError as error:
        await _deny(send, error, headers)
        return
    await send({"type": "websocket.accept", "headers": headers})
    connection = Connection(server, request, send)
    try:
        async for frame in _frames(receive):
            await connection.take(frame)
    except OSError:
        pass  # the client left while it was being told something
    finally:
        connection.leave()


class Lane:
    """Responses that are made one after the other."""

    def __init__(self, stream_id: str | None) -> None:
        self.stream_id = stream_id
        self.waiting: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue(WAITING_MAX)
        self.remembered: str | None = None
        self.pending: Target | None = None
        self.number = 0
        self.begins = False
        self.task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Nobody listens any more. A response that is about to begin still does."""
        if self.task is not None and not self.begins:
            self.task.cancel()


class Target:
    """A response of this connection that can be steered."""

    def __init__(self, id: str, lane: Lane, body: dict[str, Any], live: Live) -> None:
        self.id, self.lane, self.body, self.live = id, lane, body, live
        self.steers: list[Steer] = []
        self.required: list[dict[str, Any]] = []


class Connection:
    """What one client has under way."""

    def __init__(self, server: Server, request: Request, send: Send) -> None:
        self._server, self._request, self._send = server, request, send
        self._lanes: dict[str | None, Lane] = {}
        self._targets: dict[str, Target] = {}
        self._memory: dict[str, Place] = {}
        self._waiting_bytes = 0

    def leave(self) -> None:
        """Nobody listens any more; what the executor works on goes on."""
        for lane in self._lanes.values():
            lane.leave()

    async def take(self, frame: str | bytes) -> None:
        """One frame of the client."""
        stream_id: str | None = None
        try:
            event = _decode(frame)
            stream_id = _stream_id(event)
            sockets.CLIENT_EVENT.check(event)
            if event["type"] == "response.steer":
                await self._steer(event)
            else:
                self._wait(self._lane(stream_id), sockets.decode_create(event), len(frame))
        except ClewError as error:
            await self._refuse(error, stream_id)

    def _wait(self, lane: Lane, body: dict[str, Any], size: int) -> None:
        """Put a request where it waits for its turn."""
        if lane.waiting.full():
            message = f"More than {WAITING_MAX} requests wait in this stream."
            raise ClewError("rate_limited", message, "stream_id", "too_many_requests")
        if self._waiting_bytes + size > WAITING_BYTES_MAX:
            message = f"More than {WAITING_BYTES_MAX} bytes of requests wait on this connection."
            raise ClewError("rate_limited", message, None, "too_many_requests")
        self._waiting_bytes += size
        lane.waiting.put_nowait((size, body))

    def _lane(self, stream_id: str | None) -> Lane:
        lane = self._lanes.get(stream_id)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                message = f"A connection has at most {LANES_MAX} streams."
                raise BadRequest(message, "stream_id", "too_many_streams")
            lane = self._lanes[stream_id] = Lane(stream_id)
            lane.task = asyncio.create_task(self._work(lane), name=f"stream {stream_id}")
        return lane

    async def _work(self, lane: Lane) -> None:
        """Make the responses of a lane, and their successors, one after the other."""
        while True:
            size, body = await lane.waiting.get()
            self._waiting_bytes -= size
            try:
                target = await self._make(lane, body)
                while target is not None and target.steers:
                    target = await self._go_on(target)
            except OSError:
                return  # the client left while it was being told something
            except Exception:
                log.exception("a response over a WebSocket failed")
                with suppress(OSError):
                    await self._refuse(internal_error(), lane.stream_id)

    async def _make(self, lane: Lane, body: dict[str, Any]) -> Target | None:
        """Make a response and tell of it; None when it could not begin."""
        pending = lane.pending
        if pending is not None and body.get("previous_response_id") == pending.id:
            body = body | {"input": sockets.merged(pending.steers, body.get("input"))}
        else:
            pending = None
        try:
            begun = await self._begin(lane, body)
        except ClewError as error:
            self._memory.pop(body.get("previous_response_id") or "", None)
            await self._refuse(error, lane.stream_id)
            return None
        if pending is not None:
            lane.pending = None
        return await self._tell(lane, body, begun)

    async def _go_on(self, target: Target) -> Target | None:
        """What follows a response that was steered: its successor, if it can have one."""
        lane, run = target.lane, target.live.run
        if run.status not in ("completed", "incomplete"):
            await self._give_back(target, "response_not_active", f"The response is {run.status}.")
            return None
        if target.required:
            lane.pending = target
            for steer in target.steers:
                await self._say_pending(target, steer)
            return None
        input = sockets.merged(target.steers)
        body = target.body | {"input": input, "previous_response_id": target.id}
        try:
            begun = await self._begin(lane, body)
        except ClewError as error:
            await self._give_back(target, "successor_creation_failed", error.message)
            return None
        return await self._tell(lane, body, begun)

    async def _begin(self, lane: Lane, body: dict[str, Any]) -> Begun:
        server, request = self._server, self._request
        lane.begins = True
        try:
            return await begin(server, request, body, self._memory)
        except Busy as busy:
            if not await end_expired(server, request.project, busy):
                raise
            return await begin(server, request, body, self._memory)
        finally:
            lane.begins = False

    async def _tell(self, lane: Lane, body: dict[str, Any], begun: Begun) -> Target:
        """Tell what happens in a response until it ends."""
        target = Target(f"resp_{begun.live.run.key}", lane, body, begun.live)
        self._targets[target.id] = target
        options = body.get("stream_options") or {}
        padding = random_part if options.get("include_obfuscation") else None
        lane.number = -1
        try:
            async for data in _events(begun.live, ResponseStream(padding=padding)):
                lane.number += 1
                await self._say(lane, data)
        finally:
            del self._targets[target.id]
        target.required = sockets.required_input(begun.live.items)
        if body.get("store") is False:
            self._remember(target, begun)
        return target

    def _remember(self, target: Target, begun: Begun) -> None:
        """Where a response that is not stored can be gone on from; the lane forgets the last."""
        lane, place = target.lane, begun.place
        self._memory.pop(lane.remembered or "", None)
        said = [*begun.input, *begun.live.items]
        self._memory[target.id] = replace(place, at_seq=place.end, unstored=said)
        lane.remembered = target.id

    async def _steer(self, event: dict[str, Any]) -> None:
        """Add input to a response that is being made, or waits to be gone on with."""
        previous, input = event["previous_response_id"], event["input"]
        target = self._targets.get(previous) or self._pending(previous)
        refused = self._refusal(target, input)
        if refused is not None or target is None:
            code, message = refused or ("response_not_found", "")
            lane = target.lane if target else Lane(None)
            failed = sockets.encode_failed(previous, input, code, message, max(lane.number, 0))
            await self._say(lane, failed)
            return
        steer = Steer(f"steer_{new_key(self._server.now())}", previous, input)
        target.steers.append(steer)
        await self._say(target.lane, sockets.encode_accepted(steer, max(target.lane.number, 0)))
        if target is target.lane.pending:
            await self._say_pending(target, steer)
        else:
            self._server.executor.steer(target.live.run.key)

    def _pending(self, id: str) -> Target | None:
        waiting = (lane.pending for lane in self._lanes.values())
        return next((one for one in waiting if one is not None and one.id == id), None)

    def _refusal(self, target: Target | None, input: Any) -> tuple[str, str] | None:
        """Why a response cannot be steered: a code and a sentence."""
        if target is None:
            return "response_not_found", "This connection is not making a response with that id."
        if target.body.get("conversation") is not None:
            return "steering_not_supported", "A response in a conversation cannot be steered."
        if target.body.get("context_management"):
            return "steering_not_supported", "A response that is compacted cannot be steered."
        if len(target.steers) >= WAITING_MAX:
            return "too_many_pending_steers", f"More than {WAITING_MAX} steers wait."
        try:
            sockets.check_steering(input)
        except BadRequest as error:
            return "invalid_input", error.message
        return None

    async def _give_back(self, target: Target, code: str, message: str) -> None:
        number = max(target.lane.number, 0)
        for steer in target.steers:
            previous, input = steer.previous_response_id, steer.input
            failed = sockets.encode_failed(previous, input, code, message, number, steer.id)
            await self._say(target.lane, failed)

    async def _say_pending(self, target: Target, steer: Steer) -> None:
        number = max(target.lane.number, 0)
        await self._say(target.lane, sockets.encode_pending(steer, number, target.required))

    async def _say(self, lane: Lane, data: bytes) -> None:
        frame = sockets.encode_frame(data, lane.stream_id)
        await self._send({"type": "websocket.send", "text": frame})

    async def _refuse(self, error: ClewError, stream_id: str | None) -> None:
        said = {"type": "error", "status": error.status}
        said |= encode_error(error, "conversations", "run")
        frame = sockets.encode_frame(encode(said), stream_id)
        await self._send({"type": "websocket.send", "text": frame})


def _request(scope: Mapping[str, Any], receive: Receive) -> Request:
    """What every response of a connection is asked with: its project, and nothing else."""
    if scope["path"] not in PATHS:
        raise ClewError("not_found", f"Invalid URL (GET {scope['path']})")
    headers = dict(scope["headers"])
    check_origin(headers)
    project = headers.get(b"openai-project")
    kept = [] if project is None else [(b"openai-project", project)]
    return Request(CREATE, [], kept, b"", b"", receive)


async def _deny(send: Send, error: ClewError, headers: list[tuple[bytes, bytes]]) -> None:
    """Answer the handshake with an error instead."""
    body = encode(encode_error(error, "conversations"))
    head = [(b"content-type", b"application/json"), *headers]
    start = {"type": "websocket.http.response.start", "status": error.status, "headers": head}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


async def _frames(receive: Receive) -> AsyncIterator[str | bytes]:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        yield message.get("bytes") or b"" if text is None else text


async def _events(live: Live, stream: ResponseStream) -> AsyncIterator[bytes]:
    """The JSON of each event of a stream."""
    async for chunk in tell(live, stream):
        for event in chunk.split(b"\n\n"):
            _, found, data = event.partition(b"\ndata: ")
            if found:
                yield data


def _decode(frame: str | bytes) -> Any:
    try:
        return msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        message = "Invalid frame: failed to parse JSON value. Each frame is one JSON object."
        raise BadRequest(message, None, "invalid_json") from None


def _stream_id(event: Any) -> str | None:
    """The lane a frame is for, as far as it says so rightly."""
    id = event.get("stream_id") if isinstance(event, dict) else None
    return id if isinstance(id, str) and 0 < len(id) <= sockets.STREAM_ID_MAX else None
