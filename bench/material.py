"""What is written and read in every measurement: messages of 400 bytes on threads."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import msgspec

from clew.core.ids import new_item_id, new_key
from clew.core.items import Item, message
from clew.core.threads import Thread
from clew.store.store import Store

PROJECT = "proj_default"
"""The project of requests that name none."""

TEXT = ("On the second of May I was charged twice for invoice INV-77. " * 7)[:400]
MESSAGE = msgspec.json.encode({"role": "user", "content": TEXT})
"""The body that creates a message, on the Threads face."""

_PARTS = [{"type": "input_text", "text": TEXT}]
ITEMS = msgspec.json.encode({"items": [{"type": "message", "role": "user", "content": _PARTS}]})
"""The same message on the Conversations face."""

ITEMS_PER_REQUEST = 1_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_message() -> Item:
    now = now_ms()
    return message(new_item_id("user", now), "user", TEXT, now)


async def new_thread(store: Store, items: int = 0, key: str | None = None) -> str:
    """A thread with that many messages; returns its key."""
    now = now_ms()
    thread = await store.create_thread(PROJECT, Thread(key or new_key(now), now, now))
    for first in range(0, items, ITEMS_PER_REQUEST):
        count = min(ITEMS_PER_REQUEST, items - first)
        batch = [new_message() for _ in range(count)]
        await store.append_items(PROJECT, thread.key, batch, now_ms())
    return thread.key


async def append(store: Store, thread: str) -> None:
    await store.append_items(PROJECT, thread, (new_message(),), now_ms())


class Threads:
    """Threads taken in turn, by any number of writers."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._turns = itertools.cycle(keys)

    def next(self) -> str:
        return next(self._turns)
