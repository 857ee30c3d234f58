"""The log of a thread, and how a fork shows its ancestors' items without owning them.

A fork names its parent and the seq up to which it shares the parent's items. Its own rows at or
below that seq *shadow* the parent's: a row with a body is the item as it stands in the fork, one
without is an item erased there. Before an item changes in a thread, its present value is pushed
down to the direct forks that share it and have no row of their own, so they go on showing it.
Nothing is copied until then: a fork costs one row, however long the thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from clew.core.errors import NotFound
from clew.core.items import Item
from clew.store.postgres import outbox
from clew.store.postgres.engine import Engine, Row, Transaction, text
from clew.store.postgres.locks import Lock, touch


async def append(tx: Transaction, found: Lock, items: Sequence[Item], now_ms: int) -> None:
    """Give the items their seqs, store them and account for it; `found` moves on."""
    await insert_items(tx, found, items)
    await outbox.tell_messages(tx, found, items, now_ms)
    await touch(tx, found, now_ms)


async def insert_items(tx: Transaction, found: Lock, items: Sequence[Item]) -> None:
    """Store the items at the next seqs of the thread."""
    if not items:
        return
    base = found.last_seq
    await tx.run("insert_item", thread=found.thread, base=base, items=encoded(items))
    number(items, found.last_seq)
    found.last_seq += len(items)


def encoded(items: Sequence[Item]) -> str:
    """Items as the `items` parameter of a statement."""
    return text([item_row(item, position) for position, item in enumerate(items, 1)])


def item_row(item: Item, position: int) -> dict[str, Any]:
    """An item as the `items` parameter of a statement names its fields, NULLs left out."""
    row = {
        "position": position,
        "created_at": item.created_at,
        "id": item.id,
        "kind": item.kind,
        "body": item.body.decode(),
    }
    if item.run is not None:
        row["run"] = item.run
    return row


def number(items: Iterable[Item], base: int) -> None:
    """The items stand at the seqs after `base`."""
    for seq, item in enumerate(items, base + 1):
        item.seq = seq


def to_item(row: Row) -> Item:
    id, kind, body, created_at, run, seq = row
    return Item(id, kind, body.encode(), created_at, run, seq)


def to_items(thread: str, rows: list[Row]) -> list[Item]:
    """Rows of a statement that gives a row of NULLs for a thread without items, none without it."""
    if not rows:
        raise NotFound("thread", thread)
    return [to_item(row) for row in rows if row[0] is not None]


async def find(reader: Engine | Transaction, project: str, thread: str, id: str) -> Row:
    """The row of the log a thread shows under an id, which may be erased (its body is None)."""
    row = await _find(reader, project, thread, id)
    if row[5] == 0:
        raise NotFound("item", id)
    return row


async def find_shown(reader: Engine | Transaction, project: str, thread: str, id: str) -> Item:
    """The item a thread shows under an id."""
    return _shown(id, await find(reader, project, thread, id))


async def find_known(reader: Engine | Transaction, project: str, thread: str, id: str) -> Item:
    """The same, or with the seq 0 an item that waits in the thread's line."""
    return _shown(id, await _find(reader, project, thread, id))


def _shown(id: str, row: Row) -> Item:
    if row[2] is None:
        raise NotFound("item", id)
    return to_item(row)


async def _find(reader: Engine | Transaction, project: str, thread: str, id: str) -> Row:
    read = reader.read if isinstance(reader, Engine) else reader.run
    rows = await read("find_item", thread=thread, project=project, id=id)
    if not rows:
        raise NotFound("thread", thread)
    if rows[0][0] is None:
        raise NotFound("item", id)
    return rows[0]


async def change(tx: Transaction, found: Lock, old: Item, new: Item | None) -> None:
    """Put `new` (None: nothing is left but its place) for `old` in this thread alone."""
    await tx.run("push_down", **_place(found, old), **_content(old))
    await tx.run("update_item", **_place(found, old), **_content(new))
    if old.seq <= found.parent_seq:
        await erase_unseen(tx, found.thread, old.seq, old.seq)


async def change_bodies(tx: Transaction, found: Lock, items: Sequence[Item]) -> None:
    """Replace the bodies of items that are this thread's own; erased ones stay so."""
    if items:
        bodies = text([{"id": item.id, "body": item.body.decode()} for item in items])
        await tx.run("change_items", thread=found.thread, items=bodies)


async def erase_unseen(tx: Transaction, thread: str, low: int, high: int) -> None:
    """Erase from erased ancestors what no thread shows any more, at seqs from `low` to `high`."""
    while (parent := await tx.row("parent_of", thread=thread)) is not None:
        thread, erased = parent
        if not erased:
            return
        await tx.run("erase_unseen", thread=thread, low=low, high=high)


def _place(found: Lock, item: Item) -> dict[str, Any]:
    return {"thread": found.thread, "seq": item.seq, "id": item.id}


def _content(item: Item | None) -> dict[str, Any]:
    if item is None:
        return {"kind": "", "created_at": 0, "run": None, "body": None}
    body = item.body.decode()
    return {"kind": item.kind, "created_at": item.created_at, "run": item.run, "body": body}
