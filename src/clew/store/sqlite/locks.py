"""The thread's row as a write finds it."""

from __future__ import annotations

import apsw
import msgspec

from clew.core.errors import NotFound, Stale
from clew.store.sqlite.engine import SQL


class Lock(msgspec.Struct):
    """`no` is the engine's own number for the thread; `parent` is such a number too.

    `in_line` counts what waits while a run is active; a thread without one has none. `is_told`:
    some webhook of the project wants to be told what happens.
    """

    no: int
    revision: int
    last_seq: int
    active_run: str | None
    parent: int | None
    parent_seq: int
    in_line: int
    on_busy: str | None
    is_told: bool
    project: str
    thread: str


def lock(db: apsw.Connection, project: str, thread: str) -> Lock:
    """The thread's row, or NotFound."""
    row = db.execute(SQL["lock_thread"], (thread, project)).fetchone()
    if row is None:
        raise NotFound("thread", thread)
    no, revision, last_seq, active_run, parent, parent_seq, in_line, on_busy, told = row
    ends = revision, last_seq, active_run, parent, parent_seq, in_line, on_busy
    return Lock(no, *ends, bool(told), project, thread)


def check_revision(found: Lock, if_revision: int | None) -> None:
    if if_revision is not None and if_revision != found.revision:
        raise Stale(if_revision, found.revision)


def touch(db: apsw.Connection, found: Lock, now_ms: int) -> None:
    """One more revision of the thread; `found` moves on."""
    found.revision += 1
    change = (found.revision, found.last_seq, now_ms, found.active_run, found.in_line, found.no)
    db.execute(SQL["touch_thread"], change)
