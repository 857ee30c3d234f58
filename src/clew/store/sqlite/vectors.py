"""Vectors of chunks in SQLite: storing them beside their chunks, finding the nearest.

sqlite-vec measures; the tables are plain ones, so a database opens, and chunks are deleted, without
it. Reading every vector of 10,000 chunks with 1,536 dimensions takes 44 ms, reading a bit of each
number 3 ms: the bits say which are likely, the vectors which of those are nearest. That is done on
a connection of its own in a thread, for the event loop has other things to do.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Sequence
from typing import Any

import apsw

from clew.core.embeddings import Embedded, Vector
from clew.core.errors import ClewError
from clew.core.vector_stores import Chunk, Filter, Found
from clew.store.sqlite.engine import SQL, Engine, connect, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.store_files import filtered, find_store, to_found

BITS_TELL = 256
"""Dimensions from which on the bits alone tell well enough what is likely."""

LIKELY_PER_RESULT = 8
LIKELY_MIN = 1_600
EVERY = -1

MISSING = (
    "Embeddings in SQLite need the package sqlite-vec, which is not installed: "
    "pip install 'clew[vectors]'."
)


class VectorVerbs(Engine):
    _searcher: apsw.Connection | None = None
    _searching: threading.Lock

    async def prepare_vectors(self) -> bool:
        if self._searcher is not None:
            return True
        library = _library()
        try:
            _load(self.db, library)
            self._searcher = self.db
            if self.path != ":memory:":
                self._searcher = await asyncio.to_thread(connect, self.path)
                _load(self._searcher, library)
        except apsw.Error as error:
            raise ClewError("unavailable", f"sqlite-vec cannot be loaded: {error}.") from error
        self._searching = threading.Lock()
        return True

    async def close(self) -> None:
        if self._searcher is not None and self._searcher is not self.db:
            with self._searching:
                self._searcher.close()
        await super().close()

    @reads
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
        db = self.snapshot()
        no, _ = find_store(db, project, store)
        if self._searcher is None:
            return []
        tells = len(vector) >= BITS_TELL
        asked = {
            "no": no,
            "model": model,
            "dimensions": len(vector),
            "vector": _bytes(vector),
            "files": None if filter is None else text(filtered(db, no, filter)),
            "likely": max(LIKELY_MIN, LIKELY_PER_RESULT * limit) if tells else EVERY,
            "limit": limit,
        }
        if self._searcher is self.db:
            rows = self._nearest(asked)
        else:
            rows = await asyncio.to_thread(self._nearest, asked)
        return [to_found(*row) for row in rows]

    def _nearest(self, asked: dict[str, Any]) -> list[Any]:
        assert self._searcher is not None
        with self._searching:
            return self._searcher.execute(SQL["nearest_chunks"], asked).fetchall()


def insert_vectors(
    db: apsw.Connection, body: str, chunks: Sequence[Chunk], embedded: Embedded
) -> None:
    """Store the vectors of an attempt's chunks."""
    space = {"model": embedded.model, "dimensions": embedded.dimensions}
    db.execute(SQL["set_model"], space | {"body": body})
    rows = [
        {"body": body, "number": chunk.number, "vector": _bytes(vector)}
        for chunk, vector in zip(chunks, embedded.vectors, strict=True)
    ]
    db.executemany(SQL["insert_vectors"], rows)
    db.executemany(SQL["insert_bits"], rows)


def _bytes(vector: Vector) -> bytes:
    """As sqlite-vec reads it; it makes bits of eight numbers at a time, so zeros fill them up."""
    numbers = array("f", vector)
    numbers.extend([0.0] * (-len(numbers) % 8))
    return numbers.tobytes()


def _library() -> str:
    try:
        import sqlite_vec  # type: ignore[import-untyped]
    except ImportError:
        raise ClewError("unavailable", MISSING) from None
    return str(sqlite_vec.loadable_path())


def _load(db: apsw.Connection, library: str) -> None:
    db.enable_load_extension(True)
    try:
        db.load_extension(library)
    finally:
        db.enable_load_extension(False)
