"""Clew without a server: the same store, executor and HTTP surface inside your process.

    with clew.open("sqlite:///clew.db") as here:
        thread = here.get_thread("proj_default", "…")      # every verb of `clew.store.Store`
        client = here.openai()                             # an official client, no port open

It runs on an event loop of its own in a thread of its own, so it can be used from any thread, and
from any event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from clew.executor.executor import Executor
from clew.providers.catalog import Catalog
from clew.server.app import App
from clew.store.urls import open_store

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

T = TypeVar("T")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def running(store_url: str, catalog: Catalog) -> AsyncIterator[App]:
    """The application on the running event loop; on the way out, what is under way is finished."""
    store = await open_store(store_url)
    executor = Executor(store, catalog, now_ms)
    try:
        yield App(store, executor, now_ms)
    finally:
        await executor.close()
        await catalog.close()
        await store.close()


class Clew:
    """An open Clew. Every verb of `Store` is a method here, as a plain call."""

    def __init__(self, store_url: str, catalog: Catalog) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clew", daemon=True)
        self._thread.start()
        self._running = running(store_url, catalog)
        try:
            self.app = self.run(self._running.__aenter__())
        except BaseException:
            self._stop()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on Clew's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        act = getattr(self.app.server.store, verb)
        return lambda *args, **kwargs: self.run(act(*args, **kwargs))

    def openai(self, **options: Any) -> OpenAI:
        """An official client bound to this Clew; `options` are the client's own."""
        from openai import OpenAI

        from clew.transport import sync_client

        return OpenAI(**_CLIENT | options, http_client=sync_client(self))

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """The asynchronous client, for any event loop."""
        from openai import AsyncOpenAI

        from clew.transport import async_client

        return AsyncOpenAI(**_CLIENT | options, http_client=async_client(self))

    def close(self) -> None:
        """Finish what is under way and let go of the database."""
        if self._loop.is_running():
            self.run(self._running.__aexit__(None, None, None))
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_CLIENT = {"base_url": "http://clew/v1", "api_key": "none"}


def open(
    store_url: str = "sqlite:///clew.db",
    *,
    upstream: str | None = None,
    upstream_key: str | None = None,
    script: str | None = None,
) -> Clew:
    """Open a Clew in this process. The options are those of `clew serve`."""
    return Clew(store_url, Catalog(upstream, upstream_key, script))
