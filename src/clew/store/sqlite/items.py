"""Items in SQLite: append, read, erase."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from clew.core.busy import REJECT, OnBusy
from clew.core.errors import BadRequest, NotFound
from clew.core.items import Item, with_metadata
from clew.core.paging import Page, walk
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.core.webhooks import message_notice
from clew.store.once import Once
from clew.store.sqlite import log, outbox
from clew.store.sqlite.answers import record, replay
from clew.store.sqlite.compactions import erase_compactions
from clew.store.sqlite.engine import SQL, Engine
from clew.store.sqlite.events import forget
from clew.store.sqlite.failures import reads
from clew.store.sqlite.grants import grant_thread
from clew.store.sqlite.lines import arrive, find_waiting, go_on, refuse_busy
from clew.store.sqlite.locks import Lock, check_revision, lock, touch
from clew.store.sqlite.run_rows import run_span
from clew.store.sqlite.threads import read_thread


class ItemVerbs(Engine):
    async def append_items(
        self,
        project: str,
        thread: str,
        items: Sequence[Item],
        now_ms: int,
        *,
        on_busy: OnBusy = REJECT,
        given: Grant | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> tuple[int, int]:
        def act() -> tuple[int, int]:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            check_revision(found, if_revision)
            policy, waits = on_busy.policy(found.on_busy), False
            refuse_busy(found, policy)
            grant_thread(self.db, project, thread, given, now_ms)
            if found.active_run is not None:
                arrive(self.db, project, found, policy, items, now_ms)
                waits = found.active_run is not None
            if not waits:
                log.append(self.db, found, items, now_ms)
                go_on(self.db, found, now_ms)
            outcome = found.revision, found.last_seq
            record(self.db, project, thread, once, outcome)
            return outcome

        return await self.write(act)

    @reads
    async def list_items(
        self,
        project: str,
        thread: str,
        page: Page,
        *,
        kinds: Sequence[str] | None = None,
        run: str | None = None,
        upto: int | None = None,
    ) -> tuple[list[Item], bool]:
        db = self.snapshot()
        found = lock(db, project, thread)
        line = log.levels(db, found)
        steps = walk(page)
        start, stop = (_place(db, line, cursor) for cursor in (steps.start, steps.stop))
        low, high = (stop, start) if steps.descending else (start, stop)
        first, last = (0, log.EVERYTHING) if run is None else run_span(db, found, run)
        last = last if upto is None else min(last, upto + 1)
        items = log.read(
            db,
            line,
            first if low is None else max(low, first),
            last if high is None else min(high, last),
            steps.descending,
            page.limit + 1,
            kinds=kinds,
            run=run,
        )
        more = len(items) > page.limit
        del items[page.limit :]
        if steps.reverse:
            items.reverse()
        return items, more

    @reads
    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        db = self.snapshot()
        return log.read(db, log.levels(db, lock(db, project, thread)), 0, below, True, limit)

    @reads
    async def get_item(self, project: str, thread: str, item: str) -> Item:
        db = self.snapshot()
        return log.to_item(_shown(db, lock(db, project, thread), item))

    async def update_item(
        self,
        project: str,
        thread: str,
        item: str,
        metadata: dict[str, str],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Item:
        def act() -> Item:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            check_revision(found, if_revision)
            row = _shown(self.db, found, item)
            old = log.to_item(row)
            if not old.is_message:
                raise BadRequest("Only a message has metadata.", "message_id")
            new = with_metadata(old, metadata)
            if old.seq:
                log.change(self.db, found, row, new)
            else:
                waiting = {"no": found.no, "id": item, "body": new.body.decode()}
                self.db.execute(SQL["update_waiting"], waiting)
            outbox.tell(self.db, found, [message_notice("updated", thread, new)], now_ms)
            touch(self.db, found, now_ms)
            record(self.db, project, thread, once, new)
            return new

        return await self.write(act)

    async def erase_item(
        self,
        project: str,
        thread: str,
        item: str,
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        def act() -> Thread:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            check_revision(found, if_revision)
            row = _shown(self.db, found, item)
            if row[5]:
                log.change(self.db, found, row, None)
                forget(self.db, found, row[4])
                erase_compactions(self.db, project, thread, found, row[5])
            else:
                self.db.execute(SQL["erase_waiting"], {"no": found.no, "id": item})
            outbox.tell_deleted(self.db, found, log.to_item(row), now_ms)
            shown = {"thread": thread, "project": project, "item": item}
            self.db.execute(SQL["erase_answers"], shown)
            touch(self.db, found, now_ms)
            outcome = read_thread(self.db, project, thread)
            record(self.db, project, thread, once, outcome)
            return outcome

        return await self.write(act, scrub=True)


def _place(db: apsw.Connection, line: list[log.Level], cursor: str | None) -> int | None:
    if cursor is None:
        return None
    row = log.find(db, line, cursor)
    if row is None:
        raise NotFound("item", cursor)
    return row[5]


def _shown(db: apsw.Connection, found: Lock, item: str) -> log.Row:
    """The row of an item in the log, or, with the seq 0, of one that waits in line."""
    row = log.find(db, log.levels(db, found), item) or find_waiting(db, found, item)
    if row is None or row[2] is None:
        raise NotFound("item", item)
    return row
