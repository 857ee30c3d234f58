"""Erasure of threads in SQLite: gone from every table, index, free page and the log file.

A small thread goes in one transaction. A large one becomes unreachable in the first, then loses its
rows in steps that leave the event loop free; steps cut off by a crash are finished at the next
opening. Rows that forks share stay, in a row nobody reaches, until the last fork goes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import apsw
from msgspec.structs import replace

from clew.core.threads import Receipt
from clew.store.once import Once
from clew.store.sqlite import log
from clew.store.sqlite.answers import record, replay
from clew.store.sqlite.engine import SQL, Engine, text
from clew.store.sqlite.locks import check_revision, lock

ROWS_AT_ONCE = 2_000
"""Rows deleted in one transaction: what the event loop can spare (some 10 ms)."""


class ErasureVerbs(Engine):
    async def erase_thread(
        self,
        project: str,
        thread: str,
        receipt: Receipt,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Receipt:
        def begin() -> tuple[Receipt, int | None]:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            check_revision(found, if_revision)
            forks: list[Any] = self.db.execute(SQL["shown_by"], {"no": found.no}).fetchall()
            self.db.execute(SQL["delete_metadata"], {"no": found.no})
            self.db.execute(SQL["delete_calls"], {"no": found.no})
            self.db.execute(SQL["delete_runs"], {"no": found.no})
            runs = self.db.changes()
            self.db.execute(SQL["delete_answers"], {"thread": thread, "project": project})
            row = {"no": found.no, "shared": _shared(self.db, found.no)}
            self.db.execute(SQL["erase_thread_row"], row)
            kept_by = [key for (key,) in forks]
            return go_on(replace(receipt, runs=runs, kept_by=kept_by), found.no)

        def go_on(so_far: Receipt, at: int) -> tuple[Receipt, int | None]:
            deleted, left = _sweep(self.db, at)
            now = replace(so_far, items=so_far.items + deleted)
            if left is None:
                row = {"id": now.id, "project": project, "thread": thread, "body": text(now)}
                self.db.execute(SQL["insert_receipt"], row)
                record(self.db, project, thread, once, now)
            return now, left

        done, left = await self.write(begin, scrub=True)
        while left is not None:
            done, left = await self.write(partial(go_on, done, left), scrub=True)
        return done

    async def finish_erasures(self) -> None:
        """Go on with erasures that a crash cut off."""
        rows: list[Any] = self.reader.execute(SQL["erased_threads"]).fetchall()
        for (no,) in rows:
            left: int | None = no
            while left is not None:
                _, left = await self.write(partial(_sweep, self.db, left), scrub=True)


def _sweep(db: apsw.Connection, no: int) -> tuple[int, int | None]:
    """Delete what no fork shows of an erased thread: how many items, and which thread is next.

    That is the thread itself while there are rows left, then its parent if that is erased too.
    """
    shared = _shared(db, no)
    place = {"no": no, "above": shared, "limit": ROWS_AT_ONCE}
    rows: list[Any] = db.execute(SQL["delete_items"], place).fetchall()
    deleted = sum(was_item for (was_item,) in rows)
    if len(rows) == ROWS_AT_ONCE:
        return deleted, no
    parent: Any = db.execute(SQL["parent_of"], {"no": no}).fetchone()
    if shared:
        db.execute(SQL["erase_thread_row"], {"no": no, "shared": shared})
        db.execute(SQL["erase_unseen"], {"no": no, "low": 1, "high": log.EVERYTHING})
    else:
        db.execute(SQL["delete_thread_row"], {"no": no})
    return deleted, parent[0] if parent is not None and parent[1] else None


def _shared(db: apsw.Connection, no: int) -> int:
    """The highest seq of this thread that some fork shares; 0 for none."""
    rows: list[Any] = db.execute(SQL["shared_until"], {"no": no}).fetchall()
    return rows[0][0] or 0
