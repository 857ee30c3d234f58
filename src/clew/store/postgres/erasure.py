"""Erasure of threads and runs in PostgreSQL: gone from every table.

Rows that forks share stay, under a row nobody reaches, until the last fork goes; then they go
with it, all the way up. What is left of an erased thread is never more than its forks show.
"""

from __future__ import annotations

from msgspec.structs import replace

from clew.core.runs import Run
from clew.core.threads import Receipt
from clew.core.webhooks import thread_notice
from clew.store.once import Once
from clew.store.postgres import log, outbox
from clew.store.postgres.answers import Answers
from clew.store.postgres.compactions import erase_compactions
from clew.store.postgres.engine import Transaction, text
from clew.store.postgres.lines import go_on, leave, leave_with_input, withdraw
from clew.store.postgres.locks import Lock, check_revision, lock_lineage, touch
from clew.store.postgres.pages import EVERYTHING
from clew.store.postgres.run_rows import read_run
from clew.store.postgres.threads import read_thread


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
            return await _erase_thread(tx, project, found, receipt)

        return await self.act_once(project, thread, once, act)

    async def erase_run(
        self,
        project: str,
        thread: str,
        run: str,
        receipt: Receipt,
        *,
        once: Once | None = None,
    ) -> Receipt:
        async def act(tx: Transaction) -> Receipt:
            found = await lock_lineage(tx, project, thread)
            erased = await read_run(tx, project, thread, run)
            chain = (await read_thread(tx, project, thread)).chain
            if chain and not await _holds_more(tx, found, erased):
                return await _erase_thread(tx, project, found, receipt)
            items = await _erase_items(tx, project, found, erased) if chain else 0
            await _delete_run(tx, project, found, erased)
            await go_on(tx, project, found, receipt.erased_at)
            await touch(tx, found, receipt.erased_at)
            return await _keep_receipt(tx, project, replace(receipt, runs=1, items=items))

        return await self.act_once(project, thread, once, act)


async def _erase_thread(tx: Transaction, project: str, found: Lock, receipt: Receipt) -> Receipt:
    thread = found.thread
    forks = await tx.run("shown_by", thread=thread)
    await tx.run("delete_calls", thread=thread)
    if found.in_line:
        await tx.run("delete_line", thread=thread)
        await tx.run("delete_waiting", thread=thread)
    runs = (await tx.run("delete_runs", thread=thread))[0][0]
    await tx.run("delete_events", thread=thread)  # after the runs, which hold up new ones
    await tx.run("delete_answers", thread=thread, project=project)
    await tx.run("delete_dead_letters", thread=thread)
    await outbox.tell(tx, found, [thread_notice("deleted", thread)], receipt.erased_at)
    items = await _sweep(tx, thread)
    done = replace(receipt, items=items, runs=runs, kept_by=[fork for (fork,) in forks])
    return await _keep_receipt(tx, project, done)


async def _keep_receipt(tx: Transaction, project: str, receipt: Receipt) -> Receipt:
    row = {"thread": receipt.thread, "id": receipt.id, "project": project}
    await tx.run("insert_receipt", **row, body=text(receipt))
    return receipt


async def _holds_more(tx: Transaction, found: Lock, run: Run) -> bool:
    """Whether the thread has anything beside this run and its items."""
    if found.in_line:
        return True
    first, last = _span(found, run)
    bounds = {"run": run.key, "first": first, "last": last, "parent_seq": found.parent_seq}
    return bool((await tx.run("holds_more", thread=found.thread, **bounds))[0][0])


async def _erase_items(tx: Transaction, project: str, found: Lock, run: Run) -> int:
    """Erase the items of a run, and what recorded answers show of them; how many there were."""
    place = {"thread": found.thread, "project": project}
    if run.waits_in_line:
        waiting = await leave_with_input(tx, found, run.key)
        for item in waiting:
            await tx.run("erase_answers", **place, item=item.id)
        return len(waiting)
    first, last = _span(found, run)
    rows = await tx.run("items_up", **place, low=first - 1, high=last + 1, limit=last)
    items = log.to_items(found.thread, rows)
    for item in items:
        await log.change(tx, found, item, None)
        await tx.run("erase_answers", **place, item=item.id)
    await erase_compactions(tx, project, found, first)
    return len(items)


async def _delete_run(tx: Transaction, project: str, found: Lock, run: Run) -> None:
    await tx.run("delete_run_calls", thread=found.thread, run=run.key)
    await tx.run("delete_run", thread=found.thread, run=run.key)
    await tx.run("delete_run_events", thread=found.thread, run=run.key)
    await tx.run("erase_answers", thread=found.thread, project=project, item=run.key)
    if run.waits_in_line:
        await leave(tx, found, run.key)
    elif found.active_run == run.key:
        found.active_run = None
        if run.withdrawn:
            await withdraw(tx, project, found, run)


def _span(found: Lock, run: Run) -> tuple[int, int]:
    """The seqs of a run's items, its input and its output."""
    return run.first_seq, run.last_seq if run.is_terminal else found.last_seq


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
