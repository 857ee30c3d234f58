"""Threads: an append-only log of items and what is known about it."""

from __future__ import annotations

from typing import Any

import msgspec


class Thread(msgspec.Struct):
    """A thread as it stands. Times are milliseconds since 1970.

    `revision` grows by one with every change (append, metadata, erasure, run); `last_seq` is the
    seq of the newest item, 0 when empty. `parent` and `parent_seq` are set on a fork: it shares
    the parent's items up to and including `parent_seq`. `chain` marks a thread that only a chain
    of `previous_response_id` made; people did not name it as a conversation. `on_busy` is what
    happens to what comes while a run is active (`clew.core.busy`), None where the project says.
    """

    key: str
    created_at: int
    updated_at: int
    metadata: dict[str, str] = {}
    tool_resources: dict[str, Any] | None = None
    revision: int = 0
    last_seq: int = 0
    active_run: str | None = None
    parent: str | None = None
    parent_seq: int = 0
    chain: bool = False
    on_busy: str | None = None


class Receipt(msgspec.Struct):
    """What an erasure removed; `thread` is its key, `items` counts those that no fork shows.

    `kept_by` are the keys of forks that share items with it and go on showing them.
    """

    id: str
    thread: str
    erased_at: int
    items: int
    runs: int
    kept_by: list[str] = []
