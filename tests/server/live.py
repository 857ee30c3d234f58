"""A live Clew: real uvicorn on a real port, in a thread of this process, its store at hand."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any, Self

import httpx2
import uvicorn
from openai import AsyncOpenAI, OpenAI

from clew.cli.serve import settings
from clew.embedded import Clew
from clew.options import Options
from clew.providers.catalog import Catalog

from .evidence import Observed

CLIENT: dict[str, Any] = {"api_key": "none", "max_retries": 0, "_strict_response_validation": True}
"""A client that refuses what the SDK's own types do not allow, and tries once."""


class Live:
    """`here` has every verb of the store; `url` is where HTTP clients go."""

    def __init__(
        self, store_url: str, catalog: Catalog | None = None, options: Options | None = None
    ) -> None:
        self.here = Clew(store_url, catalog or Catalog(), options)
        # Named as TCP, or asyncio would leave Nagle's algorithm on and each answer take 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready = threading.Event()
        self._server = Announced(settings(Observed(self.here.app)), ready)
        self._serving: Future[None] = self.here.submit(self._server.serve([listener]))
        ready.wait(10)
        assert self._server.started

    def client(self, **options: Any) -> OpenAI:
        return OpenAI(**CLIENT | {"base_url": f"{self.url}/v1"} | options)

    def async_client(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(**CLIENT | {"base_url": f"{self.url}/v1"} | options)

    def http(self, project: str) -> httpx2.Client:
        """A plain HTTP client, for requests that the official client would not send."""
        return httpx2.Client(base_url=self.url, headers={"openai-project": project}, timeout=30)

    def close(self) -> None:
        self._server.should_exit = True
        self._serving.result(30)
        self.here.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Announced(uvicorn.Server):
    """Tells the thread that waits for it that it is there."""

    def __init__(self, settings: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._ready.set()


def run(work: Any) -> Any:
    """Play a test that is a coroutine."""
    return asyncio.run(work)
