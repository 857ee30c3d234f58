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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from clew.core.errors import ClewError
from clew.core.limits import Limits
from clew.core.runs import EXPIRES_AFTER_MS
from clew.executor.deliveries import Deliverer
from clew.executor.executor import Executor
from clew.executor.vocabularies import encoding_of, load
from clew.options import OnBusy, Options
from clew.providers.catalog import Catalog
from clew.server.app import App
from clew.server.files import keep_swept
from clew.store.store import Store
from clew.store.urls import open_store
from clew.toolkit import tools_of
from clew.tools.chunks import Tokens
from clew.tools.embeddings import Embedder, embedder_of
from clew.tools.indexing import Indexer
from clew.tools.searching import Searcher

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

T = TypeVar("T")
RUN_EXPIRES_S = EXPIRES_AFTER_MS // 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def chunk_tokens() -> Tokens:
    """What the size of a chunk is counted in: the vocabulary of OpenAI's embedding models."""
    return load(encoding_of("text-embedding-3-large")).tokens


@asynccontextmanager
async def running(
    store_url: str,
    catalog: Catalog,
    options: Options | None = None,
    embedder: Embedder | None = None,
) -> AsyncIterator[App]:
    """The application on the running event loop; on the way out, what is under way is finished."""
    options = options or Options()
    store = await open_store(store_url)
    embeds = await _embeds(store, embedder)
    searcher = Searcher(store, embeds)
    tools = tools_of(store, searcher, options, now_ms)
    expires_ms, limits = options.run_expires_s * 1000, options.run_limits
    executor = Executor(store, catalog, now_ms, expires_ms, tools, limits, catalog.price_of)
    executor.watch()
    sweeping = asyncio.create_task(keep_swept(store, now_ms))
    indexer = Indexer(store, now_ms, chunk_tokens, embeds)
    indexer.start()
    deliverer = Deliverer(store, now_ms)
    deliverer.start()
    try:
        app = App(store, executor, now_ms, indexer.wake, searcher.search, deliverer)
        app.server.on_busy, app.server.on_busy_in = options.on_busy, options.on_busy_in
        yield app
    finally:
        await deliverer.close()
        await indexer.close()
        await _end(sweeping)
        await executor.close()
        await catalog.close()
        if embedder is not None:
            await embedder.close()
        await store.close()


async def _embeds(store: Store, embedder: Embedder | None) -> Embedder | None:
    """The embedder, if the store can keep what it gives."""
    if embedder is None:
        return None
    try:
        return embedder if await store.prepare_vectors() else None
    except BaseException:
        await embedder.close()
        await store.close()
        raise


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _end_all() -> None:
    """Cancel whatever else is under way on the running event loop, and wait until it has ended."""
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


class Clew:
    """An open Clew. Every verb of `Store` is a method here, as a plain call."""

    def __init__(
        self,
        store_url: str,
        catalog: Catalog,
        options: Options | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._loop, self._is_closed = asyncio.new_event_loop(), False
        self._submitting = threading.RLock()  # a submission may collect garbage, which submits
        self._thread = threading.Thread(target=self._loop.run_forever, name="clew", daemon=True)
        self._thread.start()
        self._running = running(store_url, catalog, options, embedder)
        try:
            self.app = self.run(self._running.__aenter__())
        except BaseException:
            self._stop()
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on Clew's event loop.

        ClewError once Clew is closed; what is still under way then ends with it too.
        """
        with self._submitting:
            if self._is_closed:
                work.close()
                raise _closed()
            return asyncio.run_coroutine_threadsafe(self._heed(work), self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.submit(work).result()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if "app" not in self.__dict__:
            raise AttributeError(f"A Clew that is not open has no '{verb}'.")
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
            try:
                self.run(self._running.__aexit__(None, None, None))
            finally:
                self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _heed(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except asyncio.CancelledError:
            if self._is_closed:
                raise _closed() from None
            raise

    def _stop(self) -> None:
        with self._submitting:
            self._is_closed = True
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _closed() -> ClewError:
    return ClewError("unavailable", "This Clew is closed.")


_CLIENT = {"base_url": "http://clew/v1", "api_key": "none"}


def open(
    store_url: str = "sqlite:///clew.db",
    *,
    upstream: str | None = None,
    upstream_key: str | None = None,
    upstream_kind: str = "openai-compatible",
    upstreams: Sequence[Mapping[str, Any]] = (),
    script: str | None = None,
    run_expires_s: int = RUN_EXPIRES_S,
    on_busy: OnBusy = "reject",
    on_busy_in: Mapping[str, OnBusy] | None = None,
    run_limits: Limits | None = None,
    mcp_allow: list[str] | None = None,
    embeddings_url: str | None = None,
    embeddings_model: str | None = None,
    embeddings_key: str | None = None,
    embeddings_dimensions: int | None = None,
) -> Clew:
    """Open a Clew in this process. The options are those of `clew serve`; `upstreams` are the
    entries that `clew.toml` has under `[[upstreams]]`."""
    catalog = Catalog(
        upstream, upstream_key, script, upstream_kind=upstream_kind, upstreams=upstreams
    )
    embedder = embedder_of(embeddings_url, embeddings_model, embeddings_key, embeddings_dimensions)
    options = Options(
        run_expires_s, on_busy, dict(on_busy_in or {}), run_limits or Limits(), mcp_allow
    )
    return Clew(store_url, catalog, options, embedder)
