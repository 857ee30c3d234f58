"""MCP servers for tests: real ones of the official SDK, and liars that are made by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

START_S = 30.0
ONE_PIXEL = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


def weather_server(calls: list[Any]) -> MCPServer:
    """A server whose tools note that they were called."""
    server = MCPServer("weather", log_level="CRITICAL")

    @server.tool(description="The weather.", annotations=ToolAnnotations(readOnlyHint=True))
    def weather(city: str) -> str:
        calls.append(("weather", city))
        return f"Rain in {city}."

    @server.tool()
    def order(thing: str) -> str:
        calls.append(("order", thing))
        raise ToolError(f"no {thing} left")

    @server.tool()
    def numbers(count: int) -> dict[str, int]:
        calls.append(("numbers", count))
        return {"count": count}

    @server.tool()
    def picture() -> Any:
        calls.append(("picture",))
        return ["A dot:", Image(data=ONE_PIXEL, format="gif")]

    @server.tool()
    async def slow(seconds: float, context: Context) -> str:
        calls.append(("slow", "began"))
        await context.report_progress(1, 2)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            calls.append(("slow", "cancelled"))
            raise
        calls.append(("slow", "ended"))
        return "done"

    return server


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An ASGI app behind a port of its own, in a thread; gives its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            end = time.monotonic() + START_S
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < end
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Seen:
    """An ASGI app in front of another: notes what is asked, and refuses what old servers don't
    know."""

    def __init__(self, app: Any, *, is_old: bool = False, requests: list[Any] | None = None):
        self._app, self._is_old = app, is_old
        self.requests: list[Any] = [] if requests is None else requests

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        method = json.loads(body)["method"] if body else None
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((scope["method"], method, headers))
        if self._is_old and method == "server/discover":
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"Bad Request"})
            return
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(given, None) or await receive()

        await self._app(scope, again, send)


class Asked:
    """One request that reached a liar, and the means to answer it."""

    def __init__(
        self,
        head: bytes,
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.head, self.reader, self.writer = head.decode(), reader, writer
        self.http = self.head.partition(" ")[0]
        self.message: dict[str, Any] = json.loads(body) if body else {}
        self.method: str | None = self.message.get("method")

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # the one who is lied to lives in the same loop

    async def reply(
        self,
        body: bytes | str,
        kind: str = "application/json",
        status: str = "200 OK",
        more: str = "",
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{more}"
        await self.write(f"{head}\r\n".encode() + data)

    async def begin(self, kind: str = "text/event-stream") -> None:
        """The head of a body that ends with the connection."""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
        await self.write(head.encode())

    def answer(self, result: Any) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": self.message.get("id"), "result": result})


Lie = Callable[[Asked], Awaitable[None]]

TOOL = {"name": "weather", "inputSchema": {"type": "object", "properties": {}}}


class Liar:
    """A server of the older kind that is honest but for the methods in `lies`."""

    def __init__(self, lies: dict[str, Lie], tools: list[Any]) -> None:
        self._lies, self._tools = lies, tools
        self.asked: list[Asked] = []
        self.url = ""

    def count(self, method: str) -> int:
        return sum(asked.method == method for asked in self.asked)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    (
                        int(line.partition(b":")[2])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                asked = Asked(head, await reader.readexactly(size), reader, writer)
                self.asked.append(asked)
                lie = self._lies.get(asked.method or asked.http) or self._lies.get("*")
                await (lie or self.tell_truth)(asked)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def tell_truth(self, asked: Asked) -> None:
        match asked.method:
            case "initialize":
                about = {"name": "liar", "version": "1"}
                result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
                await asked.reply(asked.answer(result | {"serverInfo": about}))
            case "tools/list":
                await asked.reply(asked.answer({"tools": self._tools}))
            case "tools/call":
                text = {"type": "text", "text": "Rain."}
                await asked.reply(asked.answer({"content": [text]}))
            case None | "server/discover":
                await asked.reply("no", "text/plain", "400 Bad Request")
            case _:
                await asked.reply("", status="202 Accepted")


@asynccontextmanager
async def liar(
    lies: dict[str, Lie] | None = None,
    tools: list[Any] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Liar]:
    """A liar at work."""
    found = Liar(lies or {}, [TOOL] if tools is None else tools)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, limit=2**20, ssl=tls)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield found
    finally:
        server.close()
        for asked in found.asked:
            asked.writer.close()
