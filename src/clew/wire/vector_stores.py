"""Vector stores on the wire: the store itself, and searching it."""

from __future__ import annotations

from typing import Any

from clew.core.ids import new_key
from clew.core.rankings import ranking_of
from clew.core.vector_stores import (
    RESULTS_DEFAULT,
    RESULTS_MAX,
    Counts,
    Found,
    StoreFile,
    VectorStore,
)
from clew.wire.checks import (
    Choice,
    Either,
    Flag,
    Id,
    Integer,
    ListOf,
    Nullable,
    Number,
    Record,
    Text,
)
from clew.wire.fields import METADATA, PAGE, seconds
from clew.wire.filters import FILTER
from clew.wire.store_files import CHUNKING, decode_files

FILES_AT_CREATION_MAX = 500
QUERY_MAX = 65_536
QUERIES_MAX = 16

_EXPIRES_AFTER = Nullable(
    Record(
        {"anchor": Choice("last_active_at"), "days": Integer(1, 365)}, required=("anchor", "days")
    )
)
CREATE = Record(
    {
        "file_ids": ListOf(Id(), max_items=FILES_AT_CREATION_MAX),
        "name": Nullable(Text(256)),
        "description": Nullable(Text(512)),
        "expires_after": _EXPIRES_AFTER,
        "chunking_strategy": CHUNKING,
        "metadata": METADATA,
    }
)
UPDATE = Record(
    {"name": Nullable(Text(256)), "expires_after": _EXPIRES_AFTER, "metadata": METADATA}
)
LIST = Record(PAGE)

_QUERY = Text(QUERY_MAX)
SEARCH = Record(
    {
        "query": Either(_QUERY, ListOf(_QUERY, QUERIES_MAX, 1)),
        "rewrite_query": Flag(),
        "max_num_results": Integer(1, RESULTS_MAX),
        "filters": Nullable(FILTER),
        "ranking_options": Nullable(
            Record(
                {
                    "ranker": Choice("none", "auto", "default-2024-11-15"),
                    "score_threshold": Number(0, 1),
                }
            )
        ),
    },
    required=("query",),
)


def decode_vector_store(body: Any, now_ms: int) -> tuple[VectorStore, list[StoreFile]]:
    """A new store and its first files, from a checked body."""
    store = VectorStore(
        new_key(now_ms),
        now_ms,
        now_ms,
        body.get("name") or "",
        body.get("description"),
        body.get("metadata") or {},
        _days(body.get("expires_after")),
    )
    given = {name: body[name] for name in ("file_ids", "chunking_strategy") if name in body}
    return store, decode_files(store.key, given, now_ms)


def decode_changes(body: Any) -> dict[str, Any]:
    """What a checked update replaces, by the names of the store's fields; null clears."""
    changes: dict[str, Any] = {}
    if "name" in body:
        changes["name"] = body["name"] or ""
    if "metadata" in body:
        changes["metadata"] = body["metadata"] or {}
    if "expires_after" in body:
        changes["expires_days"] = _days(body["expires_after"])
    return changes


class Search:
    """What a checked body searches for."""

    def __init__(self, body: Any) -> None:
        query = body["query"]
        self.queries: list[str] = [query] if isinstance(query, str) else query
        self.limit: int = body.get("max_num_results", RESULTS_DEFAULT)
        self.ranking = ranking_of(body.get("ranking_options"))


def encode_vector_store(store: VectorStore, now_ms: int) -> dict[str, Any]:
    """The vector store object."""
    days, expires_at = store.expires_days, store.expires_at
    return {
        "id": f"vs_{store.key}",
        "object": "vector_store",
        "created_at": seconds(store.created_at),
        "name": store.name,
        "description": store.description,
        "usage_bytes": store.usage_bytes,
        "file_counts": encode_counts(store.counts),
        "status": store.status(now_ms),
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": None if expires_at is None else seconds(expires_at),
        "last_active_at": seconds(store.last_active_at),
        "metadata": store.metadata,
    }


def encode_counts(counts: Counts) -> dict[str, int]:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def encode_results(queries: list[str], found: list[Found]) -> dict[str, Any]:
    """The page of what a search found."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [_encode_found(each) for each in found],
        "has_more": False,
        "next_page": None,
    }


def _encode_found(found: Found) -> dict[str, Any]:
    return {
        "file_id": f"file-{found.file}",
        "filename": found.filename,
        "score": found.score,
        "attributes": found.attributes,
        "content": [{"type": "text", "text": found.text}],
    }


def _days(expires_after: Any) -> int | None:
    return None if expires_after is None else expires_after["days"]
