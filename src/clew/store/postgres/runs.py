"""Runs and model calls in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.core.errors import ClewError, NotFound
from clew.core.items import Item
from clew.core.paging import Page, walk
from clew.core.runs import Call, Run
from clew.core.threads import Thread
from clew.store.once import Once
from clew.store.postgres import log, outbox
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.locks import Lock, check, lock
from clew.store.postgres.pages import read_page, turned
from clew.store.postgres.threads import fork_point, insert_thread
from clew.store.store import Moved


class RunVerbs(Answers):
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
        async def act(tx: Transaction) -> Run:
            if thread is None:
                found = await lock(tx, project, run.thread)
                check(found, if_revision)
                if if_last_seq is not None and found.last_seq != if_last_seq:
                    raise ClewError("conflict", f"The thread goes on to {found.last_seq}.")
            else:
                found = await _made(tx, project, thread)
                await insert_thread(tx, project, thread, found)
            return await _insert_run(tx, found, run, items)

        scope = run.thread if thread is None else PROJECT
        return await self.act_once(project, scope, once, act, about=run.thread)

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        return _to_run(thread, run, await self.read("get_run", **_asked(project, thread, run)))

    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]:
        steps = walk(page)
        scope = {"project": project, "thread": thread}
        rows = await read_page(self, "run", page, steps, scope)
        if not rows:
            raise NotFound("thread", thread)
        return turned([_decode(row) for row in rows if row[1] is not None], page, steps)

    async def update_run(
        self,
        project: str,
        thread: str,
        run: str,
        metadata: dict[str, str],
        *,
        once: Once | None = None,
    ) -> Run:
        async def act(tx: Transaction) -> Run:
            await lock(tx, project, thread)
            stands = await read_run(tx, project, thread, run)
            await tx.run("update_run", thread=thread, id=run, metadata=text(metadata))
            return msgspec.structs.replace(stands, metadata=metadata)

        return await self.act_once(project, thread, once, act)

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
        async def act(tx: Transaction) -> Run:
            found = await lock(tx, project, run.thread)
            stands = await read_run(tx, project, run.thread, run.key)
            if stands.status != was:
                raise Moved(stands)
            if run.is_terminal:
                found.active_run = None
            await log.append(tx, found, items, now_ms)
            last_seq = found.last_seq if items else run.last_seq
            moved = msgspec.structs.replace(run, metadata=stands.metadata, last_seq=last_seq)
            change = {"thread": run.thread, "id": run.key, "status": run.status}
            await tx.run("move_run", **change, body=text(moved))
            await outbox.tell_run(tx, found, moved, now_ms)
            if call is not None:
                row = {"thread": run.thread, "id": call.key, "run": call.run}
                await tx.run("insert_call", **row, body=text(call))
            return moved

        return await self.act_once(project, run.thread, once, act)


async def _made(tx: Transaction, project: str, thread: Thread) -> Lock:
    """Where a thread that comes with its run ends and hangs: nowhere, or in its parent."""
    if thread.parent is None:
        return Lock(project, thread.key, 1, 0)
    seq = fork_point(await lock(tx, project, thread.parent), thread.parent_seq)
    return Lock(project, thread.key, 1, seq, None, thread.parent, seq)


async def _insert_run(tx: Transaction, found: Lock, run: Run, items: Sequence[Item]) -> Run:
    first_seq = found.last_seq + 1
    found.active_run = run.key
    await log.append(tx, found, items, run.created_at)
    made = msgspec.structs.replace(
        run, first_seq=first_seq, input_seq=found.last_seq, last_seq=found.last_seq
    )
    await tx.run(
        "insert_run",
        thread=run.thread,
        id=run.key,
        created_at=run.created_at,
        status=run.status,
        metadata=text(run.metadata),
        body=text(made),
    )
    await outbox.tell_run(tx, found, made, run.created_at, is_new=True)
    return made


async def read_run(tx: Transaction, project: str, thread: str, run: str) -> Run:
    return _to_run(thread, run, await tx.run("get_run", **_asked(project, thread, run)))


def _asked(project: str, thread: str, run: str) -> dict[str, str]:
    return {"project": project, "thread": thread, "run": run}


def _to_run(thread: str, run: str, rows: list[Row]) -> Run:
    """The run of a statement that gives a row of NULLs for no such run, none for no such thread."""
    if not rows:
        raise NotFound("thread", thread)
    if rows[0][1] is None:
        raise NotFound("run", run)
    return _decode(rows[0])


def _decode(row: Row) -> Run:
    metadata, body = row
    run = msgspec.json.decode(body, type=Run)
    run.metadata = decode(metadata)
    return run
