"""Runs and model calls in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clew.core.busy import REJECT, OnBusy
from clew.core.errors import ClewError, NotFound
from clew.core.items import Item
from clew.core.paging import Page, walk
from clew.core.runs import Call, Lease, Run, moved
from clew.core.threads import Thread
from clew.core.tool_resources import Grant
from clew.store.once import Once
from clew.store.postgres import log, outbox
from clew.store.postgres.answers import PROJECT, Answers
from clew.store.postgres.engine import Transaction, text
from clew.store.postgres.grants import grant_thread
from clew.store.postgres.leases import LeaseVerbs
from clew.store.postgres.lines import (
    arrive,
    check_in_line,
    go_on,
    is_steered,
    leave,
    refuse_busy,
    take_steering,
    withdraw,
)
from clew.store.postgres.locks import Lock, check_revision, lock
from clew.store.postgres.pages import read_page, turned
from clew.store.postgres.run_rows import (
    append_input,
    asked,
    insert_run,
    only_run,
    put_calls,
    put_run,
    read_held,
    read_run,
    to_run,
)
from clew.store.postgres.threads import fork_point, granted, insert_thread
from clew.store.runs import Moved, Steered


class RunVerbs(LeaseVerbs, Answers):
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
        async def act(tx: Transaction) -> Run:
            made = run
            if thread is None:
                found = await lock(tx, project, run.thread)
                check_revision(found, if_revision)
                policy, now = on_busy.policy(found.on_busy), run.created_at
                refuse_busy(found, policy)
                if found.active_run is None and if_last_seq not in (None, found.last_seq):
                    raise ClewError("conflict", f"The thread goes on to {found.last_seq}.")
                await grant_thread(tx, project, run.thread, given, now)
                if found.active_run is not None:
                    made = await arrive(tx, project, found, policy, items, now, run)
            else:
                found = await _made(tx, project, thread)
                new = await granted(tx, project, thread, given)
                await insert_thread(tx, project, new, found)
            return made if found.active_run else await _begin(tx, found, run, items, lease)

        scope = run.thread if thread is None else PROJECT
        return await self.act_once(project, scope, once, act, about=run.thread)

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        return only_run(thread, run, await self.read("get_run", **asked(project, thread, run)))

    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]:
        steps = walk(page)
        scope = {"project": project, "thread": thread}
        rows = await read_page(self, "run", page, steps, scope)
        if not rows:
            raise NotFound("thread", thread)
        return turned([to_run(row) for row in rows if row[1] is not None], page, steps)

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
            return replace(stands, metadata=metadata)

        return await self.act_once(project, thread, once, act)

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
        async def act(tx: Transaction) -> Run:
            found = await lock(tx, project, run.thread)
            stands, holder = await read_held(tx, project, run.thread, run.key)
            lost = lease is not None and holder not in (None, lease.holder)
            if lost or stands.status != was:
                raise Moved(stands, lost)
            is_active = found.active_run == run.key
            completes = is_active and run.status == "completed" and lease is not None
            if completes and await is_steered(tx, found):
                raise Steered
            ends = run.is_terminal and is_active
            new = [] if ends and stands.withdrawn else [*items]
            await check_in_line(tx, project, found, new)
            await log.change_bodies(tx, found, changed)
            if steps and is_active:
                new += await take_steering(tx, found)
            if ends:
                found.active_run = None
            await log.append(tx, found, new, now_ms)
            after = moved(run, stands, found.last_seq if new else None)
            if ends:
                after = await _let_go(tx, project, found, after, now_ms)
            elif run.is_terminal:
                await leave(tx, found, run.key)
            await put_run(tx, after, lease)
            if run.status != was:
                await outbox.tell_run(tx, found, after, now_ms)
            await put_calls(tx, run.thread, calls)
            return after

        return await self.act_once(project, run.thread, once, act)


async def _made(tx: Transaction, project: str, thread: Thread) -> Lock:
    """Where a thread that comes with its run ends and hangs: nowhere, or in its parent."""
    if thread.parent is None:
        return Lock(project, thread.key, 1, 0)
    seq = fork_point(await lock(tx, project, thread.parent), thread.parent_seq)
    return Lock(project, thread.key, 1, seq, None, thread.parent, seq)


async def _begin(
    tx: Transaction, found: Lock, run: Run, items: Sequence[Item], lease: Lease | None
) -> Run:
    first_seq, last_seq = await append_input(tx, found, run, items, run.created_at)
    made = replace(run, first_seq=first_seq, input_seq=last_seq, last_seq=last_seq)
    await insert_run(tx, made, lease)
    await outbox.tell_run(tx, found, made, run.created_at, is_new=True)
    return made


async def _let_go(tx: Transaction, project: str, found: Lock, run: Run, now_ms: int) -> Run:
    """The run lets go of the thread, which goes on with its line."""
    if run.withdrawn:
        await withdraw(tx, project, found, run)
    return replace(run, next_run=await go_on(tx, project, found, now_ms))
