"""The outbox in PostgreSQL: what happens is put there in the transaction in which it happens.

Whoever changes a thread has locked it, and the lock knows whether anybody is to be told; if not,
telling costs nothing. (Appends in groups tell in their own statement: `append_items`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clew.core.ids import new_key
from clew.core.items import Item
from clew.core.runs import Run
from clew.core.webhooks import Notice, message_notice, message_notices, run_notices
from clew.store.postgres.engine import Transaction, text
from clew.store.postgres.locks import Lock


async def tell(tx: Transaction, found: Lock, notices: Iterable[Notice], now_ms: int) -> None:
    """Tell whoever wants to know what happened in this thread."""
    rows = [
        {"place": place, "event": new_key(now_ms), "type": notice.type, "data": text(notice.data)}
        for place, notice in enumerate(notices if found.is_told else ())
    ]
    if rows:
        scope = {"project": found.project, "thread": found.thread, "now": now_ms}
        await tx.run("insert_deliveries", **scope, notices=text(rows))


async def tell_messages(tx: Transaction, found: Lock, items: Sequence[Item], now_ms: int) -> None:
    """Tell of the messages among new items."""
    if found.is_told:
        await tell(tx, found, message_notices(found.thread, items), now_ms)


async def tell_deleted(tx: Transaction, found: Lock, item: Item, now_ms: int) -> None:
    if item.is_message:
        await tell(tx, found, [message_notice("deleted", found.thread, item)], now_ms)


async def tell_run(
    tx: Transaction, found: Lock, run: Run, now_ms: int, *, is_new: bool = False
) -> None:
    """Tell of a run that has come into its status."""
    if found.is_told:
        await tell(tx, found, run_notices(run, is_new=is_new), now_ms)
