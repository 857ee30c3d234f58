"""What tools may use, as it is said with a new thread or assistant: also stores yet to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clew.core.errors import ClewError
from clew.core.ids import key_of, new_key
from clew.core.tool_resources import THREAD_STORE_DAYS, Grant, files_of, stores_of, with_store
from clew.core.vector_stores import VectorStore
from clew.wire import refusals
from clew.wire.checks import Id, ListOf, Nullable, Record
from clew.wire.errors import not_found, not_found_param
from clew.wire.fields import METADATA, TOOL_FILES, VECTOR_STORE_IDS
from clew.wire.refusals import Path
from clew.wire.store_files import CHUNKING, decode_files

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


def decode_grant(
    resources: dict[str, Any] | None, now_ms: int, messages: Iterable[Mapping[str, Any]] = ()
) -> tuple[dict[str, Any] | None, Grant | None]:
    """Checked resources of a new thread as they are kept, and all that it gives to its tools.

    Its first messages' attachments are among that.
    """
    return _decode(resources, now_ms, messages, THREAD_STORE_DAYS)


def decode_assistant_grant(
    resources: dict[str, Any], now_ms: int
) -> tuple[dict[str, Any] | None, Grant | None]:
    """The same for an assistant: a store that is made with it does not expire."""
    return _decode(resources, now_ms, (), None)


def decode_attachments(messages: Iterable[Mapping[str, Any]], now_ms: int) -> Grant | None:
    """What checked messages give to the tools of their thread."""
    return _decode(None, now_ms, messages, THREAD_STORE_DAYS)[1]


def _decode(
    resources: dict[str, Any] | None,
    now_ms: int,
    messages: Iterable[Mapping[str, Any]],
    days: int | None,
) -> tuple[dict[str, Any] | None, Grant | None]:
    files, searched = _attached(messages)
    new = ((resources or {}).get("file_search") or {}).get("vector_stores") or []
    if not (files or searched or files_of(resources) or stores_of(resources) or new):
        return _plain(resources), None
    key = new_key(now_ms)
    store, to_search = None, decode_files(key, {"file_ids": searched}, now_ms)
    if new:
        metadata = new[0].get("metadata") or {}
        asked = decode_files(key, new[0], now_ms)
        # what a message attaches to a file that the store is made with changes nothing
        there = {each.file for each in asked}
        to_search = asked + [each for each in to_search if each.file not in there]
        store = VectorStore(key, now_ms, now_ms, metadata=metadata, expires_days=days)
    elif to_search:
        store = VectorStore(key, now_ms, now_ms, expires_days=THREAD_STORE_DAYS)
    given = Grant(
        files=[_key("file", id) for id in files_of(resources)],
        stores=[_key("vector_store", id) for id in stores_of(resources)],
        attached=[_key("file", id) for id in files],
        searched=to_search,
        store=store,
    )
    kept = _plain(resources)
    return (with_store(kept, key) if new else kept), given


def _attached(messages: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The ids of the files that messages attach for code_interpreter, and for file_search."""
    found: dict[str, list[str]] = {"code_interpreter": [], "file_search": []}
    for message in messages:
        for each in message.get("attachments") or ():
            for tool in each.get("tools") or ():
                ids = found[tool["type"]]
                if "file_id" in each and each["file_id"] not in ids:
                    ids.append(each["file_id"])
    return found["code_interpreter"], found["file_search"]


def _plain(resources: dict[str, Any] | None) -> dict[str, Any] | None:
    """The resources as they are kept: not how a store was asked for."""
    if not resources or "file_search" not in resources:
        return resources
    search = {n: v for n, v in (resources["file_search"] or {}).items() if n != "vector_stores"}
    return resources | {"file_search": search}


def _key(noun: str, id: str) -> str:
    key = key_of(noun, id)
    if key is None:
        words = not_found(noun, refusals.shown(id), "clew")
        raise ClewError("not_found", words, not_found_param(noun))
    return key
