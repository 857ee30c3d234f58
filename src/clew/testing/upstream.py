"""A model server for tests: real HTTP and server-sent events over a real socket, fully scripted.

    async with Upstream(says("Hel", "lo")) as upstream:
        provider = OpenAICompatible(upstream.base_url)

Each request gets the next reply, which may be a function of the request; what was asked is in
`upstream.requests`. A reply ends well, or by a `reset` of the connection, or never (`hang`), or the
server just stops speaking (`half`). The replies here speak chat completions; `upstream_responses`
and `upstream_messages` the others.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Self

import msgspec

_encode = msgspec.json.encode

EVENT_STREAM = {"content-type": "text/event-stream"}
REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}


class Reply(msgspec.Struct):
    """One answer: its pieces go out one HTTP chunk each, `pause_s` apart."""

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=lambda: EVENT_STREAM)
    ending: Literal["end", "reset", "hang", "half"] = "end"
    pause_s: float = 0.0


class Received(msgspec.Struct):
    """One request as it came in; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Answer = Reply | Callable[[Received], Reply]


class Upstream:
    """The server, as an async context manager, on a free port of this machine."""

    def __init__(self, *replies: Answer) -> None:
        self.requests: list[Received] = []
        self.let_go = asyncio.Event()
        """Set when a client hangs up on a reply that hangs."""
        self._replies = list(replies)
        self._server: asyncio.Server | None = None
        self._open: list[asyncio.Task[None]] = []

    @property
    def base_url(self) -> str:
        assert self._server is not None, "the upstream is not running"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def reply_to(self, request: Received) -> Reply:
        """What this request gets: the next reply, if a subclass does not know better."""
        reply = self._replies.pop(0) if self._replies else refuses(500, "no reply is left")
        return reply if isinstance(reply, Reply) else reply(request)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: enough for a double, and a reset hits nobody else."""
        try:
            request = await _received(reader)
            self.requests.append(request)
            reply = await self.reply_to(request)
            await _send(reply, writer)
            if reply.ending in ("hang", "half"):
                await _hung_up(reader)
                self.let_go.set()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def says(*texts: str, finish: str | None = "stop", usage: Any = None, done: bool = True) -> Reply:
    """A stream that says these texts, one chunk each."""
    return streams(*({"content": text} for text in texts), finish=finish, usage=usage, done=done)


def streams(
    *deltas: Mapping[str, Any], finish: str | None = "stop", usage: Any = None, done: bool = True
) -> Reply:
    """A stream of these deltas, then the finish reason, the usage and [DONE], where given."""
    chunks = [_chunk(delta) for delta in deltas]
    if finish is not None:
        chunks.append(_chunk({}, finish))
    if usage is not None:
        chunks.append({"choices": [], "usage": usage})
    data = [*map(_encode, chunks), *([b"[DONE]"] if done else [])]
    return Reply([b"data: %b\n\n" % line for line in data])


def refuses(status: int, message: str, **headers: str) -> Reply:
    """An error in OpenAI's JSON; `retry_after="1"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = _encode({"error": {"message": message, "type": "error", "param": None, "code": None}})
    return Reply([body], status, {"content-type": "application/json", **named})


def call(index: int | None, id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    """A delta with a piece of a function call; what is None is left out."""
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    part = {"index": index, "id": id, "type": "function" if id else None, "function": function}
    return {"tool_calls": [{key: value for key, value in part.items() if value is not None}]}


def cut(reply: Reply, word: str, ending: Literal["end", "reset", "hang", "half"] = "end") -> Reply:
    """The reply, which stops after the piece that says `word`."""
    at = next(at for at, piece in enumerate(reply.pieces) if word.encode() in piece)
    return msgspec.structs.replace(reply, pieces=reply.pieces[: at + 1], ending=ending)


def events(*data: Mapping[str, Any]) -> Reply:
    """A stream of named events, one HTTP chunk each."""
    lines = ((str(one["type"]).encode(), _encode(one)) for one in data)
    return Reply([b"event: %b\ndata: %b\n\n" % line for line in lines])


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}


async def _received(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, msgspec.json.decode(body or b"{}"))


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(reply))
    for piece in reply.pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(reply.pause_s)
    if reply.ending == "end":
        writer.write(b"0\r\n\r\n")
    elif reply.ending == "half":
        writer.write_eof()
    elif reply.ending == "reset":
        _reset_on_close(writer)


async def _hung_up(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read()


def _head(reply: Reply) -> bytes:
    headers = {**reply.headers, "transfer-encoding": "chunked", "connection": "close"}
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Something')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    """With no time to linger, closing sends RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
