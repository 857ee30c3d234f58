"""The rows of runs in SQLite: reading one, writing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from clew.core.errors import NotFound
from clew.core.items import Item
from clew.core.runs import Lease, Run, due_at
from clew.store.sqlite import log
from clew.store.sqlite.engine import SQL, decode, text
from clew.store.sqlite.locks import Lock


def read_run(db: apsw.Connection, found: Lock, run: str) -> Run:
    row = db.execute(SQL["get_run"], {"no": found.no, "run": run}).fetchone()
    if row is None:
        raise NotFound("run", run)
    return to_run(*row)


def to_run(metadata: str, body: str, place: int) -> Run:
    run = msgspec.json.decode(body, type=Run)
    run.metadata, run.place = decode(metadata), place or None
    return run


def insert_run(db: apsw.Connection, found: Lock, run: Run, lease: Lease | None) -> None:
    row = {
        "no": found.no,
        "key": run.key,
        "status": run.status,
        "created_at": run.created_at,
        "metadata": text(run.metadata),
        "body": text(run),
        "holder": None if lease is None else lease.holder,
        "due_at": due_at(run, lease),
    }
    db.execute(SQL["insert_run"], row)


def put_run(db: apsw.Connection, found: Lock, run: Run, lease: Lease | None = None) -> None:
    """Another state of a run that is there. Without a lease its own holds on while it needs one."""
    change = {
        "no": found.no,
        "run": run.key,
        "status": run.status,
        "body": text(run),
        "holder": None if lease is None else lease.holder,
        "due_at": due_at(run, lease),
        "settled": run.is_terminal or run.status == "requires_action",
    }
    db.execute(SQL["move_run"], change)


def run_span(db: apsw.Connection, found: Lock, run: str) -> tuple[int, int]:
    """The seqs between which a run's items are; all of them for a run of an ancestor."""
    row: Any = db.execute(SQL["get_run"], {"no": found.no, "run": run}).fetchone()
    if row is None:
        return 0, log.EVERYTHING
    known = to_run(*row)
    return known.first_seq - 1, (known.last_seq + 1 if known.is_terminal else log.EVERYTHING)


def append_input(
    db: apsw.Connection, found: Lock, run: Run, items: Sequence[Item], now_ms: int
) -> tuple[int, int]:
    """The thread is held by a run from its input on: the first and the last seq of that."""
    first_seq = found.last_seq + 1
    found.active_run = run.key
    log.append(db, found, items, now_ms)
    return first_seq, found.last_seq
