"""Pages: of what is ordered by (created_at, key), and of a thread's log."""

from __future__ import annotations

from typing import Any, TypeVar

from clew.core.errors import NotFound
from clew.core.paging import Page, Walk
from clew.store.postgres.engine import Engine, Row

T = TypeVar("T")
EVERYTHING = 1 << 62
"""Above any seq and any time."""

_BEFORE_ALL, _AFTER_ALL = (-1, ""), (EVERYTHING, "")


async def read_page(
    engine: Engine, noun: str, page: Page, steps: Walk, scope: dict[str, Any], prefix: str = ""
) -> list[Row]:
    """Rows of `{prefix}{noun}s_up` or `_down` along `steps`, one more than the page has.

    `scope` binds both that statement and `find_{noun}_place`, which finds a cursor's place.
    """
    start, stop = [
        await _place(engine, noun, cursor, scope) for cursor in (steps.start, steps.stop)
    ]
    low, high = (stop, start) if steps.descending else (start, stop)
    low_at, low_key = low or _BEFORE_ALL
    high_at, high_key = high or _AFTER_ALL
    bounds = {"low_at": low_at, "low_key": low_key, "high_at": high_at, "high_key": high_key}
    name = f"{prefix}{noun}s_{'down' if steps.descending else 'up'}"
    return await engine.read(name, **scope, **bounds, limit=page.limit + 1)


def turned(entries: list[T], page: Page, steps: Walk) -> tuple[list[T], bool]:
    """What was found along `steps` as the page asked for, and whether there are more that way."""
    more = len(entries) > page.limit
    del entries[page.limit :]
    if steps.reverse:
        entries.reverse()
    return entries, more


async def _place(
    engine: Engine, noun: str, cursor: str | None, scope: dict[str, Any]
) -> Row | None:
    if cursor is None:
        return None
    found = await engine.read(f"find_{noun}_place", **scope, id=cursor)
    if not found and "thread" in scope:
        raise NotFound("thread", scope["thread"])
    if not found or found[0][0] is None:
        raise NotFound(noun, cursor)
    return found[0]
