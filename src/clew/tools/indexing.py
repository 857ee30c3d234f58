"""Indexing: files of vector stores are read, cut and made findable, in the background.

The job is a row in the database, so it outlives this process: whoever is there claims it when the
lease has ended. Reading and cutting go piece by piece in a thread, so the event loop stays free
and a file costs a piece of memory. What was deleted is removed here as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from clew.core.errors import ClewError, NotFound
from clew.core.ids import new_key
from clew.core.vector_stores import Chunk, Claim, words_of
from clew.store.store import Store
from clew.tools.chunks import Chunker, Tokens
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

CHUNKS_TOGETHER = 16
"""Chunks stored in one transaction: some 5 ms of indexing for SQLite."""

log = logging.getLogger("clew.indexing")

_OURS = {"code": "server_error", "message": "An internal error occurred."}


class Indexer:
    """Indexes what is there to be indexed, until it is closed.

    `now` is the clock; `load_tokens` gives the vocabulary to count in, and may take its time.
    """

    def __init__(
        self, store: Store, now: Callable[[], int], load_tokens: Callable[[], Tokens]
    ) -> None:
        self._store, self._now, self._load_tokens = store, now, load_tokens
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
        file = await self._store.get_file(claim.project, claim.file, self._now())
        cutter = Cutter(await asyncio.to_thread(self._load_tokens), claim)
        usage = 0
        async with aclosing(texts_of(self._store, claim, file.filename)) as texts:
            async for text in texts:
                chunks = await asyncio.to_thread(cutter.cut, text)
                if not await self._keep_chunks(claim, chunks):
                    return None
                usage += _bytes_of(chunks)
        chunks = await asyncio.to_thread(cutter.finish)
        return usage + _bytes_of(chunks) if await self._keep_chunks(claim, chunks) else None

    async def _keep_chunks(self, claim: Claim, chunks: list[Chunk]) -> bool:
        """Store them, if the claim still holds."""
        for some in _together(chunks):
            if not await self._store.add_chunks(claim, some):
                return False
        return True


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


def _bytes_of(chunks: list[Chunk]) -> int:
    return sum(len(chunk.text.encode()) for chunk in chunks)


def _together(chunks: list[Chunk]) -> Iterator[list[Chunk]]:
    for first in range(0, len(chunks), CHUNKS_TOGETHER):
        yield chunks[first : first + CHUNKS_TOGETHER]
