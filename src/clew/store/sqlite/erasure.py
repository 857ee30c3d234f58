"""Erasure of threads and runs in SQLite: gone from every table, index, free page and the log file.

A small thread goes in one transaction. A large one becomes unreachable in the first, then loses its
rows in steps that leave the event loop free; steps cut off by a crash are finished at the next
opening. Rows that forks share stay, in a row nobody reaches, until the last fork goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import apsw
from msgspec.structs import replace

from clew.core.runs import Run
from clew.core.threads import Receipt
from clew.core.webhooks import thread_notice
from clew.store.once import Once
from clew.store.sqlite import log, outbox
from clew.store.sqlite.answers import record, replay
from clew.store.sqlite.compactions import erase_compactions
from clew.store.sqlite.engine import SQL, Engine, text
from clew.store.sqlite.lines import go_on, leave, leave_with_input, withdraw
from clew.store.sqlite.locks import Lock, check_revision, lock, touch
from clew.store.sqlite.run_rows import read_run
from clew.store.sqlite.threads import read_thread

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
            return self._begin_erasure(project, thread, found, receipt, once)

        return await self._erase(begin, project, thread, once)

    async def erase_run(
        self,
        project: str,
        thread: str,
        run: str,
        receipt: Receipt,
        *,
        once: Once | None = None,
    ) -> Receipt:
        def begin() -> tuple[Receipt, int | None]:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            erased = read_run(self.db, found, run)
            chain = read_thread(self.db, project, thread).chain
            if chain and not _holds_more(self.db, found, erased):
                return self._begin_erasure(project, thread, found, receipt, once)
            items = _erase_items(self.db, project, found, erased) if chain else 0
            _delete_run(self.db, project, found, erased)
            go_on(self.db, found, receipt.erased_at)
            touch(self.db, found, receipt.erased_at)
            done = replace(receipt, runs=1, items=items)
            self._keep_receipt(project, thread, done, once)
            return done, None

        return await self._erase(begin, project, thread, once)

    async def _erase(
        self,
        begin: Callable[[], tuple[Receipt, int | None]],
        project: str,
        thread: str,
        once: Once | None,
    ) -> Receipt:
        """Begin, then go on until nothing is left to delete."""
        done, left = await self.write(begin, scrub=True)
        while left is not None:
            go_on = partial(self._go_on, project, thread, done, left, once)
            done, left = await self.write(go_on, scrub=True)
        return done

    def _begin_erasure(
        self, project: str, thread: str, found: Lock, receipt: Receipt, once: Once | None
    ) -> tuple[Receipt, int | None]:
        forks: list[Any] = self.db.execute(SQL["shown_by"], {"no": found.no}).fetchall()
        self.db.execute(SQL["delete_metadata"], {"no": found.no})
        self.db.execute(SQL["delete_calls"], {"no": found.no})
        self.db.execute(SQL["delete_line"], {"no": found.no})
        self.db.execute(SQL["delete_waiting"], {"no": found.no})
        self.db.execute(SQL["delete_runs"], {"no": found.no})
        runs = self.db.changes()
        self.db.execute(SQL["delete_answers"], {"thread": thread, "project": project})
        self.db.execute(SQL["delete_dead_letters"], {"thread": thread})
        outbox.tell(self.db, found, [thread_notice("deleted", thread)], receipt.erased_at)
        row = {"no": found.no, "shared": _shared(self.db, found.no)}
        self.db.execute(SQL["erase_thread_row"], row)
        begun = replace(receipt, runs=runs, kept_by=[key for (key,) in forks])
        return self._go_on(project, thread, begun, found.no, once)

    def _go_on(
        self, project: str, thread: str, so_far: Receipt, at: int, once: Once | None
    ) -> tuple[Receipt, int | None]:
        deleted, left = _sweep(self.db, at)
        now = replace(so_far, items=so_far.items + deleted)
        if left is None:
            self._keep_receipt(project, thread, now, once)
        return now, left

    def _keep_receipt(self, project: str, thread: str, receipt: Receipt, once: Once | None) -> None:
        row = {"id": receipt.id, "project": project, "thread": thread, "body": text(receipt)}
        self.db.execute(SQL["insert_receipt"], row)
        record(self.db, project, thread, once, receipt)

    async def finish_erasures(self) -> None:
        """Go on with erasures that a crash cut off."""
        rows: list[Any] = self.reader.execute(SQL["erased_threads"]).fetchall()
        for (no,) in rows:
            left: int | None = no
            while left is not None:
                _, left = await self.write(partial(_sweep, self.db, left), scrub=True)


def _holds_more(db: apsw.Connection, found: Lock, run: Run) -> bool:
    """Whether the thread has anything beside this run and its items."""
    if found.in_line:
        return True
    first, last = _span(found, run)
    bounds = {"no": found.no, "run": run.key, "first": first, "last": last}
    rows: list[Any] = db.execute(
        SQL["holds_more"], bounds | {"parent_seq": found.parent_seq}
    ).fetchall()
    return bool(rows[0][0])


def _erase_items(db: apsw.Connection, project: str, found: Lock, run: Run) -> int:
    """Erase the items of a run, and what recorded answers show of them; how many there were."""
    if run.waits_in_line:
        waiting = leave_with_input(db, found, run.key)
        for item in waiting:
            _erase_answers(db, project, run.thread, item.id)
        return len(waiting)
    first, last = _span(found, run)
    bounds = {"no": found.no, "low": first - 1, "high": last + 1, "shadows": False}
    rows: list[Any] = db.execute(SQL["items_up"], bounds | {"limit": -1}).fetchall()
    for row in rows:
        log.change(db, found, row, None)
        _erase_answers(db, project, run.thread, row[0])
    erase_compactions(db, project, run.thread, found, first)
    return len(rows)


def _delete_run(db: apsw.Connection, project: str, found: Lock, run: Run) -> None:
    db.execute(SQL["delete_run_calls"], {"no": found.no, "run": run.key})
    db.execute(SQL["delete_run_events"], {"no": found.no, "run": run.key})
    db.execute(SQL["delete_run"], {"no": found.no, "run": run.key})
    _erase_answers(db, project, run.thread, run.key)
    if run.waits_in_line:
        leave(db, found, run.key)
    elif found.active_run == run.key:
        found.active_run = None
        if run.withdrawn:
            withdraw(db, project, found, run)


def _erase_answers(db: apsw.Connection, project: str, thread: str, id: str) -> None:
    db.execute(SQL["erase_answers"], {"thread": thread, "project": project, "item": id})


def _span(found: Lock, run: Run) -> tuple[int, int]:
    """The seqs of a run's items, its input and its output."""
    return run.first_seq, run.last_seq if run.is_terminal else found.last_seq


def _sweep(db: apsw.Connection, no: int) -> tuple[int, int | None]:
    """Delete what no fork shows of an erased thread: how many items, and which thread is next.

    That is the thread itself while there are rows left, then its parent if that is erased too.
    """
    db.execute(SQL["delete_events"], {"no": no, "limit": ROWS_AT_ONCE})
    if db.changes() == ROWS_AT_ONCE:
        return 0, no
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
