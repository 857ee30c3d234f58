"""What tools may use, as it is said with a new thread or assistant: also stores yet to be made."""

from __future__ import annotations

from typing import Any

from clew.core.ids import new_key
from clew.core.vector_stores import StoreFile, VectorStore
from clew.wire import refusals
from clew.wire.checks import Id, ListOf, Nullable, Record
from clew.wire.fields import METADATA, TOOL_FILES, VECTOR_STORE_IDS
from clew.wire.refusals import Path
from clew.wire.store_files import CHUNKING, decode_files

THREAD_STORE_DAYS = 7
"""A store made with a thread expires so long after its last use."""

FILES_MAX = 10_000


class _FileSearch(Record):
    """A store that is there, or one to be made; never both."""

    def check(self, value: Any, path: Path = ()) -> None:
        super().check(value, path)
        if value.get("vector_store_ids") and value.get("vector_stores"):
            problem = "'vector_store_ids' and 'vector_stores' are mutually exclusive."
            raise refusals.wrong_value((*path, "vector_stores"), problem)


_NEW_STORE = Record(
    {
        "file_ids": ListOf(Id(), max_items=FILES_MAX),
        "chunking_strategy": CHUNKING,
        "metadata": METADATA,
    }
)
NEW_TOOL_RESOURCES = Nullable(
    Record(
        {
            "code_interpreter": TOOL_FILES,
            "file_search": _FileSearch(
                {
                    "vector_store_ids": VECTOR_STORE_IDS,
                    "vector_stores": ListOf(_NEW_STORE, max_items=1),
                }
            ),
        }
    )
)


def decode_new_store(
    resources: dict[str, Any] | None, now_ms: int, expires_days: int | None
) -> tuple[VectorStore, list[StoreFile]] | None:
    """The store that checked resources ask for, with its files."""
    asked = ((resources or {}).get("file_search") or {}).get("vector_stores")
    if not asked:
        return None
    metadata = asked[0].get("metadata") or {}
    key = new_key(now_ms)
    store = VectorStore(key, now_ms, now_ms, metadata=metadata, expires_days=expires_days)
    return store, decode_files(key, asked[0], now_ms)


def naming(resources: dict[str, Any], store: VectorStore | None) -> dict[str, Any]:
    """The resources as they are kept: with the id of the store, not with how it was asked for."""
    search = {n: v for n, v in resources["file_search"].items() if n != "vector_stores"}
    if store is not None:
        search["vector_store_ids"] = [f"vs_{store.key}"]
    return resources | {"file_search": search}
