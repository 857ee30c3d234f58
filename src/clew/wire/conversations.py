"""Conversations: the Conversations face of a thread. Its items are in `items`."""

from __future__ import annotations

from typing import Any

from clew.core.ids import new_key
from clew.core.items import Item
from clew.core.threads import Thread
from clew.wire import items
from clew.wire.checks import Nullable, Record
from clew.wire.fields import METADATA, ON_BUSY, seconds
from clew.wire.threads import standing

CREATE = Record(
    {
        "metadata": METADATA,
        "items": Nullable(items.input_items(min_items=0)),
        "on_busy": ON_BUSY,
    },
)
UPDATE = Record({"metadata": METADATA, "on_busy": ON_BUSY}, required=("metadata",))


def decode_conversation(body: Any, now_ms: int) -> tuple[Thread, list[Item]]:
    """A new thread and its first items, from a checked body."""
    CREATE.check(body)
    metadata, on_busy = body.get("metadata") or {}, body.get("on_busy")
    thread = Thread(new_key(now_ms), now_ms, now_ms, metadata, on_busy=on_busy)
    return thread, items.items_of(body.get("items") or (), now_ms)


def decode_changes(body: Any) -> dict[str, Any]:
    """What a checked update replaces, by the names of `Store.update_thread`; null clears."""
    UPDATE.check(body)
    return {"metadata": body["metadata"] or {}, "on_busy": body.get("on_busy")}


def encode_conversation(thread: Thread) -> dict[str, Any]:
    """The conversation object."""
    return {
        "id": f"conv_{thread.key}",
        "object": "conversation",
        "created_at": seconds(thread.created_at),
        "metadata": thread.metadata,
        "clew": {"thread_id": f"thread_{thread.key}", **standing(thread, "conv_", "resp_")},
    }
