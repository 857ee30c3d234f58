"""Vectors of chunks in PostgreSQL: storing them beside their chunks, finding the nearest.

pgvector measures. Its table is made where embeddings are asked for, so a database without the
extension opens and searches by words. Numbers are kept in 16 bits: half the pages to read, and a
nearest neighbour that changes by it was as near. Every vector of the store is read: 5 to 10 ms for
10,000 chunks, 36 ms for 100,000 (384 dimensions). An HNSW index takes 0.6 ms, but has one length of
vectors for all stores, finds too few in small stores and under filters, and costs 0.2 ms a chunk.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg

from clew.core.embeddings import Embedded, Vector
from clew.core.vector_stores import Chunk, Filter, Found, matches
from clew.store.postgres.answers import Answers
from clew.store.postgres.engine import SQL, Transaction, decode, text
from clew.store.postgres.failures import is_lost
from clew.store.postgres.schema import alone
from clew.store.postgres.store_files import only_store, to_found

log = logging.getLogger("clew.store")


class VectorVerbs(Answers):
    _has_vectors = False

    async def prepare_vectors(self) -> bool:
        try:
            async with self._pool.connection() as connection, alone(connection):
                await connection.execute(b"CREATE EXTENSION IF NOT EXISTS vector")
                await connection.execute(SQL["create_vectors"])
        except psycopg.Error as error:
            if is_lost(error):
                raise self.failed(error) from error
            why = str(error).partition("\n")[0]
            log.warning("PostgreSQL cannot keep vectors, so search goes by words alone: %s", why)
            return False
        self._has_vectors = True
        return True

    async def nearest_chunks(
        self,
        project: str,
        store: str,
        model: str,
        vector: Vector,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[Found]:
        only_store(store, await self.read("get_vector_store", project=project, store=store))
        if not self._has_vectors:
            return []
        rows = await self.read(
            "nearest_chunks",
            project=project,
            store=store,
            model=model,
            dimensions=len(vector),
            vector=text(vector),
            files=None if filter is None else await self.filtered(project, store, filter),
            limit=limit,
        )
        return [to_found(row) for row in rows]

    async def filtered(self, project: str, store: str, filter: Filter) -> list[str]:
        """The completed files of a store that meet the filter."""
        rows = await self.read("file_attributes", project=project, store=store)
        return [file for file, attributes in rows if matches(filter, decode(attributes))]


async def insert_vectors(
    tx: Transaction, body: str, chunks: Sequence[Chunk], embedded: Embedded
) -> None:
    """Store the vectors of an attempt's chunks."""
    space = {"model": embedded.model, "dimensions": embedded.dimensions}
    await tx.run("set_model", **space, body=body)
    await tx.run(
        "insert_vectors",
        body=body,
        numbers=[each.number for each in chunks],
        vectors=[text(each) for each in embedded.vectors],
    )
