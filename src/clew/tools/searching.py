"""Searching vector stores: by words, by meaning, or by both, whatever there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from clew.core.embeddings import Vector
from clew.core.rankings import CONSIDERED, Ranking, fuse
from clew.core.vector_stores import Filter, Found, best, query_words
from clew.store.store import Store
from clew.tools.embeddings import Embedder, EmbeddingError

log = logging.getLogger("clew.search")

EMBED_TIMEOUT_S = 10.0
"""So long a search waits for the vector of a query; then it goes by words alone."""

_AUTO = Ranking()


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
        vectors = await self._vectors(queries) if ranking.by_meaning and queries else None
        asked = _Asked(project, stores, max(limit, CONSIDERED), filter)
        found = await asyncio.gather(
            *(
                self._find(asked, query, vectors[place] if vectors else None, ranking)
                for place, query in enumerate(queries)
            )
        )
        every = [each for one in found for each in one if each.score >= ranking.threshold]
        return best(every, limit)

    async def _find(
        self, asked: _Asked, query: str, vector: Vector | None, ranking: Ranking
    ) -> list[Found]:
        """What one query finds. Without near chunks (none is of this model) words decide."""
        if vector is None:
            return await self._by_words(asked, query)
        if not ranking.by_words:
            return await self._near(asked, vector) or await self._by_words(asked, query)
        said, near = await asyncio.gather(self._by_words(asked, query), self._near(asked, vector))
        return fuse(said, near, asked.limit, ranking) if near else said

    async def _by_words(self, asked: _Asked, query: str) -> list[Found]:
        words = query_words(query)
        return await asked.of_each(
            lambda store: self._store.search_chunks(
                asked.project, store, words, asked.limit, filter=asked.filter
            )
        )

    async def _near(self, asked: _Asked, vector: Vector) -> list[Found]:
        assert self._embedder is not None
        model = self._embedder.model
        return await asked.of_each(
            lambda store: self._store.nearest_chunks(
                asked.project, store, model, vector, asked.limit, filter=asked.filter
            )
        )

    async def _vectors(self, queries: Sequence[str]) -> list[list[float]] | None:
        if self._embedder is None:
            return None
        try:
            async with asyncio.timeout(EMBED_TIMEOUT_S):
                return await self._embedder.embed_queries(queries)
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
