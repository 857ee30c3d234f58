"""The line of a thread in SQLite: what comes while a run is active, and what happens then.

A thread has a line only while a run is active; who frees the thread goes on with the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import apsw
from msgspec.structs import replace

from clew.core.errors import Busy, ClewError
from clew.core.items import Item
from clew.core.runs import Lease, Run, move, promoted
from clew.store.sqlite import log, outbox
from clew.store.sqlite.compactions import erase_compactions
from clew.store.sqlite.engine import SQL
from clew.store.sqlite.events import forget
from clew.store.sqlite.locks import Lock, touch
from clew.store.sqlite.run_rows import append_input, insert_run, put_run, read_run


def refuse_busy(found: Lock, policy: str) -> None:
    """While a run is active, who would not wait is refused."""
    if found.active_run is not None and policy == "reject":
        raise Busy(found.thread, found.active_run)


def arrive(
    db: apsw.Connection,
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
    active = read_run(db, found, found.active_run)
    _check_ids(db, found, items)
    steers = policy == "steer" and active.status in ("queued", "in_progress")
    interrupts = policy in ("interrupt", "rollback")
    if interrupts and active.status == "requires_action":
        end_run(db, project, found, active, "cancelled", now_ms, withdrawn=policy == "rollback")
        return run or active
    if interrupts:
        _cancel(db, found, active, now_ms, withdrawn=policy == "rollback")
    key = None if run is None or steers else run.key
    _join(db, found, items, key, first=interrupts, steers=steers)
    touch(db, found, now_ms)
    if run is None or steers:
        return active
    waiting = replace(run, place=1)
    insert_run(db, found, waiting, None)
    outbox.tell_run(db, found, waiting, now_ms, is_new=True)
    return read_run(db, found, run.key)


def end_run(
    db: apsw.Connection,
    project: str,
    found: Lock,
    active: Run,
    status: str,
    now_ms: int,
    *,
    withdrawn: bool,
) -> None:
    """End the active run where it stands; the line is left as it is."""
    ended = replace(move(active, status, now_ms), withdrawn=active.withdrawn or withdrawn)
    found.active_run = None
    if ended.withdrawn:
        withdraw(db, project, found, ended)
    put_run(db, found, ended)
    outbox.tell_run(db, found, ended, now_ms)


def go_on(db: apsw.Connection, found: Lock, now_ms: int) -> str | None:
    """The thread is free: append what is in line, up to a run, which holds the thread then."""
    while found.in_line and found.active_run is None:
        row: Any = db.execute(SQL["next_in_line"], {"no": found.no}).fetchone()
        place, key, _ = row
        items = _take(db, found, place)
        if key is None:
            log.append(db, found, items, now_ms)
            continue
        run = read_run(db, found, key)
        first_seq, last_seq = append_input(db, found, run, items, now_ms)
        put_run(db, found, promoted(run, now_ms, first_seq, last_seq), Lease("", now_ms))
    return found.active_run


def is_steered(db: apsw.Connection, found: Lock) -> bool:
    """Whether there is something to be added to the turn of the active run."""
    if not found.in_line:
        return False
    row: Any = db.execute(SQL["next_in_line"], {"no": found.no}).fetchone()
    return bool(row[2])


def take_steering(db: apsw.Connection, found: Lock) -> list[Item]:
    """What is to be added to the turn of the active run leaves the line."""
    items: list[Item] = []
    while is_steered(db, found):
        row: Any = db.execute(SQL["next_in_line"], {"no": found.no}).fetchone()
        items += _take(db, found, row[0])
    return items


def withdraw(db: apsw.Connection, project: str, found: Lock, run: Run) -> None:
    """Take a run's input and output out of the log, and out of recorded answers and events."""
    bounds = {"no": found.no, "low": run.first_seq - 1, "high": found.last_seq + 1}
    rows: list[Any] = db.execute(
        SQL["items_up"], bounds | {"shadows": False, "limit": -1}
    ).fetchall()
    for row in rows:
        if row[5] <= run.input_seq or row[4] == run.key:
            log.change(db, found, row, None)
            shows = {"thread": run.thread, "project": project, "item": row[0]}
            db.execute(SQL["erase_answers"], shows)
    erase_compactions(db, project, run.thread, found, run.first_seq)
    forget(db, found, run.key)


def leave(db: apsw.Connection, found: Lock, run: str) -> None:
    """A run no longer waits; its input goes on to."""
    db.execute(SQL["drop_run_from_line"], {"no": found.no, "run": run})


def leave_with_input(db: apsw.Connection, found: Lock, run: str) -> list[Item]:
    """A run and its input no longer wait: the input."""
    row: Any = db.execute(SQL["find_run_in_line"], {"no": found.no, "run": run}).fetchone()
    return _take(db, found, row[0])


def find_waiting(db: apsw.Connection, found: Lock, id: str) -> log.Row | None:
    """The row of an item that waits in line, with the seq 0."""
    if not found.in_line:
        return None
    return cast(
        log.Row | None, db.execute(SQL["find_waiting"], {"no": found.no, "id": id}).fetchone()
    )


def check_in_line(db: apsw.Connection, found: Lock, items: Sequence[Item]) -> None:
    """Nothing is appended under an id that waits in line: that could never be appended then."""
    if found.in_line:
        _check_ids(db, found, items)


def _check_ids(db: apsw.Connection, found: Lock, items: Sequence[Item]) -> None:
    """An id that is taken must be refused now: later nobody could be told."""
    line = log.levels(db, found)
    for item in items:
        if log.find(db, line, item.id) is not None or find_waiting(db, found, item.id) is not None:
            raise ClewError("conflict", f"The thread has an item '{item.id}' already.")
    if len({item.id for item in items}) < len(items):
        raise ClewError("conflict", "Two items have the same id.")


def _cancel(db: apsw.Connection, found: Lock, active: Run, now_ms: int, *, withdrawn: bool) -> None:
    cancelling = active if active.status == "cancelling" else move(active, "cancelling", now_ms)
    put_run(db, found, replace(cancelling, withdrawn=active.withdrawn or withdrawn))
    if cancelling is not active:
        outbox.tell_run(db, found, cancelling, now_ms)


def _join(
    db: apsw.Connection,
    found: Lock,
    items: Sequence[Item],
    run: str | None,
    *,
    first: bool,
    steers: bool,
) -> None:
    entry = {"no": found.no, "first": first, "run": run, "steers": steers}
    row: Any = db.execute(SQL["join_line"], entry).fetchone()
    for position, item in enumerate(items):
        waiting = {"no": found.no, "place": row[0], "position": position, "run": item.run}
        waiting |= {"id": item.id, "kind": item.kind, "created_at": item.created_at}
        db.execute(SQL["insert_waiting"], waiting | {"body": item.body.decode()})
    found.in_line += 1


def _take(db: apsw.Connection, found: Lock, place: int) -> list[Item]:
    """An entry leaves the line: its items."""
    entry = {"no": found.no, "place": place}
    rows: list[Any] = db.execute(SQL["take_waiting"], entry).fetchall()
    db.execute(SQL["leave_line"], entry)
    found.in_line -= 1
    return [log.to_item((*row, 0)) for _, *row in sorted(rows)]
