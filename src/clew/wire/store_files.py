"""Files of a vector store on the wire: alone, and added in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.errors import ClewError
from clew.core.ids import key_of
from clew.core.vector_stores import CHUNK_TOKENS, OVERLAP_TOKENS, Chunking, StoreFile
from clew.wire import refusals
from clew.wire.checks import (
    Choice,
    Either,
    Flag,
    Id,
    Integer,
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.errors import not_found, not_found_param
from clew.wire.fields import PAGE, seconds
from clew.wire.filters import ATTRIBUTE_KEY_MAX, ATTRIBUTE_TEXT_MAX
from clew.wire.refusals import Path

ATTRIBUTES = Nullable(
    MapOf(Either(Text(ATTRIBUTE_TEXT_MAX), Number(), Flag()), 16, ATTRIBUTE_KEY_MAX)
)


class _Static(Record):
    """How a file is to be cut; an overlap of more than half a chunk is refused."""

    def __init__(self) -> None:
        fields: dict[str, Spec] = {
            "max_chunk_size_tokens": Integer(100, 4096),
            "chunk_overlap_tokens": Integer(0, 2048),
        }
        super().__init__(fields, required=fields)

    def check(self, value: Any, path: Path = ()) -> None:
        super().check(value, path)
        half = value["max_chunk_size_tokens"] // 2
        if value["chunk_overlap_tokens"] > half:
            problem = f"must be at most half of max_chunk_size_tokens, here {half}."
            raise refusals.wrong_value((*path, "chunk_overlap_tokens"), problem)


CHUNKING = Nullable(
    Tagged(
        "type",
        {
            "auto": Record({"type": Text()}),
            "static": Record({"type": Text(), "static": _Static()}, required=("static",)),
        },
    )
)
FILE: dict[str, Spec] = {
    "file_id": Id(),
    "attributes": ATTRIBUTES,
    "chunking_strategy": CHUNKING,
}
CREATE = Record(FILE, required=("file_id",))
UPDATE = Record({"attributes": ATTRIBUTES}, required=("attributes",))
LIST = Record(PAGE | {"filter": Choice("in_progress", "completed", "failed", "cancelled")})


def decode_files(
    store: str, body: Mapping[str, Any], now_ms: int, batch: str | None = None
) -> list[StoreFile]:
    """The files of a checked body: `file_ids` with what is said for all of them, or `files`."""
    if body.get("files") is not None:
        return [decode_file(store, each, now_ms, batch) for each in body["files"]]
    ids = body.get("file_ids") or ()
    return [decode_file(store, {**body, "file_id": id}, now_ms, batch) for id in ids]


def decode_file(
    store: str, body: Mapping[str, Any], now_ms: int, batch: str | None = None
) -> StoreFile:
    """A file to be added, from a checked body."""
    file = key_of("file", body["file_id"])
    if file is None:
        words = not_found("file", refusals.shown(body["file_id"]), "clew")
        raise ClewError("not_found", words, not_found_param("file"))
    attributes = body.get("attributes") or {}
    return StoreFile(store, file, now_ms, attributes, decode_chunking(body), batch)


def decode_chunking(body: Mapping[str, Any]) -> Chunking:
    static = (body.get("chunking_strategy") or {}).get("static")
    if static is None:
        return Chunking(CHUNK_TOKENS, OVERLAP_TOKENS)
    return Chunking(static["max_chunk_size_tokens"], static["chunk_overlap_tokens"])


def encode_file(file: StoreFile) -> dict[str, Any]:
    """The vector store file object."""
    return {
        "id": f"file-{file.file}",
        "object": "vector_store.file",
        "usage_bytes": file.usage_bytes,
        "created_at": seconds(file.created_at),
        "vector_store_id": f"vs_{file.store}",
        "status": file.status,
        "last_error": file.error,
        "chunking_strategy": {
            "type": "static",
            "static": {
                "max_chunk_size_tokens": file.chunking.tokens,
                "chunk_overlap_tokens": file.chunking.overlap,
            },
        },
        "attributes": file.attributes,
    }


def encode_content(texts: list[str]) -> dict[str, Any]:
    """The page of a file's text; joined, the texts are the whole of it."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text} for text in texts],
        "has_more": False,
        "next_page": None,
    }
