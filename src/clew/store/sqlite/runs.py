"""Runs and model calls in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from clew.core.errors import ClewError, NotFound
from clew.core.items import Item
from clew.core.paging import Page
from clew.core.runs import Call, Run
from clew.core.threads import Thread
from clew.store.once import Once
from clew.store.sqlite import log, outbox
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.engine import SQL, Engine, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.locks import Lock, check, lock
from clew.store.sqlite.pages import read_page
from clew.store.sqlite.threads import fork_point, insert_thread
from clew.store.store import Moved


class RunVerbs(Engine):
    async def create_run(
        self,
        project: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        thread: Thread | None = None,
        if_revision: int | None = None,
        if_last_seq: int | None = None,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            scope = run.thread if thread is None else PROJECT
            replay(self.db, project, scope, once)
            if thread is None:
                found = lock(self.db, project, run.thread)
                check(found, run.thread, if_revision)
                if if_last_seq is not None and found.last_seq != if_last_seq:
                    raise ClewError("conflict", f"The thread goes on to {found.last_seq}.")
            else:
                hangs = None
                if thread.parent is not None:
                    parent = lock(self.db, project, thread.parent)
                    seq = fork_point(self.db, parent, None, thread.parent_seq)
                    hangs = parent.no, seq
                found = insert_thread(self.db, project, thread, (), hangs)
            made = _insert_run(self.db, found, run, items)
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
        return [_to_run(*row) for row in rows], more

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
        call: Call | None = None,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            replay(self.db, project, run.thread, once)
            found = lock(self.db, project, run.thread)
            stands = read_run(self.db, found, run.key)
            if stands.status != was:
                raise Moved(stands)
            if run.is_terminal:
                found.active_run = None
            log.append(self.db, found, items, now_ms)
            moved = msgspec.structs.replace(
                run, metadata=stands.metadata, last_seq=found.last_seq if items else run.last_seq
            )
            change = {"no": found.no, "run": run.key, "status": run.status, "body": text(moved)}
            self.db.execute(SQL["move_run"], change)
            outbox.tell_run(self.db, found, moved, now_ms)
            if call is not None:
                row = {"no": found.no, "key": call.key, "run": call.run, "body": text(call)}
                self.db.execute(SQL["insert_call"], row)
            record(self.db, project, run.thread, once, moved)
            return moved

        return await self.write(act)


def _insert_run(db: apsw.Connection, found: Lock, run: Run, items: Sequence[Item]) -> Run:
    first_seq = found.last_seq + 1
    found.active_run = run.key
    log.append(db, found, items, run.created_at)
    made = msgspec.structs.replace(
        run, first_seq=first_seq, input_seq=found.last_seq, last_seq=found.last_seq
    )
    row = {
        "no": found.no,
        "key": run.key,
        "status": run.status,
        "created_at": run.created_at,
        "metadata": text(run.metadata),
        "body": text(made),
    }
    db.execute(SQL["insert_run"], row)
    outbox.tell_run(db, found, made, run.created_at, is_new=True)
    return made


def read_run(db: apsw.Connection, found: Lock, run: str) -> Run:
    row = db.execute(SQL["get_run"], {"no": found.no, "run": run}).fetchone()
    if row is None:
        raise NotFound("run", run)
    return _to_run(*row)


def run_span(db: apsw.Connection, found: Lock, run: str) -> tuple[int, int]:
    """The seqs between which a run's items are; all of them for a run of an ancestor."""
    row = db.execute(SQL["get_run"], {"no": found.no, "run": run}).fetchone()
    if row is None:
        return 0, log.EVERYTHING
    known = _to_run(*row)
    return known.first_seq - 1, (known.last_seq + 1 if known.is_terminal else log.EVERYTHING)


def _to_run(metadata: str, body: str) -> Run:
    run = msgspec.json.decode(body, type=Run)
    run.metadata = decode(metadata)
    return run
