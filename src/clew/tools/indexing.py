"""Indexing: files of vector stores are read, cut and made findable, in the background.

The job is a row in the database, so it outlives this process: whoever is there claims it when the
lease has ended. Reading and cutting go piece by piece in a thread, so the event loop stays free
and a file costs a piece of memory. What was deleted is removed here as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeVar

from clew.core.embeddings import Embedded
from clew.core.errors import ClewError, NotFound
from clew.core.ids import new_key
from clew.core.vector_stores import Chunk, Claim, words_of
from clew.store.store import Store
from clew.tools.chunks import Chunker, Tokens
from clew.tools.embeddings import Embedder, EmbeddingError
from clew.tools.formats import Unreadable
from clew.tools.texts import texts_of

WORKERS = 2
"""Files indexed at a time by one process: a small one need not wait for a large one."""

LEASE_MS = 5_000
"""How long a file is left alone after its indexer was last heard of."""

BEATS_PER_LEASE = 4
POLL_S = 2.0
"""How often somebody looks for what others left behind. What is added here wakes the indexer."""

STOP_S = 0.5

ATTEMPTS_MAX = 10
"""So often may a file take its indexer down with it."""

EMBEDDING_ATTEMPTS_MAX, PAUSE_S_MAX = 8, 60.0
"""So often is a file begun whose embeddings fail for a reason that may pass: some three minutes
later it fails. Meanwhile others are indexed."""

CHUNKS_TOGETHER = 32
"""Chunks stored in one transaction: some 10 ms of indexing for SQLite. With 64 files are indexed a
fifth faster, and others wait twice as long."""

T = TypeVar("T")
log = logging.getLogger("clew.indexing")

_OURS = {"code": "server_error", "message": "An internal error occurred."}


class Indexer:
    """Indexes what is there to be indexed, until it is closed.

    `now` is the clock; `load_tokens` gives the vocabulary to count in, and may take its time. With
    an `embedder` chunks get vectors, which the store must have prepared for.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], int],
        load_tokens: Callable[[], Tokens],
        embedder: Embedder | None = None,
    ) -> None:
        self._store, self._now, self._load_tokens = store, now, load_tokens
        self._embedder = embedder
        self._wakes: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for step in [self._index_next] * WORKERS + [self._sweep]:
            woken = asyncio.Event()
            self._wakes.append(woken)
            self._tasks.append(asyncio.create_task(_keep(step, woken)))

    def wake(self) -> None:
        """There is something to do."""
        for woken in self._wakes:
            woken.set()

    async def close(self) -> None:
        """Stop; files that are not done are left to whoever comes next.

        A driver that is cancelled in the middle of a query may end in an error of its own, so a
        task that goes on is told again.
        """
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=STOP_S)

    async def _sweep(self) -> bool:
        return await self._store.sweep_chunks(self._now())

    async def _index_next(self) -> bool:
        """Index one file; whether there was one."""
        now = self._now()
        claim = await self._store.claim_indexing(new_key(now), now, now + LEASE_MS)
        if claim is None:
            return False
        async with self._held(claim):
            await self._index(claim)
        return True

    @asynccontextmanager
    async def _held(self, claim: Claim) -> Any:
        """Others leave the file alone meanwhile; who is stopped lets go of it."""
        beating = asyncio.create_task(self._beat(claim))
        try:
            yield
        except asyncio.CancelledError:
            with suppress(ClewError):
                await self._store.hold_indexing(claim, 0)
            raise
        finally:
            beating.cancel()

    async def _beat(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 1000 / BEATS_PER_LEASE)
            with suppress(ClewError):
                await self._store.hold_indexing(claim, self._now() + LEASE_MS)

    async def _index(self, claim: Claim) -> None:
        """Index the file and say how it went. Where the database fails, the lease will end."""
        error: dict[str, str] | None = None
        usage: int | None = 0
        try:
            if claim.attempts > ATTEMPTS_MAX:
                raise RuntimeError(f"given up after {ATTEMPTS_MAX} attempts")
            usage = await self._store_chunks(claim)
        except Unreadable as found:
            error = {"code": found.code, "message": found.message}
        except EmbeddingError as found:
            pause_s = _pause_s(found, claim.attempts)
            if pause_s is not None:
                await self._store.hold_indexing(claim, self._now() + round(1000 * pause_s))
                log.warning("file-%s waits %d s: %s", claim.file, pause_s, found.message)
                return
            error = {"code": "server_error", "message": found.message}
        except NotFound:
            error = {"code": "invalid_file", "message": "The file has been deleted."}
        except ClewError:
            raise
        except Exception:
            log.exception("file-%s cannot be indexed", claim.file)
            error = _OURS
        if usage is not None:
            status = "completed" if error is None else "failed"
            await self._store.end_indexing(claim, status, usage, error)

    async def _store_chunks(self, claim: Claim) -> int | None:
        """Bytes of text stored; None when the claim was lost on the way."""
        usage = 0
        async with aclosing(_ahead(self._cut(claim))) as pieces:
            async for cut, embedded in pieces:
                for chunks, vectors in _together(cut, embedded):
                    if not await self._store.add_chunks(claim, chunks, vectors):
                        return None
                usage += sum(len(chunk.text.encode()) for chunk in cut)
        return usage

    async def _cut(self, claim: Claim) -> AsyncIterator[tuple[list[Chunk], Embedded | None]]:
        """The chunks of a file, piece by piece, with their vectors."""
        file = await self._store.get_file(claim.project, claim.file, self._now())
        cutter = Cutter(await asyncio.to_thread(self._load_tokens), claim)
        async with aclosing(texts_of(self._store, claim, file.filename)) as texts:
            async for text in texts:
                cut = await asyncio.to_thread(cutter.cut, text)
                yield cut, await self._embedded(cut)
        cut = await asyncio.to_thread(cutter.finish)
        yield cut, await self._embedded(cut)

    async def _embedded(self, chunks: list[Chunk]) -> Embedded | None:
        if self._embedder is None:
            return None
        return await self._embedder.embed([chunk.text for chunk in chunks])


class Cutter:
    """A text into chunks, as it comes."""

    def __init__(self, tokens: Tokens, claim: Claim) -> None:
        self._chunker = Chunker(tokens, claim.chunking)
        self._has_words = False

    def cut(self, text: str) -> list[Chunk]:
        """The chunks that are certain with this piece."""
        self._has_words = self._has_words or bool(words_of(text))
        return self._chunker.feed(text)

    def finish(self) -> list[Chunk]:
        """The rest. Raises Unreadable when there was no word to be found."""
        if not self._has_words:
            raise Unreadable("invalid_file", "The file has no text.")
        return self._chunker.finish()


async def _keep(step: Callable[[], Awaitable[bool]], woken: asyncio.Event) -> None:
    """Take steps while there are some, then wait until woken, or for a while."""
    while True:
        woken.clear()
        try:
            more = await step()
        except ClewError as error:
            log.warning("indexing waits: %s", error.message)
            more = False
        except Exception:
            log.exception("indexing failed; it will be tried again")
            more = False
        if not more:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), POLL_S)


async def _ahead(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What the source gives; while one is made use of, the next is made."""

    async def following() -> T | None:
        return await anext(source, None)

    coming = asyncio.create_task(following())
    try:
        while (here := await coming) is not None:
            coming = asyncio.create_task(following())
            yield here
    finally:
        coming.cancel()
        await asyncio.wait([coming])
        if not coming.cancelled():
            coming.exception()  # nobody asks for it any more


def _together(
    chunks: list[Chunk], embedded: Embedded | None
) -> Iterator[tuple[list[Chunk], Embedded | None]]:
    """What is stored in one transaction each."""
    for first in range(0, len(chunks), CHUNKS_TOGETHER):
        part = slice(first, first + CHUNKS_TOGETHER)
        vectors = embedded and Embedded(embedded.model, embedded.vectors[part])
        yield chunks[part], vectors


def _pause_s(error: EmbeddingError, attempts: int) -> float | None:
    """How long a file waits for a server that fails; None when it has waited long enough."""
    if not error.passes or attempts >= EMBEDDING_ATTEMPTS_MAX:
        return None
    return min(max(error.pause_s or 0.0, 2.0**attempts), PAUSE_S_MAX)
