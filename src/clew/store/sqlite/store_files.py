"""A vector store's rows as statements find them, and taking files out of stores, in SQLite."""

from __future__ import annotations

from typing import Any

import apsw

from clew.core.errors import NotFound
from clew.core.vector_stores import Counts, Filter, Found, VectorStore, matches
from clew.store.sqlite.engine import SQL, decode


def find_store(db: apsw.Connection, project: str, store: str) -> tuple[int, VectorStore]:
    """The store and the engine's own number for it."""
    row = db.execute(SQL["get_vector_store"], {"project": project, "store": store}).fetchone()
    if row is None:
        raise NotFound("vector_store", store)
    return row[0], to_store(row)


def unlink(db: apsw.Connection, statement: str, **bindings: Any) -> None:
    """Take files out of stores with one of the `remove_` statements; their chunks are for sweeping.

    The files of a store are counted, and nobody can finish indexing them.
    """
    rows: list[Any] = db.execute(SQL[statement], bindings).fetchall()
    for no, status, bytes, body in rows:
        count(db, no, status, -1, -bytes)
        abandon(db, body)


def count(db: apsw.Connection, no: int, status: str, by: int, bytes: int = 0) -> None:
    change = {"no": no, "status": status, "by": by, "bytes": bytes}
    db.execute(SQL["count_store_files"], change)


def abandon(db: apsw.Connection, body: str | None) -> None:
    if body is not None:
        db.execute(SQL["insert_unreachable"], {"body": body})


def filtered(db: apsw.Connection, no: int, filter: Filter) -> list[str]:
    """The completed files of a store that meet the filter."""
    rows: list[Any] = db.execute(SQL["file_attributes"], {"no": no}).fetchall()
    return [file for file, attributes in rows if matches(filter, decode(attributes))]


def to_found(
    file: str, filename: str, attributes: str, number: int, text: str, score: float
) -> Found:
    return Found(file, filename, decode(attributes), number, text, min(max(score, 0.0), 1.0))


def to_store(row: tuple[Any, ...]) -> VectorStore:
    _, key, created_at, last_active_at, expires_days, expired, body, *counts, usage_bytes = row
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
