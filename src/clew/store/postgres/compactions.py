"""Erasure of compactions in PostgreSQL: a summary of what is erased goes with it."""

from __future__ import annotations

from clew.core.compactions import through
from clew.store.postgres import log
from clew.store.postgres.engine import Transaction
from clew.store.postgres.events import forget
from clew.store.postgres.locks import Lock


async def erase_compactions(tx: Transaction, project: str, found: Lock, seq: int) -> None:
    """Erase what stands, in this thread, for the item at `seq`, which is erased."""
    place = {"thread": found.thread, "project": project}
    for (id,) in await tx.run("list_compactions", **place, seq=seq):
        row = await log.find(tx, project, found.thread, id)
        if row[2] is None or through(log.to_item(row)) < seq:
            continue
        old = log.to_item(row)
        await log.change(tx, found, old, None)
        await forget(tx, found.thread, old.run)
        await tx.run("erase_answers", **place, item=id)
