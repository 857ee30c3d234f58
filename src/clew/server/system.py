"""The server itself over HTTP: is it well, and what does it serve?"""

from __future__ import annotations

from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.openapi import describe


async def healthz(server: Server, request: Request) -> Answer:
    return Answer(b'{"status":"ok"}')


async def openapi(server: Server, request: Request) -> Answer:
    return Answer(encode(describe(server.routes)))


ROUTES = [
    Route("GET", "/healthz", healthz, "clew", "Is the server up?"),
    Route("GET", "/openapi.json", openapi, "clew", "This description"),
]
