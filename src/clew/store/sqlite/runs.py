"""Runs and model calls in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from clew.core.busy import REJECT, OnBusy
from clew.core.errors import ClewError
from clew.core.items import Item
from clew.core.paging import Page
from clew.core.runs import Call, Lease, Run, moved
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.store.once import Once
from clew.store.runs import Moved, Steered
from clew.store.sqlite import log, outbox
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.grants import grant_thread
from clew.store.sqlite.leases import LeaseVerbs
from clew.store.sqlite.lines import (
    arrive,
    check_in_line,
    go_on,
    is_steered,
    leave,
    refuse_busy,
    take_steering,
    withdraw,
)
from clew.store.sqlite.locks import Lock, check_revision, lock
from clew.store.sqlite.pages import read_page
from clew.store.sqlite.run_rows import append_input, insert_run, put_run, read_run, to_run
from clew.store.sqlite.threads import fork_point, granted, insert_thread


class RunVerbs(LeaseVerbs, Engine):
    async def create_run(
        self,
        project: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        thread: Thread | None = None,
        on_busy: OnBusy = REJECT,
        lease: Lease | None = None,
        given: Grant | None = None,
        if_revision: int | None = None,
        if_last_seq: int | None = None,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            scope = run.thread if thread is None else PROJECT
            replay(self.db, project, scope, once)
            made = run
            if thread is None:
                found = lock(self.db, project, run.thread)
                check_revision(found, if_revision)
                policy, now = on_busy.policy(found.on_busy), run.created_at
                refuse_busy(found, policy)
                if found.active_run is None and if_last_seq not in (None, found.last_seq):
                    raise ClewError("conflict", f"The thread goes on to {found.last_seq}.")
                grant_thread(self.db, project, run.thread, given, now)
                if found.active_run is not None:
                    made = arrive(self.db, project, found, policy, items, now, run)
            else:
                hangs = None
                if thread.parent is not None:
                    parent = lock(self.db, project, thread.parent)
                    seq = fork_point(self.db, parent, None, thread.parent_seq)
                    hangs = parent.no, seq
                new = granted(self.db, project, thread, given)
                found = insert_thread(self.db, project, new, (), hangs)
            if found.active_run is None:
                made = _begin(self.db, found, run, items, lease)
            record(self.db, project, scope, once, made, run.thread)
            return made

        return await self.write(act)

    @reads
    async def get_run(self, project: str, thread: str, run: str) -> Run:
        db = self.snapshot()
        return read_run(db, lock(db, project, thread), run)

    @reads
    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]:
        db = self.snapshot()
        rows, more = read_page(db, "run", page, {"no": lock(db, project, thread).no})
        return [to_run(*row) for row in rows], more

    async def update_run(
        self,
        project: str,
        thread: str,
        run: str,
        metadata: dict[str, str],
        *,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            replay(self.db, project, thread, once)
            found = lock(self.db, project, thread)
            made = msgspec.structs.replace(read_run(self.db, found, run), metadata=metadata)
            change = {"no": found.no, "run": run, "metadata": text(metadata)}
            self.db.execute(SQL["update_run"], change)
            record(self.db, project, thread, once, made)
            return made

        return await self.write(act)

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        now_ms: int,
        changed: Sequence[Item] = (),
        calls: Sequence[Call] = (),
        lease: Lease | None = None,
        steps: bool = False,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            replay(self.db, project, run.thread, once)
            found = lock(self.db, project, run.thread)
            stands = read_run(self.db, found, run.key)
            lost = lease is not None and not _holds(self.db, found, run.key, lease)
            if lost or stands.status != was:
                raise Moved(stands, lost)
            is_active = found.active_run == run.key
            completes = is_active and run.status == "completed" and lease is not None
            if completes and is_steered(self.db, found):
                raise Steered
            ends = run.is_terminal and is_active
            new = [] if ends and stands.withdrawn else [*items]
            check_in_line(self.db, found, new)
            for item in changed:
                _change(self.db, found, item)
            if steps and is_active:
                new += take_steering(self.db, found)
            if ends:
                found.active_run = None
            log.append(self.db, found, new, now_ms)
            after = moved(run, stands, found.last_seq if new else None)
            if ends:
                after = self._let_go(project, found, after, now_ms)
            elif run.is_terminal:
                leave(self.db, found, run.key)
            put_run(self.db, found, after, lease)
            if run.status != was:
                outbox.tell_run(self.db, found, after, now_ms)
            for call in calls:
                row = {"no": found.no, "key": call.key, "run": call.run, "body": text(call)}
                self.db.execute(SQL["insert_call"], row)
            record(self.db, project, run.thread, once, after)
            return after

        return await self.write(act)

    def _let_go(self, project: str, found: Lock, run: Run, now_ms: int) -> Run:
        """The run lets go of the thread, which goes on with its line."""
        if run.withdrawn:
            withdraw(self.db, project, found, run)
        return msgspec.structs.replace(run, next_run=go_on(self.db, found, now_ms))


def _begin(
    db: apsw.Connection, found: Lock, run: Run, items: Sequence[Item], lease: Lease | None
) -> Run:
    first_seq, last_seq = append_input(db, found, run, items, run.created_at)
    made = msgspec.structs.replace(run, first_seq=first_seq, input_seq=last_seq, last_seq=last_seq)
    insert_run(db, found, made, lease)
    outbox.tell_run(db, found, made, run.created_at, is_new=True)
    return made


def _holds(db: apsw.Connection, found: Lock, run: str, lease: Lease) -> bool:
    row: Any = db.execute(SQL["get_holder"], {"no": found.no, "run": run}).fetchone()
    return row is not None and row[0] in (None, lease.holder)


def _change(db: apsw.Connection, found: Lock, item: Item) -> None:
    row = log.find(db, log.levels(db, found), item.id)
    if row is not None and row[2] is not None:
        log.change(db, found, row, item)
