"""The line of a thread in PostgreSQL: what comes while a run is active, and what happens then.

A thread has a line only while a run is active; who frees the thread goes on with the line. All of
it happens under the lock of the thread's row, which counts what is in line.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clew.core.errors import Busy, ClewError
from clew.core.items import Item
from clew.core.runs import Lease, Run, move, promoted
from clew.store.postgres import log, outbox
from clew.store.postgres.compactions import erase_compactions
from clew.store.postgres.engine import Row, Transaction
from clew.store.postgres.events import forget
from clew.store.postgres.locks import Lock, touch
from clew.store.postgres.pages import EVERYTHING
from clew.store.postgres.run_rows import append_input, insert_run, put_run, read_run


def refuse_busy(found: Lock, policy: str) -> None:
    """While a run is active, who would not wait is refused."""
    if found.active_run is not None and policy == "reject":
        raise Busy(found.thread, found.active_run)


async def arrive(
    tx: Transaction,
    project: str,
    found: Lock,
    policy: str,
    items: Sequence[Item],
    now_ms: int,
    run: Run | None = None,
) -> Run:
    """A run, or items alone, come while a run is active. Returns the run that they are part of:
    the newcomer, or the active one. The thread is free afterwards if that has ended."""
    assert found.active_run is not None
    active = await read_run(tx, project, found.thread, found.active_run)
    await _check_ids(tx, project, found, items)
    steers = policy == "steer" and active.status in ("queued", "in_progress")
    interrupts = policy in ("interrupt", "rollback")
    if interrupts and active.status == "requires_action":
        await _cut_off(tx, project, found, active, now_ms, withdrawn=policy == "rollback")
        return run or active
    if interrupts:
        await _cancel(tx, found, active, now_ms, withdrawn=policy == "rollback")
    key = None if run is None or steers else run.key
    await _join(tx, found, items, key, first=interrupts, steers=steers)
    await touch(tx, found, now_ms)
    if run is None or steers:
        return active
    waiting = replace(run, place=1)
    await insert_run(tx, waiting, None)
    await outbox.tell_run(tx, found, waiting, now_ms, is_new=True)
    return await read_run(tx, project, found.thread, run.key)


async def go_on(tx: Transaction, project: str, found: Lock, now_ms: int) -> str | None:
    """The thread is free: append what is in line, up to a run, which holds the thread then."""
    while found.in_line and found.active_run is None:
        place, key, _ = await _next(tx, found)
        items = await _take(tx, found, place)
        if key is None:
            await log.append(tx, found, items, now_ms)
            continue
        run = await read_run(tx, project, found.thread, key)
        first_seq, last_seq = await append_input(tx, found, run, items, now_ms)
        await put_run(tx, promoted(run, now_ms, first_seq, last_seq), Lease("", now_ms))
    return found.active_run


async def is_steered(tx: Transaction, found: Lock) -> bool:
    """Whether there is something to be added to the turn of the active run."""
    return bool(found.in_line and (await _next(tx, found))[2])


async def take_steering(tx: Transaction, found: Lock) -> list[Item]:
    """What is to be added to the turn of the active run leaves the line."""
    items: list[Item] = []
    while found.in_line:
        place, _, steers = await _next(tx, found)
        if not steers:
            break
        items += await _take(tx, found, place)
    return items


async def withdraw(tx: Transaction, project: str, found: Lock, run: Run) -> None:
    """Take a run's input and output out of the log, and out of recorded answers and events."""
    place = {"thread": found.thread, "project": project}
    bounds = {"low": run.first_seq - 1, "high": found.last_seq + 1, "limit": EVERYTHING}
    for item in log.to_items(found.thread, await tx.run("items_up", **place, **bounds)):
        if item.seq <= run.input_seq or item.run == run.key:
            await log.change(tx, found, item, None)
            await tx.run("erase_answers", **place, item=item.id)
    await erase_compactions(tx, project, found, run.first_seq)
    await forget(tx, found.thread, run.key)


async def leave(tx: Transaction, found: Lock, run: str) -> None:
    """A run no longer waits; its input goes on to."""
    await tx.run("drop_run_from_line", thread=found.thread, run=run)


async def leave_with_input(tx: Transaction, found: Lock, run: str) -> list[Item]:
    """A run and its input no longer wait: the input."""
    row = await tx.row("find_run_in_line", thread=found.thread, run=run)
    assert row is not None
    return await _take(tx, found, row[0])


async def check_in_line(tx: Transaction, project: str, found: Lock, items: Sequence[Item]) -> None:
    """Nothing is appended under an id that waits in line: that could never be appended then."""
    if found.in_line and items:
        await _check_ids(tx, project, found, items)


async def _check_ids(tx: Transaction, project: str, found: Lock, items: Sequence[Item]) -> None:
    """An id that is taken must be refused now: later nobody could be told."""
    ids = [item.id for item in items]
    taken = await tx.row("find_taken", thread=found.thread, project=project, ids=ids)
    if taken is not None:
        raise ClewError("conflict", f"The thread has an item '{taken[0]}' already.")
    if len(set(ids)) < len(ids):
        raise ClewError("conflict", "Two items have the same id.")


async def _cut_off(
    tx: Transaction, project: str, found: Lock, active: Run, now_ms: int, *, withdrawn: bool
) -> None:
    """Cancel the active run where it stands; the line is left as it is."""
    ended = replace(move(active, "cancelled", now_ms), withdrawn=active.withdrawn or withdrawn)
    found.active_run = None
    if ended.withdrawn:
        await withdraw(tx, project, found, ended)
    await put_run(tx, ended)
    await outbox.tell_run(tx, found, ended, now_ms)


async def _cancel(
    tx: Transaction, found: Lock, active: Run, now_ms: int, *, withdrawn: bool
) -> None:
    cancelling = active if active.status == "cancelling" else move(active, "cancelling", now_ms)
    await put_run(tx, replace(cancelling, withdrawn=active.withdrawn or withdrawn))
    if cancelling is not active:
        await outbox.tell_run(tx, found, cancelling, now_ms)


async def _join(
    tx: Transaction,
    found: Lock,
    items: Sequence[Item],
    run: str | None,
    *,
    first: bool,
    steers: bool,
) -> None:
    row = await tx.row("join_line", thread=found.thread, first=first, run=run, steers=steers)
    assert row is not None
    found.in_line += 1
    if items:
        encoded = log.encoded(items)
        await tx.run("insert_waiting", thread=found.thread, place=row[0], items=encoded)


async def _next(tx: Transaction, found: Lock) -> Row:
    row = await tx.row("next_in_line", thread=found.thread)
    assert row is not None  # the thread counts what is in line
    return row


async def _take(tx: Transaction, found: Lock, place: int) -> list[Item]:
    """An entry leaves the line: its items."""
    rows = await tx.run("take_waiting", thread=found.thread, place=place)
    await tx.run("leave_line", thread=found.thread, place=place)
    found.in_line -= 1
    return [log.to_item((*row, 0)) for _, *row in sorted(rows)]
