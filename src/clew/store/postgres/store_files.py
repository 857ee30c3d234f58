"""A vector store's rows as statements find them, and taking files out of stores, in PostgreSQL.

Whoever changes a store or its files holds the store's row. Only taking a file out of all stores
begins at the files; where the two wait for each other, the server stops one and it is run again.
"""

from __future__ import annotations

from typing import Any

from clew.core.errors import NotFound
from clew.core.vector_stores import Counts, Found, VectorStore
from clew.store.postgres.engine import Row, Transaction, decode


async def lock_store(tx: Transaction, project: str, store: str) -> VectorStore:
    return only_store(store, await tx.run("lock_vector_store", project=project, store=store))


def only_store(store: str, rows: list[Row]) -> VectorStore:
    if not rows:
        raise NotFound("vector_store", store)
    return to_store(rows[0])


async def unlink(tx: Transaction, statement: str, project: str, **params: Any) -> None:
    """Take files out of stores with one of the `remove_` statements; their chunks are for sweeping.

    The files of a store are counted, and nobody can finish indexing them.
    """
    removed = await tx.run(statement, project=project, **params)
    for store, status, bytes, body in sorted(removed, key=lambda row: str(row[0])):
        await count(tx, project, store, status, -1, -bytes)
        await abandon(tx, body)


async def count(
    tx: Transaction, project: str, store: str, status: str, by: int, bytes: int = 0
) -> None:
    scope = {"project": project, "store": store}
    await tx.run("count_store_files", **scope, status=status, by=by, bytes=bytes)


async def abandon(tx: Transaction, body: str | None) -> None:
    if body is not None:
        await tx.run("insert_unreachable", body=body)


def to_found(row: Row) -> Found:
    file, filename, attributes, number, text, score = row
    return Found(file, filename, decode(attributes), number, text, min(max(score, 0.0), 1.0))


def to_store(row: Row) -> VectorStore:
    key, created_at, last_active_at, expires_days, expired, body, *counts, usage_bytes = row
    name, description, metadata = decode(body)
    return VectorStore(
        key,
        created_at,
        last_active_at,
        name,
        description,
        metadata,
        expires_days,
        bool(expired),
        Counts(*counts),
        usage_bytes,
    )
