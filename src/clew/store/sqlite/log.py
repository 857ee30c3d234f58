"""The log of a thread, and how a fork shows its ancestors' items without owning them.

A fork names its parent and the seq up to which it shares the parent's items. Its own rows at or
below that seq *shadow* the parent's: a row with a body is the item as it stands in the fork, one
without is an item erased there. Before an item changes in a thread, its present value is pushed
down to the direct forks that share it and have no row of their own, so they go on showing it.
Nothing is copied until then: a fork costs one row, however long the thread.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

import apsw

from clew.core.items import Item
from clew.store.sqlite import outbox
from clew.store.sqlite.engine import SQL
from clew.store.sqlite.locks import Lock, touch

EVERYTHING = 1 << 62
"""Above any seq."""

Level = tuple[int, int]
"""A thread's number and the seq up to which its items are shown."""

Row = tuple[str, str, str | None, int, str | None, int]
"""id, kind, body, created_at, run, seq."""


def append(db: apsw.Connection, found: Lock, items: Sequence[Item], now_ms: int) -> None:
    """Give the items their seqs, store them and account for it; `found` moves on."""
    no, seq = found.no, found.last_seq
    for item in items:
        seq += 1
        item.seq = seq
        row = (no, seq, item.id, item.kind, item.created_at, item.run, item.body.decode())
        db.execute(SQL["insert_item"], row)
    found.last_seq = seq
    outbox.tell_messages(db, found, items, now_ms)
    touch(db, found, now_ms)


def levels(db: apsw.Connection, thread: Lock) -> list[Level]:
    """The thread itself, then its ancestors, nearest first."""
    if thread.parent is None:
        return [(thread.no, EVERYTHING)]
    asked = {"no": thread.no, "everything": EVERYTHING}
    return cast(list[Level], db.execute(SQL["lineage"], asked).fetchall())


def to_item(row: Row) -> Item:
    id, kind, body, created_at, run, seq = row
    return Item(id, kind, (body or "").encode(), created_at, run, seq)


def read(
    db: apsw.Connection,
    line: list[Level],
    low: int,
    high: int,
    descending: bool,
    limit: int,
    *,
    kinds: Collection[str] | None = None,
    run: str | None = None,
) -> list[Item]:
    """Up to `limit` items shown with low < seq < high, in the order asked for.

    Most items of most threads are wanted, so it is cheaper to pass over the others here than to
    have SQLite look at each row.
    """
    rows_between = _own_rows if len(line) == 1 else _shown_rows
    found: list[Item] = []
    while True:
        rows = rows_between(db, line, low, high, descending, limit)
        found += [
            to_item(row)
            for row in rows
            if row[2] is not None
            and (kinds is None or row[1] in kinds)
            and (run is None or row[4] == run)
        ]
        if len(rows) < limit or len(found) >= limit:
            return found[:limit]
        low, high = (low, rows[-1][5]) if descending else (rows[-1][5], high)


def _own_rows(
    db: apsw.Connection, line: list[Level], low: int, high: int, descending: bool, limit: int
) -> list[Row]:
    """The next rows of a thread without ancestors."""
    bounds = {"no": line[0][0], "low": low, "high": high, "shadows": False, "limit": limit}
    rows = db.execute(SQL["items_down" if descending else "items_up"], bounds).fetchall()
    return cast(list[Row], rows)


def _shown_rows(
    db: apsw.Connection, line: list[Level], low: int, high: int, descending: bool, limit: int
) -> list[Row]:
    """The next rows of a fork: of each seq the nearest one, tombstones too."""
    query = SQL["items_down" if descending else "items_up"]
    nearest: dict[int, Row] = {}
    for no, shown in line:
        bounds = {"no": no, "low": low, "high": min(high, shown + 1)}
        for row in db.execute(query, bounds | {"shadows": True, "limit": limit}):
            nearest.setdefault(row[5], row)
    return [nearest[seq] for seq in sorted(nearest, reverse=descending)[:limit]]


def find(db: apsw.Connection, line: list[Level], id: str) -> Row | None:
    """The row that this lineage shows for an id; an erased one has no body."""
    rows = {row[0]: row for row in db.execute(SQL["find_item"], {"id": id})}
    for no, shown in line:
        row = rows.get(no)
        if row is not None and row[6] <= shown:
            return cast(Row, row[1:])
    return None


def change(db: apsw.Connection, found: Lock, row: Row, new: Item | None) -> None:
    """Put `new` (None: nothing is left but its place) for a shown row, in this thread alone."""
    id, kind, body, created_at, run, seq = row
    place = {"no": found.no, "seq": seq, "id": id}
    old = {"kind": kind, "created_at": created_at, "run": run, "body": body}
    db.execute(SQL["push_down"], place | old)
    changed = {"kind": "", "created_at": 0, "run": None, "body": None}
    if new is not None:
        changed = old | {"body": new.body.decode()}
    db.execute(SQL["update_item"], place | changed)
    if seq <= found.parent_seq:
        _erase_unseen(db, found.no, seq)


def _erase_unseen(db: apsw.Connection, no: int, seq: int) -> None:
    """Erase from erased ancestors what no thread shows any more at `seq`."""
    parent = db.execute(SQL["parent_of"], {"no": no}).fetchone()
    while parent is not None and parent[1]:
        db.execute(SQL["erase_unseen"], {"no": parent[0], "low": seq, "high": seq})
        parent = db.execute(SQL["parent_of"], {"no": parent[0]}).fetchone()
