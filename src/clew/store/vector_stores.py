"""Vector stores: files cut into chunks that can be searched.

A file is added `in_progress`; that row is the job, so a job outlives the process that has it. An
indexer claims one at a time under a lease, stores chunks under the name of its attempt, and ends
it: only then are they seen. Whoever lost the claim can store nothing more. What is deleted or has
expired is unreachable at once; its text goes in steps (`sweep_chunks`), which outlive a crash too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from clew.core.embeddings import Embedded, Vector
from clew.core.paging import Page
from clew.core.vector_stores import (
    Attributes,
    Chunk,
    Claim,
    FileBatch,
    Filter,
    Found,
    StoreFile,
    VectorStore,
)
from clew.store.once import Once


class VectorStoreVerbs(Protocol):
    """Raises `NotFound` for "vector_store", "file" and "file_batch", and what `Store` says."""

    async def create_vector_store(
        self,
        project: str,
        store: VectorStore,
        files: Sequence[StoreFile] = (),
        *,
        once: Once | None = None,
    ) -> VectorStore:
        """A new store with its first files, to be indexed."""
        ...

    async def get_vector_store(self, project: str, store: str) -> VectorStore: ...

    async def list_vector_stores(self, project: str, page: Page) -> tuple[list[VectorStore], bool]:
        """By creation (then key). An unknown cursor is NotFound("vector_store")."""
        ...

    async def update_vector_store(
        self, project: str, store: str, changes: dict[str, Any], *, once: Once | None = None
    ) -> VectorStore:
        """Replace the fields named in `changes`: name, description, metadata, expires_days."""
        ...

    async def touch_vector_store(self, project: str, store: str, now_ms: int) -> VectorStore:
        """Say that the store is in use. BadRequest when it has expired."""
        ...

    async def delete_vector_store(self, project: str, store: str) -> None:
        """The store and its chunks are gone; the files themselves stay."""
        ...

    # files of a store

    async def add_store_file(
        self, project: str, file: StoreFile, *, once: Once | None = None
    ) -> StoreFile:
        """Add a file to `file.store`, to be indexed.

        NotFound("file") for one that is not there or has expired. BadRequest for one that the
        store has already, unless it failed or was cancelled: then it is tried anew.
        """
        ...

    async def create_file_batch(
        self,
        project: str,
        batch: FileBatch,
        files: Sequence[StoreFile],
        *,
        once: Once | None = None,
    ) -> FileBatch:
        """Add files to `batch.store` together, all or none, as `add_store_file` does each."""
        ...

    async def get_store_file(self, project: str, store: str, file: str) -> StoreFile: ...

    async def list_store_files(
        self,
        project: str,
        store: str,
        page: Page,
        *,
        status: str | None = None,
        batch: str | None = None,
    ) -> tuple[list[StoreFile], bool]:
        """By when they were added (then key). An unknown cursor is NotFound("file")."""
        ...

    async def update_store_file(
        self,
        project: str,
        store: str,
        file: str,
        attributes: Attributes,
        *,
        once: Once | None = None,
    ) -> StoreFile:
        """Replace the attributes."""
        ...

    async def remove_store_file(self, project: str, store: str, file: str) -> None:
        """The file and its chunks are no longer in the store; the file itself stays."""
        ...

    async def get_file_batch(self, project: str, store: str, batch: str) -> FileBatch: ...

    async def cancel_file_batch(
        self, project: str, store: str, batch: str, *, once: Once | None = None
    ) -> FileBatch:
        """Cancel what is in progress; a batch of which nothing is stays as it is."""
        ...

    # chunks

    async def read_chunks(
        self, project: str, store: str, file: str, *, above: int, limit: int
    ) -> list[Chunk]:
        """Up to `limit` chunks with number > `above` of a completed file, in order; else none."""
        ...

    async def search_chunks(
        self,
        project: str,
        store: str,
        words: Sequence[str],
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[Found]:
        """The `limit` best chunks of completed files with any of the words, best first.

        A score is the part of the words that a chunk has: rare words weigh more, repetition
        counts a little. Ties are in the order of files and chunks.
        """
        ...

    async def prepare_vectors(self) -> bool:
        """Make ready to keep vectors; False where the database cannot, which is then logged.

        ClewError "unavailable" names what is to be installed here. Without this all else works.
        """
        ...

    async def nearest_chunks(
        self,
        project: str,
        store: str,
        model: str,
        vector: Vector,
        limit: int,
        *,
        filter: Filter | None = None,
    ) -> list[Found]:
        """The `limit` chunks of completed files nearest to the vector, nearest first.

        Of those that were embedded with that model in as many dimensions; none without
        `prepare_vectors`. A score is the cosine of the angle, 0 where it is wider than a right one.
        """
        ...

    # what an indexer does, in every project

    async def claim_indexing(self, body: str, now_ms: int, until_ms: int) -> Claim | None:
        """The next file that nobody indexes, leased until then; None when there is none.

        `body` is a new key. What an earlier attempt stored is to be swept.
        """
        ...

    async def hold_indexing(self, claim: Claim, until_ms: int) -> bool:
        """Lease the file until then, be that sooner or later; False when the claim was lost."""
        ...

    async def add_chunks(
        self, claim: Claim, chunks: Sequence[Chunk], embedded: Embedded | None = None
    ) -> bool:
        """Store chunks of the attempt; False, and nothing stored, when the claim was lost.

        All chunks of an attempt come with vectors of one model, once these are prepared, or none.
        """
        ...

    async def end_indexing(
        self,
        claim: Claim,
        status: str,
        usage_bytes: int = 0,
        error: dict[str, str] | None = None,
    ) -> bool:
        """Make the file `completed` or `failed`; False when the claim was lost."""
        ...

    async def sweep_chunks(self, now_ms: int) -> bool:
        """Take one step in removing what nobody can reach; whether there is more to do.

        That is what is left of deleted stores and files, of attempts that ended without success,
        and of stores that have expired.
        """
        ...
