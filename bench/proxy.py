"""The limit of a streaming relay: a proxy that passes bytes on and knows nothing of them.

Server, event loop and settings are those of `clew serve`, and it asks the upstream with the HTTP
library that Clew has. A POST to any path is answered with the stream of
`{upstream}/chat/completions` for the same body.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from clew.cli import serve

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]
JSON = {"content-type": "application/json", "accept": "text/event-stream"}


class Proxy:
    """The ASGI application."""

    def __init__(self, upstream: str) -> None:
        self._url = f"{upstream}/chat/completions"
        self._client = httpx2.AsyncClient(limits=httpx2.Limits(), timeout=600)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        asked = self._client.stream("POST", self._url, content=body, headers=JSON)
        async with asked as response:
            status = response.status_code
            await send({"type": "http.response.start", "status": status, "headers": HEADERS})
            async for piece in response.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _serve(upstream: str) -> None:
    serve.tune()
    listener = serve.listen("127.0.0.1", 0)
    await serve.Server(serve.settings(Proxy(upstream)), listener).serve([listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    with asyncio.Runner(loop_factory=serve.loop_factory()) as runner:
        runner.run(_serve(parser.parse_args().upstream))


if __name__ == "__main__":
    main()
