"""File batches on the wire: files added to a vector store together."""

from __future__ import annotations

from typing import Any

from clew.core.vector_stores import FileBatch
from clew.wire import refusals
from clew.wire.checks import Id, ListOf, Record
from clew.wire.fields import seconds
from clew.wire.refusals import Path
from clew.wire.store_files import ATTRIBUTES, CHUNKING, FILE
from clew.wire.vector_stores import encode_counts

FILES_MAX = 2_000


class _Create(Record):
    """`file_ids`, or `files` that each say more; never both."""

    def check(self, value: Any, path: Path = ()) -> None:
        super().check(value, path)
        if value.get("file_ids") is not None and value.get("files") is not None:
            problem = "'file_ids' and 'files' are mutually exclusive."
            raise refusals.wrong_value((*path, "files"), problem)


CREATE = _Create(
    {
        "file_ids": ListOf(Id(), FILES_MAX, 1),
        "files": ListOf(Record(FILE, required=("file_id",)), FILES_MAX, 1),
        "attributes": ATTRIBUTES,
        "chunking_strategy": CHUNKING,
    },
    any_of=("file_ids", "files"),
)


def encode_batch(batch: FileBatch) -> dict[str, Any]:
    """The file batch object."""
    return {
        "id": f"vsfb_{batch.key}",
        "object": "vector_store.files_batch",
        "created_at": seconds(batch.created_at),
        "vector_store_id": f"vs_{batch.store}",
        "status": batch.status,
        "file_counts": encode_counts(batch.counts),
    }
