"""Threads: the Threads face of a thread, and how threads are listed on both faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clew.core.busy import ON_BUSY as POLICIES
from clew.core.ids import new_key
from clew.core.items import Item
from clew.core.paging import ThreadQuery
from clew.core.threads import Receipt, Thread
from clew.core.tool_resources import Grant
from clew.wire import messages
from clew.wire.checks import Choice, Integer, ListOf, Record, Spec
from clew.wire.fields import METADATA, METADATA_MAP, ON_BUSY, PAGE, TOOL_RESOURCES, page_of, seconds
from clew.wire.queries import decode_query
from clew.wire.refusals import Path
from clew.wire.tool_resources import NEW_TOOL_RESOURCES, decode_grant

CREATE = Record(
    {
        "messages": ListOf(messages.CREATE),
        "tool_resources": NEW_TOOL_RESOURCES,
        "metadata": METADATA,
        "on_busy": ON_BUSY,
    }
)
UPDATE = Record(
    {"tool_resources": TOOL_RESOURCES, "metadata": METADATA, "on_busy": Choice(*POLICIES)}
)

_YEAR_10000 = 253_402_300_800
_SECONDS = Integer(0, _YEAR_10000)
_TIMES: dict[str, Spec] = {
    "created_after": _SECONDS,
    "created_before": _SECONDS,
    "updated_after": _SECONDS,
    "updated_before": _SECONDS,
}
LIST = Record(PAGE | _TIMES | {"metadata": METADATA_MAP})
"""Listing threads, on either face: what OpenAI never gave.

Times are Unix seconds and inclusive, so that the `created_at` of one thread, given as both bounds,
finds it. Every `metadata[k]=v` must hold.
"""


def decode_thread(body: Any, now_ms: int, path: Path = ()) -> tuple[Thread, list[Item]]:
    """A new thread and its first items, from a checked body."""
    CREATE.check(body, path)
    thread = Thread(
        key=new_key(now_ms),
        created_at=now_ms,
        updated_at=now_ms,
        metadata=body.get("metadata") or {},
        tool_resources=body.get("tool_resources"),
        on_busy=body.get("on_busy"),
    )
    return thread, messages.items_of(body.get("messages", ()), now_ms)


def grant_to(thread: Thread, body: Mapping[str, Any]) -> Grant | None:
    """What a checked body gives to the tools of its new thread, which is told what to keep."""
    kept, given = decode_grant(thread.tool_resources, thread.created_at, body.get("messages") or ())
    thread.tool_resources = kept
    return given


def decode_changes(body: Any) -> dict[str, Any]:
    """What a checked update replaces, by the names of `Store.update_thread`; null clears."""
    UPDATE.check(body)
    return {name: value or {} for name, value in body.items()}


def decode_list(params: Iterable[tuple[str, str]]) -> ThreadQuery:
    """Which threads a list asks for; cursors are ids of either face."""
    values = decode_query(params, LIST)
    return ThreadQuery(
        page=page_of(values, "thread"),
        metadata=values.get("metadata", {}),
        created_from=_first_ms(values.get("created_after")),
        created_to=_last_ms(values.get("created_before")),
        updated_from=_first_ms(values.get("updated_after")),
        updated_to=_last_ms(values.get("updated_before")),
    )


def _first_ms(second: int | None) -> int | None:
    return None if second is None else second * 1000


def _last_ms(second: int | None) -> int | None:
    return None if second is None else second * 1000 + 999


def encode_thread(thread: Thread) -> dict[str, Any]:
    """The thread object."""
    return {
        "id": f"thread_{thread.key}",
        "object": "thread",
        "created_at": seconds(thread.created_at),
        "metadata": thread.metadata,
        "tool_resources": thread.tool_resources or {},
        "clew": {"conversation_id": f"conv_{thread.key}", **standing(thread, "thread_", "run_")},
    }


def standing(thread: Thread, prefix: str, run_prefix: str) -> dict[str, Any]:
    """How the thread stands: what Clew says of it beyond OpenAI's fields."""
    fork = {"id": prefix + thread.parent, "seq": thread.parent_seq} if thread.parent else None
    return {
        "revision": thread.revision,
        "updated_at": seconds(thread.updated_at),
        "last_seq": thread.last_seq,
        "forked_from": fork,
        "on_busy": thread.on_busy,
        "active_run": run_prefix + thread.active_run if thread.active_run else None,
    }


def encode_receipt(receipt: Receipt) -> dict[str, Any]:
    """What an erasure removed, as it is told to whoever asked for it."""
    return {
        "id": receipt.id,
        "thread_id": f"thread_{receipt.thread}",
        "erased_at": seconds(receipt.erased_at),
        "items": receipt.items,
        "runs": receipt.runs,
        "kept_by": [f"thread_{key}" for key in receipt.kept_by],
    }
