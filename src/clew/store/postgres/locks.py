"""The thread's row as a write finds and holds it."""

from __future__ import annotations

import msgspec

from clew.core.errors import NotFound, Stale
from clew.store.postgres.engine import Transaction


class Lock(msgspec.Struct):
    """A thread's row, locked until the end of the transaction.

    `in_line` counts what waits while a run is active; a thread without one has none. `is_told`:
    some webhook of the project wants to be told what happens.
    """

    project: str
    thread: str
    revision: int
    last_seq: int
    active_run: str | None = None
    parent: str | None = None
    parent_seq: int = 0
    in_line: int = 0
    on_busy: str | None = None
    is_told: bool = False


async def lock(tx: Transaction, project: str, thread: str) -> Lock:
    """Lock the thread, or NotFound."""
    row = await tx.row("lock_thread", thread=thread, project=project)
    if row is None:
        raise NotFound("thread", thread)
    return Lock(project, thread, *row)


async def lock_lineage(tx: Transaction, project: str, thread: str) -> Lock:
    """Lock the thread and its ancestors, or NotFound."""
    for *row, key, erased in await tx.run("lock_lineage", thread=thread, project=project):
        if key == thread and not erased:
            return Lock(project, thread, *row)
    raise NotFound("thread", thread)


def check_revision(found: Lock, if_revision: int | None) -> None:
    if if_revision is not None and if_revision != found.revision:
        raise Stale(if_revision, found.revision)


async def touch(tx: Transaction, found: Lock, now_ms: int) -> None:
    """One more revision of the thread; `found` moves on."""
    found.revision += 1
    await tx.run(
        "touch_thread",
        thread=found.thread,
        revision=found.revision,
        last_seq=found.last_seq,
        updated_at=now_ms,
        active_run=found.active_run,
        in_line=found.in_line,
    )
