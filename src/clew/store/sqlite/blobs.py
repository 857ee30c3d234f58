"""Blobs in SQLite: bytes written as they come.

Bytes are removed a few pieces at a time, which leaves the event loop and the log free for others.
What a crash cut off is finished at the next opening.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import apsw

from clew.core.errors import ClewError, NotFound
from clew.core.files import PIECE_BYTES_MAX
from clew.store.sqlite.engine import SQL, Engine
from clew.store.sqlite.failures import reads

AT_ONCE = 8
"""Pieces removed in one transaction: 2 MB, overwritten with zeros."""


class BlobVerbs(Engine):
    """Blobs: writing them, and removing those that belong to nothing."""

    async def write_blob(self, project: str, blob: str, data: bytes, now_ms: int) -> int:
        asked = {"project": project, "blob": blob, "now": now_ms, "length": len(data)}

        def act() -> int:
            grown: Any = self.db.execute(SQL["grow_blob"], asked).fetchone()
            if grown is None:
                raise ClewError("conflict", "This blob is not to be written to any more.")
            bytes_now: int = grown[0]
            if data:
                piece = {"blob": blob, "start": bytes_now - len(data), "data": data}
                self.db.execute(SQL["insert_piece"], piece)
            return bytes_now

        return await self.write(act)

    async def drop_blob(self, project: str, blob: str) -> None:
        def act() -> None:
            self.db.execute(SQL["loosen_blob"], {"project": project, "blob": blob})

        await self.write(act)
        await self.remove_loose()

    @reads
    async def remove_loose(self, before: int = 0) -> None:
        """Remove the bytes of blobs that belong to nothing since `before`; 0: what is to go."""
        asked = {"before": before, "limit": AT_ONCE}
        while self.snapshot().execute(SQL["loose_blobs"], asked).fetchone() is not None:
            await self.write(partial(_remove_some, self.db, asked), scrub=True)


def find_blob(db: apsw.Connection, project: str, blob: str) -> int:
    """The bytes of a blob that belongs to nothing yet, or NotFound."""
    row: Any = db.execute(SQL["find_blob"], {"project": project, "blob": blob}).fetchone()
    if row is None:
        raise NotFound("blob", blob)
    return int(row[0])


def read_range(
    db: apsw.Connection, name: str, asked: dict[str, Any], start: int, length: int
) -> bytes:
    """The bytes from `start` on, out of the pieces that a query finds there."""
    bounds = {"start": start, "stop": start + length, "piece_max": PIECE_BYTES_MAX}
    pieces: list[Any] = db.execute(SQL[name], asked | bounds).fetchall()
    return b"".join(
        data
        if at >= start and at + len(data) <= start + length
        else data[max(start - at, 0) : start + length - at]
        for at, data in pieces
    )


def _remove_some(db: apsw.Connection, asked: dict[str, int]) -> None:
    """Remove some pieces of blobs that belong to nothing, and those that have none left."""
    room = AT_ONCE
    loose: list[Any] = db.execute(SQL["loose_blobs"], asked).fetchall()
    for (blob,) in loose:
        pieces = {"blob": blob, "limit": room}
        room -= len(db.execute(SQL["delete_pieces"], pieces).fetchall())
        if room <= 0:
            return
        db.execute(SQL["delete_blob"], {"blob": blob})
