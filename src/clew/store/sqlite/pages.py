"""Pages of what is ordered by (created_at, key): runs, assistants, and the places of threads."""

from __future__ import annotations

from typing import Any

import apsw

from clew.core.errors import NotFound
from clew.core.paging import Page, walk
from clew.store.sqlite.engine import SQL

_BEFORE_ALL, _AFTER_ALL = (-1, ""), (1 << 62, "")


def read_page(
    db: apsw.Connection, noun: str, page: Page, bindings: dict[str, Any], prefix: str = ""
) -> tuple[list[tuple[Any, ...]], bool]:
    """Rows of `{prefix}{noun}s_up` or `_down`, and whether there are more that way.

    `bindings` scope both that query and `find_{noun}_place`, which finds a cursor's place.
    """
    steps = walk(page)
    start, stop = (_place(db, noun, cursor, bindings) for cursor in (steps.start, steps.stop))
    low, high = (stop, start) if steps.descending else (start, stop)
    low_at, low_key = low or _BEFORE_ALL
    high_at, high_key = high or _AFTER_ALL
    bounds = {"low_at": low_at, "low_key": low_key, "high_at": high_at, "high_key": high_key}
    query = SQL[f"{prefix}{noun}s_{'down' if steps.descending else 'up'}"]
    rows = db.execute(query, bindings | bounds | {"limit": page.limit + 1}).fetchall()
    more = len(rows) > page.limit
    del rows[page.limit :]
    if steps.reverse:
        rows.reverse()
    return rows, more


def _place(
    db: apsw.Connection, noun: str, cursor: str | None, bindings: dict[str, Any]
) -> tuple[int, str] | None:
    if cursor is None:
        return None
    row = db.execute(SQL[f"find_{noun}_place"], bindings | {noun: cursor}).fetchone()
    if row is None:
        raise NotFound(noun, cursor)
    return row[0], row[1]
