"""The outbox in SQLite: what happens is put there in the transaction in which it happens.

Whoever changes a thread has locked it, and the lock knows whether anybody is to be told; if not,
telling costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from clew.core.ids import new_key
from clew.core.items import Item
from clew.core.runs import Run
from clew.core.webhooks import Notice, message_notice, message_notices, run_notices
from clew.store.sqlite.engine import SQL, text
from clew.store.sqlite.locks import Lock


def tell(db: apsw.Connection, found: Lock, notices: Iterable[Notice], now_ms: int) -> None:
    """Tell whoever wants to know what happened in this thread."""
    if not found.is_told:
        return
    for notice in notices:
        row = {
            "project": found.project,
            "thread": found.thread,
            "event": new_key(now_ms),
            "type": notice.type,
            "now": now_ms,
            "data": text(notice.data),
        }
        db.execute(SQL["insert_deliveries"], row)


def tell_messages(db: apsw.Connection, found: Lock, items: Sequence[Item], now_ms: int) -> None:
    """Tell of the messages among new items."""
    if found.is_told:
        tell(db, found, message_notices(found.thread, items), now_ms)


def tell_deleted(db: apsw.Connection, found: Lock, item: Item, now_ms: int) -> None:
    if item.is_message:
        tell(db, found, [message_notice("deleted", found.thread, item)], now_ms)


def tell_run(
    db: apsw.Connection, found: Lock, run: Run, now_ms: int, *, is_new: bool = False
) -> None:
    """Tell of a run that has come into its status."""
    if found.is_told:
        tell(db, found, run_notices(run, is_new=is_new), now_ms)
