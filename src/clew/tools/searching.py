"""Searching vector stores: by words, by meaning, or by both, whatever there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from clew.core.rankings import CONSIDERED, Ranking, fuse
from clew.core.vector_stores import Filter, Found, best, query_words
from clew.store.store import Store
from clew.tools.embeddings import Embedder, EmbeddingError

log = logging.getLogger("clew.search")

EMBED_TIMEOUT_S = 10.0
"""So long a search waits for the vector of a query; then it goes by words alone."""

_AUTO = Ranking()

Vectors = asyncio.Task[list[list[float]] | None] | None
"""The vectors of the queries, on their way; None where meaning is not asked for."""


class Searcher:
    """Finds chunks. Without an embedder, and while it gives no vectors, by words alone."""

    def __init__(self, store: Store, embedder: Embedder | None = None) -> None:
        self._store, self._embedder = store, embedder

    async def search(
        self,
        project: str,
        stores: Sequence[str],
        queries: Sequence[str],
        limit: int,
        *,
        filter: Filter | None = None,
        ranking: Ranking = _AUTO,
    ) -> list[Found]:
        """The best chunks of all the stores for any of the queries, each once, best first.

        Raises NotFound for a store that is not there.
        """
        queries = [query for query in queries if query.strip()]
        vectors: Vectors = None
        if self._embedder is not None and ranking.by_meaning and queries:
            vectors = asyncio.create_task(self._vectors(self._embedder, queries))
        asked = _Asked(project, stores, max(limit, CONSIDERED), filter)
        found = await asyncio.gather(
            *(
                self._find(asked, query, place, vectors, ranking)
                for place, query in enumerate(queries)
            )
        )
        every = [each for one in found for each in one if each.score >= ranking.threshold]
        return best(every, limit)

    async def _find(
        self, asked: _Asked, query: str, place: int, vectors: Vectors, ranking: Ranking
    ) -> list[Found]:
        """What one query finds: words are looked for while its vector is on the way. Without near
        chunks (none is of this model) words decide."""
        if vectors is None:
            return await self._by_words(asked, query)
        near = self._by_meaning(asked, place, vectors)
        if not ranking.by_words:
            return await near or await self._by_words(asked, query)
        said, meant = await asyncio.gather(self._by_words(asked, query), near)
        return fuse(said, meant, asked.limit, ranking) if meant else said

    async def _by_words(self, asked: _Asked, query: str) -> list[Found]:
        words = query_words(query)
        return await asked.of_each(
            lambda store: self._store.search_chunks(
                asked.project, store, words, asked.limit, filter=asked.filter
            )
        )

    async def _by_meaning(
        self, asked: _Asked, place: int, vectors: asyncio.Task[list[list[float]] | None]
    ) -> list[Found]:
        found = await asyncio.shield(vectors)
        if found is None or self._embedder is None:
            return []
        model, vector = self._embedder.model, found[place]
        return await asked.of_each(
            lambda store: self._store.nearest_chunks(
                asked.project, store, model, vector, asked.limit, filter=asked.filter
            )
        )

    async def _vectors(
        self, embedder: Embedder, queries: Sequence[str]
    ) -> list[list[float]] | None:
        try:
            async with asyncio.timeout(EMBED_TIMEOUT_S):
                return await embedder.embed_queries(queries)
        except (EmbeddingError, TimeoutError) as error:
            log.warning("a search goes by words alone: %s", error or "no vectors in time")
            return None


class _Asked(msgspec.Struct):
    project: str
    stores: Sequence[str]
    limit: int
    filter: Filter | None

    async def of_each(self, search: Callable[[str], Awaitable[list[Found]]]) -> list[Found]:
        """The best of what all the stores have."""
        found = await asyncio.gather(*(search(store) for store in self.stores))
        return best((each for one in found for each in one), self.limit)
