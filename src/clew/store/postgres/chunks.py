"""Chunks in PostgreSQL: storing them under a claim, finding them by words, sweeping them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clew.core.embeddings import Embedded
from clew.core.vector_stores import (
    MATCHES_COUNTED,
    Chunk,
    Chunking,
    Claim,
    Filter,
    Found,
    fold,
    weights,
    words_of,
)
from clew.store.postgres.engine import Transaction, text
from clew.store.postgres.store_files import abandon, count, only_store, to_found, unlink
from clew.store.postgres.vectors import VectorVerbs, insert_vectors

SWEPT_TOGETHER = 500
"""Chunks removed in one transaction."""


class ChunkVerbs(VectorVerbs):
    async def read_chunks(
        self, project: str, store: str, file: str, *, above: int, limit: int
    ) -> list[Chunk]:
        only_store(store, await self.read("get_vector_store", project=project, store=store))
        asked = {"project": project, "store": store, "file": file}
        rows = await self.read("read_chunks", **asked, above=above, limit=limit)
        return [Chunk(*row) for row in rows]

    async def search_chunks(
        self,
        project: str,
        store: str,
        words: Sequence[str],
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[Found]:
        only_store(store, await self.read("get_vector_store", project=project, store=store))
        folded = [part for word in words for part in words_of(fold(word))]
        if not folded:
            return []
        asked = {"here": f"'{_word_of(store)}'", "words": folded}
        counted = await self.read("count_matches", **asked, most=MATCHES_COUNTED)
        rows = await self.read(
            "search_chunks",
            **asked,
            project=project,
            store=store,
            any=" | ".join(folded),
            weights=weights(matched for (matched,) in counted),
            files=None if filter is None else await self.filtered(project, store, filter),
            limit=limit,
        )
        return [to_found(row) for row in rows]

    # what an indexer does

    async def claim_indexing(self, body: str, now_ms: int, until_ms: int) -> Claim | None:
        async def act(tx: Transaction) -> Claim | None:
            row = await tx.row("find_job", now=now_ms)
            if row is None:
                return None
            project, store, file, tokens, overlap, attempts, was = row
            await abandon(tx, was)
            job = {"project": project, "store": store, "file": file}
            await tx.run("take_job", **job, body=body, until=until_ms)
            return Claim(project, store, file, body, Chunking(tokens, overlap), attempts + 1)

        return await self.write(act)

    async def hold_indexing(self, claim: Claim, until_ms: int) -> bool:
        async def act(tx: Transaction) -> bool:
            return await tx.row("hold_job", body=claim.body, until=until_ms) is not None

        return await self.write(act)

    async def add_chunks(
        self, claim: Claim, chunks: Sequence[Chunk], embedded: Embedded | None = None
    ) -> bool:
        texts = [each.text for each in chunks]
        new = {
            "body": claim.body,
            "here": _word_of(claim.store),
            "numbers": [each.number for each in chunks],
            "starts": [each.start for each in chunks],
            "stops": [each.end for each in chunks],
            "texts": texts,
            "words": await asyncio.to_thread(_words_of_all, texts),
        }

        async def act(tx: Transaction) -> bool:
            if await tx.row("hold_job", body=claim.body, until=None) is None:
                return False
            await tx.run("insert_chunks", **new)
            if embedded is not None:
                await insert_vectors(tx, claim.body, chunks, embedded)
            return True

        return await self.write(act)

    async def end_indexing(
        self,
        claim: Claim,
        status: str,
        usage_bytes: int = 0,
        error: dict[str, str] | None = None,
    ) -> bool:
        scope = claim.project, claim.store
        end = {"status": status, "bytes": usage_bytes, "error": error and text(error)}

        async def act(tx: Transaction) -> bool:
            await tx.run("lock_vector_store", project=claim.project, store=claim.store)
            if await tx.row("end_job", body=claim.body, **end) is None:
                return False
            await count(tx, *scope, "in_progress", -1)
            await count(tx, *scope, status, 1, usage_bytes)
            if status != "completed":
                await abandon(tx, claim.body)
            return True

        await self.read("flush_words")
        return await self.write(act)

    async def sweep_chunks(self, now_ms: int) -> bool:
        async def act(tx: Transaction) -> bool:
            expired = await tx.row("find_expired_store", now=now_ms)
            if expired is not None:
                project, store = expired
                await unlink(tx, "remove_all_store_files", project, store=store)
                await tx.run("expire_vector_store", project=project, store=store)
                return True
            row = await tx.row("find_unreachable")
            if row is None:
                return False
            deleted = await tx.run("delete_chunks", body=row[0], limit=SWEPT_TOGETHER)
            if len(deleted) < SWEPT_TOGETHER:
                await tx.run("delete_unreachable", body=row[0])
            return True

        return await self.write(act)


def _words_of_all(texts: Sequence[str]) -> list[str]:
    return [" ".join(words_of(fold(text))) for text in texts]


def _word_of(store: str) -> str:
    """What a store is called among words: no word has a colon."""
    return f"store:{store}"
