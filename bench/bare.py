"""The limit of HTTP: an endpoint that stores nothing, on the server Clew runs on.

A POST is decoded and answered with the message object a store would answer with; a GET is answered
with the bytes given for its path in `--pages FILE`, a JSON object. Nothing is checked, routed or
numbered. Server, event loop and settings are those of `clew serve` itself; with `--stock`, those
of uvicorn as it comes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from clew.cli import serve

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Bare:
    """The ASGI application."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = {path: page.encode() for path, page in pages.items()}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            body = answer_to((await receive())["body"], scope["path"])
        else:
            body = self._pages[scope["path"]]
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def answer_to(body: bytes, path: str) -> bytes:
    """The message object for a request to create one."""
    message = decode(body)
    text = {"value": message["content"], "annotations": []}
    return encode(
        {
            "id": "msg_0000000000000000000000000000000",
            "object": "thread.message",
            "created_at": 1_800_000_000,
            "thread_id": path.split("/", 4)[3],
            "status": "completed",
            "incomplete_details": None,
            "completed_at": 1_800_000_000,
            "incomplete_at": None,
            "role": message["role"],
            "content": [{"type": "text", "text": text}],
            "assistant_id": None,
            "run_id": None,
            "attachments": [],
            "metadata": {},
        }
    )


async def _serve(app: Any, stock: bool) -> None:
    listener = serve.listen("127.0.0.1", 0)
    if stock:
        config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
    else:
        serve.tune()
        config = serve.settings(app)
    await serve.Server(config, listener).serve([listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--stock", action="store_true")
    options = parser.parse_args()
    app = Bare(decode(options.pages.read_bytes()) if options.pages else {})
    with asyncio.Runner(loop_factory=serve.loop_factory()) as runner:
        runner.run(_serve(app, options.stock))


if __name__ == "__main__":
    main()
