"""The rows of runs in PostgreSQL: reading one, writing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from clew.core.errors import NotFound
from clew.core.items import Item
from clew.core.runs import Call, Lease, Run, due_at
from clew.store.postgres import log
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.locks import Lock


async def read_run(tx: Transaction, project: str, thread: str, run: str) -> Run:
    return only_run(thread, run, await tx.run("get_run", **asked(project, thread, run)))


async def read_held(tx: Transaction, project: str, thread: str, run: str) -> tuple[Run, str | None]:
    """A run, and who has the lease of it."""
    rows = await tx.run("get_run", **asked(project, thread, run))
    return only_run(thread, run, rows), rows[0][3]


def asked(project: str, thread: str, run: str) -> dict[str, str]:
    return {"project": project, "thread": thread, "run": run}


def only_run(thread: str, run: str, rows: list[Row]) -> Run:
    """The run of a statement that gives a row of NULLs for no such run, none for no such thread."""
    if not rows:
        raise NotFound("thread", thread)
    if rows[0][1] is None:
        raise NotFound("run", run)
    return to_run(rows[0])


def to_run(row: Row) -> Run:
    metadata, body, place, *_ = row
    run = msgspec.json.decode(body, type=Run)
    run.metadata, run.place = decode(metadata), place or None
    return run


async def insert_run(tx: Transaction, run: Run, lease: Lease | None) -> None:
    await tx.run(
        "insert_run",
        thread=run.thread,
        id=run.key,
        created_at=run.created_at,
        status=run.status,
        metadata=text(run.metadata),
        body=text(run),
        holder=None if lease is None else lease.holder,
        due_at=due_at(run, lease),
    )


async def put_run(tx: Transaction, run: Run, lease: Lease | None = None) -> None:
    """Another state of a run that is there. Without a lease its own holds on while it needs one."""
    await tx.run(
        "move_run",
        thread=run.thread,
        id=run.key,
        status=run.status,
        body=text(run),
        holder=None if lease is None else lease.holder,
        due_at=due_at(run, lease),
        settled=run.is_terminal or run.status == "requires_action",
    )


async def append_input(
    tx: Transaction, found: Lock, run: Run, items: Sequence[Item], now_ms: int
) -> tuple[int, int]:
    """The thread is held by a run from its input on: the first and the last seq of that."""
    first_seq = found.last_seq + 1
    found.active_run = run.key
    await log.append(tx, found, items, now_ms)
    return first_seq, found.last_seq


async def put_calls(tx: Transaction, thread: str, calls: Sequence[Call]) -> None:
    if calls:
        columns: dict[str, Any] = {
            "ids": [call.key for call in calls],
            "runs": [call.run for call in calls],
            "bodies": [text(call) for call in calls],
        }
        await tx.run("insert_call", thread=thread, **columns)
