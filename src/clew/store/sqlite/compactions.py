"""Erasure of compactions in SQLite: a summary of what is erased goes with it."""

from __future__ import annotations

from typing import Any

import apsw

from clew.core.compactions import through
from clew.store.sqlite import log
from clew.store.sqlite.engine import SQL
from clew.store.sqlite.events import forget
from clew.store.sqlite.locks import Lock


def erase_compactions(
    db: apsw.Connection, project: str, thread: str, found: Lock, seq: int
) -> None:
    """Erase what stands, in this thread, for the item at `seq`, which is erased."""
    line = log.levels(db, found)
    for no, shown in line:
        bounds = {"no": no, "seq": seq, "shown": shown}
        rows: list[Any] = db.execute(SQL["list_compactions"], bounds).fetchall()
        for (id,) in rows:
            row = log.find(db, line, id)
            if row is None or row[2] is None or through(log.to_item(row)) < seq:
                continue
            log.change(db, found, row, None)
            forget(db, found, row[4])
            shows = {"thread": thread, "project": project, "item": id}
            db.execute(SQL["erase_answers"], shows)
