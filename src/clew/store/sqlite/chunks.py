"""Chunks in SQLite: storing them under a claim, finding them by words, sweeping them.

FTS5 finds the candidates and orders them by BM25; `chunk_score` gives those the score that both
engines agree on. Its index keeps no copy of the text, and gives deleted words up at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from clew.core.embeddings import Embedded
from clew.core.vector_stores import (
    MATCHES_COUNTED,
    Chunk,
    Chunking,
    Claim,
    Filter,
    Found,
    score,
    weights,
)
from clew.store.sqlite.engine import SQL, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.store_files import abandon, count, filtered, find_store, to_found, unlink
from clew.store.sqlite.vectors import VectorVerbs, insert_vectors

CANDIDATES_PER_RESULT = 4
CANDIDATES_MIN = 100
"""How many of the likely chunks are scored."""

SWEPT_TOGETHER = 4
"""Chunks removed in one transaction: some 6 ms each, for the index gives up word after word."""


class ChunkVerbs(VectorVerbs):
    @reads
    async def read_chunks(
        self, project: str, store: str, file: str, *, above: int, limit: int
    ) -> list[Chunk]:
        db = self.snapshot()
        no, _ = find_store(db, project, store)
        asked = {"no": no, "file": file, "above": above, "limit": limit}
        return [Chunk(*row) for row in db.execute(SQL["read_chunks"], asked)]

    @reads
    async def search_chunks(
        self,
        project: str,
        store: str,
        words: Sequence[str],
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[Found]:
        db = self.snapshot()
        no, _ = find_store(db, project, store)
        if not words:
            return []
        quoted = [f'"{word}"' for word in words]
        queries = text([_query(no, word) for word in quoted])
        counted = db.execute(SQL["count_matches"], {"queries": queries, "most": MATCHES_COUNTED})
        asked = {
            "no": no,
            "query": _query(no, " OR ".join(quoted)),
            "weights": text(weights(matched for (matched,) in counted)),
            "files": None if filter is None else text(filtered(db, no, filter)),
            "limit": max(CANDIDATES_MIN, CANDIDATES_PER_RESULT * limit),
        }
        db.register_fts5_function("chunk_score", _chunk_score)
        rows: list[Any] = db.execute(SQL["search_chunks"], asked).fetchall()
        found = [to_found(*row) for row in rows]
        found.sort(key=lambda each: (-each.score, each.file, each.number))
        return found[:limit]

    # what an indexer does

    async def claim_indexing(self, body: str, now_ms: int, until_ms: int) -> Claim | None:
        if self.snapshot().execute(SQL["find_job"], {"now": now_ms}).fetchone() is None:
            return None

        def act() -> Claim | None:
            row = self.db.execute(SQL["find_job"], {"now": now_ms}).fetchone()
            if row is None:
                return None
            no, project, store, file, tokens, overlap, attempts, was = row
            abandon(self.db, was)
            self.db.execute(SQL["take_job"], {"no": no, "body": body, "until": until_ms})
            return Claim(project, store, file, body, Chunking(tokens, overlap), attempts + 1)

        return await self.write(act)

    async def hold_indexing(self, claim: Claim, until_ms: int) -> bool:
        return await self.write(lambda: _hold(self.db, claim, until_ms) is not None)

    async def add_chunks(
        self, claim: Claim, chunks: Sequence[Chunk], embedded: Embedded | None = None
    ) -> bool:
        rows = text([[each.number, each.start, each.end, each.text] for each in chunks])

        def act() -> bool:
            no = _hold(self.db, claim)
            if no is None:
                return False
            new = {"body": claim.body, "store": f"s{no}", "chunks": rows}
            self.db.execute(SQL["insert_chunks"], new)
            place = {"body": claim.body, "first": chunks[0].number}
            self.db.execute(SQL["index_chunks"], place)
            if embedded is not None:
                insert_vectors(self.db, claim.body, chunks, embedded)
            return True

        return await self.write(act)

    async def end_indexing(
        self,
        claim: Claim,
        status: str,
        usage_bytes: int = 0,
        error: dict[str, str] | None = None,
    ) -> bool:
        end = {
            "body": claim.body,
            "status": status,
            "bytes": usage_bytes,
            "error": None if error is None else text(error),
        }

        def act() -> bool:
            row = self.db.execute(SQL["end_job"], end).fetchone()
            if row is None:
                return False
            count(self.db, row[0], "in_progress", -1)
            count(self.db, row[0], status, 1, usage_bytes)
            if status != "completed":
                abandon(self.db, claim.body)
            return True

        return await self.write(act)

    async def sweep_chunks(self, now_ms: int) -> bool:
        if not _work(self.snapshot(), now_ms):
            return False
        emptied = await self.write(lambda: _sweep(self.db, now_ms))
        if emptied:
            await self.write(lambda: None, scrub=True)
        return True


def _hold(db: apsw.Connection, claim: Claim, until_ms: int | None = None) -> int | None:
    """The number of the store, if the claim still stands."""
    row = db.execute(SQL["hold_job"], {"body": claim.body, "until": until_ms}).fetchone()
    return None if row is None else row[0]


def _work(db: apsw.Connection, now_ms: int) -> bool:
    asked = {"now": now_ms}
    return (
        db.execute(SQL["find_unreachable"]).fetchone() is not None
        or db.execute(SQL["find_expired_store"], asked).fetchone() is not None
    )


def _sweep(db: apsw.Connection, now_ms: int) -> bool:
    """One step; whether a body has lost its last chunks."""
    expired = db.execute(SQL["find_expired_store"], {"now": now_ms}).fetchone()
    if expired is not None:
        unlink(db, "remove_all_store_files", no=expired[0])
        db.execute(SQL["expire_vector_store"], {"no": expired[0]})
        return False
    row = db.execute(SQL["find_unreachable"]).fetchone()
    if row is None:
        return False
    place = {"body": row[0], "limit": SWEPT_TOGETHER}
    db.execute(SQL["unindex_chunks"], place)
    if len(db.execute(SQL["delete_chunks"], place).fetchall()) == SWEPT_TOGETHER:
        return False
    db.execute(SQL["delete_unreachable"], {"body": row[0]})
    return True


def _query(no: int, words: str) -> str:
    return f'store : "s{no}" AND text : ({words})'


def _chunk_score(api: apsw.FTS5ExtensionApi, *args: Any) -> float:
    """Phrase 0 is the store, the others are the words; column 1 is the text."""
    (encoded,) = args
    places = (api.phrase_locations(phrase)[1] for phrase in range(1, api.phrase_count))
    return score([len(each) for each in places], decode(encoded))
