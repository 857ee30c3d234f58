"""Erasure of threads in PostgreSQL: gone from every table.

Rows that forks share stay, under a row nobody reaches, until the last fork goes; then they go
with it, all the way up. What is left of an erased thread is never more than its forks show.
"""

from __future__ import annotations

from msgspec.structs import replace

from clew.core.threads import Receipt
from clew.store.once import Once
from clew.store.postgres.answers import Answers
from clew.store.postgres.engine import Transaction, text
from clew.store.postgres.locks import check_revision, lock_lineage
from clew.store.postgres.pages import EVERYTHING


class ErasureVerbs(Answers):
    async def erase_thread(
        self,
        project: str,
        thread: str,
        receipt: Receipt,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Receipt:
        async def act(tx: Transaction) -> Receipt:
            found = await lock_lineage(tx, project, thread)
            check_revision(found, if_revision)
            forks = await tx.run("shown_by", thread=thread)
            await tx.run("delete_calls", thread=thread)
            runs = (await tx.run("delete_runs", thread=thread))[0][0]
            await tx.run("delete_answers", thread=thread, project=project)
            items = await _sweep(tx, thread)
            done = replace(receipt, items=items, runs=runs, kept_by=[fork for (fork,) in forks])
            row = {"thread": thread, "id": receipt.id, "project": project}
            await tx.run("insert_receipt", **row, body=text(done))
            return done

        return await self.act_once(project, thread, once, act)


async def _sweep(tx: Transaction, thread: str) -> int:
    """Delete what no fork shows of an erased thread and its erased ancestors: how many items."""
    deleted = 0
    erased = True
    while erased:
        shared = (await tx.run("shared_until", thread=thread))[0][0] or 0
        deleted += (await tx.run("delete_items", thread=thread, above=shared))[0][0]
        parent = await tx.row("parent_of", thread=thread)
        if shared:
            await tx.run("erase_thread_row", thread=thread, shared=shared)
            await tx.run("erase_unseen", thread=thread, low=1, high=EVERYTHING)
        else:
            await tx.run("delete_thread_row", thread=thread)
        if parent is None:
            break
        thread, erased = parent
    return deleted
