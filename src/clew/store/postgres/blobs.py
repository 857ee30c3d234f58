"""Blobs in PostgreSQL: bytes written as they come, and removed some at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg

from clew.core.errors import ClewError, NotFound
from clew.core.files import PIECE_BYTES_MAX
from clew.store.postgres.answers import Answers
from clew.store.postgres.engine import SQL, Transaction

AT_ONCE = 64
"""Pieces removed in one transaction: 16 MB."""


class BlobVerbs(Answers):
    async def write_blob(self, project: str, blob: str, data: bytes, now_ms: int) -> int:
        asked = {"project": project, "blob": blob, "now": now_ms, "length": len(data)}

        async def act(tx: Transaction) -> int:
            grown = await tx.row("grow_blob", **asked)
            if grown is None:
                raise ClewError("conflict", "This blob is not to be written to any more.")
            bytes_now: int = grown[0]
            if data:
                await tx.run("insert_piece", blob=blob, start=bytes_now - len(data), data=data)
            return bytes_now

        return await self.write(act)

    async def drop_blob(self, project: str, blob: str) -> None:
        async def act(tx: Transaction) -> None:
            await tx.run("loosen_blob", project=project, blob=blob)

        await self.write(act)
        await self.remove_loose()

    async def remove_loose(self, before: int = 0) -> None:
        """Remove the bytes of blobs that belong to nothing since `before`; 0: what is to go."""
        while await self.write(partial(_remove_some, before=before)):
            pass

    async def read_range(self, name: str, asked: dict[str, Any], start: int, length: int) -> bytes:
        """The bytes from `start` on, out of the pieces that a statement finds there."""
        bounds = {"start": start, "stop": start + length, "piece_max": PIECE_BYTES_MAX}
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    SQL[name], asked | bounds, prepare=True, binary=True
                )
                pieces = await cursor.fetchall()
        except psycopg.Error as error:
            raise self.failed(error) from error
        return b"".join(data[max(start - at, 0) : start + length - at] for at, data in pieces)


async def find_blob(tx: Transaction, project: str, blob: str) -> int:
    """The bytes of a blob that belongs to nothing yet, or NotFound."""
    row = await tx.row("find_blob", project=project, blob=blob)
    if row is None:
        raise NotFound("blob", blob)
    return int(row[0])


async def _remove_some(tx: Transaction, *, before: int) -> bool:
    """Remove some pieces of blobs that belong to nothing; whether there may be more."""
    room = AT_ONCE
    loose = await tx.run("loose_blobs", before=before, limit=room)
    for (blob,) in loose:
        room -= len(await tx.run("delete_pieces", blob=blob, limit=room))
        if room <= 0:
            return True
        await tx.run("delete_blob", blob=blob)
    return len(loose) == AT_ONCE
