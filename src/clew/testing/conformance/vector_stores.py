"""Proofs about vector stores: the store, its files and batches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from clew.core.errors import NotFound
from clew.core.files import File
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.core.vector_stores import (
    ACTIVE_STEP_MS,
    DAY_MS,
    Chunk,
    Chunking,
    Claim,
    Counts,
    FileBatch,
    StoreFile,
    VectorStore,
)
from clew.store.once import Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    new_project,
    not_found,
    proof,
    prove_paging,
    refusal,
    replay,
)

FAR = T0 + 100 * DAY_MS


def new_vector_store(at: int = T0, **fields: Any) -> VectorStore:
    return VectorStore(new_key(at), at, at, **fields)


def new_store_file(store: str, file: str, at: int = T0, **fields: Any) -> StoreFile:
    return StoreFile(store, file, at, **fields)


async def stored_file(store: Store, project: str, data: bytes = b"text") -> str:
    """The key of a new file with these bytes."""
    key, blob = new_key(T0), new_key(T0)
    await store.write_blob(project, blob, data, T0)
    await store.create_file(project, File(key, T0, f"{key}.txt", "assistants"), blob)
    return key


async def stored_store(store: Store, project: str, files: int = 0, **fields: Any) -> VectorStore:
    """A new vector store with so many files, all to be indexed."""
    made = new_vector_store(**fields)
    new = [
        new_store_file(made.key, await stored_file(store, project), T0 + n) for n in range(files)
    ]
    return await store.create_vector_store(project, made, new)


async def files_of(store: Store, project: str, key: str) -> list[StoreFile]:
    found, _ = await store.list_store_files(project, key, Page(100, "asc"))
    return found


async def claimed(store: Store, project: str, at: int = T0) -> Claim:
    """The next job of this project; those of other tests are put off."""
    while True:
        claim = await store.claim_indexing(new_key(at), at, at + 1_000)
        assert claim is not None
        if claim.project == project:
            return claim


def chunks_of(*texts: str) -> list[Chunk]:
    places = [sum(map(len, texts[:n])) for n in range(len(texts) + 1)]
    return [Chunk(n, places[n], places[n + 1], text) for n, text in enumerate(texts)]


async def indexed(store: Store, project: str, *texts: str, at: int = T0) -> Claim:
    """The next job, done: the file has these chunks."""
    claim = await claimed(store, project, at)
    assert await store.add_chunks(claim, chunks_of(*texts))
    assert await store.end_indexing(claim, "completed", sum(map(len, texts)))
    return claim


async def swept(store: Store, at: int = T0) -> None:
    while await store.sweep_chunks(at):
        pass


class VectorStores(Proof):
    """Creating, changing, listing, expiring and deleting vector stores."""

    @proof
    async def test_a_vector_store_is_kept_as_given(self, store: Store, project: str) -> None:
        """A store keeps what it was made with, and counts its files."""
        given = new_vector_store(
            name="n\x00🧶", description="d", metadata={"a": "b"}, expires_days=3
        )
        assert await store.create_vector_store(project, given) == given
        assert await store.get_vector_store(project, given.key) == given
        full = await stored_store(store, project, files=2)
        assert full.counts == Counts(in_progress=2)
        assert (full.status(T0), given.status(T0)) == ("in_progress", "completed")

    @proof
    async def test_an_update_replaces_named_fields(self, store: Store, project: str) -> None:
        """An update replaces what it names, and leaves the rest."""
        was = await stored_store(store, project, name="n", metadata={"a": "b"}, expires_days=3)
        changes = {"metadata": {"c": "d"}, "expires_days": None}
        now = await store.update_vector_store(project, was.key, changes)
        assert now == msgspec.structs.replace(was, **changes)
        assert await store.get_vector_store(project, was.key) == now

    @proof
    async def test_pages_of_vector_stores_are_true(self, store: Store, project: str) -> None:
        """Stores are listed by creation, then key; each page is the slice it should be."""
        made = [new_vector_store(T0 + time) for time in (2, 1, 2, 3, 2)]
        for each in made:
            await store.create_vector_store(project, each)
        await store.create_vector_store(new_project(), new_vector_store())
        made.sort(key=lambda each: (each.created_at, each.key))
        await prove_paging(
            lambda page: store.list_vector_stores(project, page),
            [each.key for each in made],
            lambda each: str(each.key),
        )

    @proof
    async def test_a_deleted_vector_store_is_gone(self, store: Store, project: str) -> None:
        """A deleted store is not found by any verb; its files stay, and belong to no store."""
        gone = await stored_store(store, project, files=1)
        (file,) = await files_of(store, project, gone.key)
        await store.delete_vector_store(project, gone.key)
        for act in (
            store.get_vector_store(project, gone.key),
            store.update_vector_store(project, gone.key, {"name": "x"}),
            store.touch_vector_store(project, gone.key, T0),
            store.delete_vector_store(project, gone.key),
            store.list_vector_stores(project, Page(after=gone.key)),
            store.add_store_file(project, new_store_file(gone.key, file.file)),
            store.list_store_files(project, gone.key, Page()),
            store.get_store_file(project, gone.key, file.file),
            store.search_chunks(project, gone.key, ["x"], 1),
            store.read_chunks(project, gone.key, file.file, above=-1, limit=1),
        ):
            assert await not_found(act) == ("vector_store", gone.key)
        assert (await store.get_file(project, file.file, T0)).key == file.file

    @proof
    async def test_no_project_sees_stores_of_another(self, store: Store, project: str) -> None:
        """A store, its files and batches are not found by another project, nor its files added."""
        made = await stored_store(store, project, files=1)
        (file,) = await files_of(store, project, made.key)
        other = new_project()
        own = await stored_store(store, other)
        for act in (
            store.get_vector_store(other, made.key),
            store.delete_vector_store(other, made.key),
            store.remove_store_file(other, made.key, file.file),
            store.add_store_file(other, new_store_file(made.key, file.file)),
            store.search_chunks(other, made.key, ["text"], 1),
        ):
            assert await not_found(act) == ("vector_store", made.key)
        stolen = store.add_store_file(other, new_store_file(own.key, file.file))
        assert await not_found(stolen) == ("file", file.file)

    @proof
    async def test_use_puts_off_the_end(self, store: Store, project: str) -> None:
        """Each use is noted when the last is a while ago; the store expires so long after it."""
        made = await stored_store(store, project, expires_days=1)
        near, later = T0 + ACTIVE_STEP_MS - 1, T0 + DAY_MS - 1
        assert (await store.touch_vector_store(project, made.key, near)).last_active_at == T0
        used = await store.touch_vector_store(project, made.key, later)
        assert (used.last_active_at, used.expires_at) == (later, later + DAY_MS)
        assert await store.get_vector_store(project, made.key) == used

    @proof
    async def test_an_expired_store_stays_so(self, store: Store, project: str) -> None:
        """After its time a store takes no file and no search; swept, it has no files left."""
        made = await stored_store(store, project, files=1, expires_days=1)
        await indexed(store, project, "alpha")
        file = await stored_file(store, project)
        end = T0 + DAY_MS
        for act in (
            store.touch_vector_store(project, made.key, end),
            store.add_store_file(project, new_store_file(made.key, file, end)),
        ):
            error = await refusal(act)
            assert error.message == f"Vector store 'vs_{made.key}' has expired."
        await swept(store, end)
        found = await store.update_vector_store(project, made.key, {"expires_days": 300})
        assert (found.status(T0), found.counts.total, found.usage_bytes) == ("expired", 0, 0)
        assert await store.search_chunks(project, made.key, ["alpha"], 9) == []

    @proof
    async def test_a_retry_makes_one_store(self, store: Store, project: str) -> None:
        """The same idempotency key makes one store, adds a file once, and makes one batch."""

        def once(key: str) -> Once:
            return Once(key, "f", T0, lambda made: made.__class__.__name__.encode())

        made = new_vector_store()
        file = await stored_file(store, project)
        batch = FileBatch(new_key(T0), made.key, T0)
        others = [new_store_file(made.key, await stored_file(store, project), batch=batch.key)]
        given = new_store_file(made.key, file)
        acts: dict[bytes, Callable[[], Awaitable[object]]] = {
            b"VectorStore": lambda: store.create_vector_store(project, made, once=once("1")),
            b"StoreFile": lambda: store.add_store_file(project, given, once=once("2")),
            b"FileBatch": lambda: store.create_file_batch(project, batch, others, once=once("3")),
        }
        for answer, act in acts.items():
            await act()
            assert await replay(act()) == answer
        counts = (await store.get_vector_store(project, made.key)).counts
        assert counts == Counts(in_progress=2)


class StoreFiles(Proof):
    """Files of a store: adding, listing, changing, removing; alone and in batches."""

    @proof
    async def test_a_file_is_added_as_given(self, store: Store, project: str) -> None:
        """A file keeps its attributes and how it is to be cut, and waits to be indexed."""
        made = await stored_store(store, project)
        given = new_store_file(
            made.key,
            await stored_file(store, project),
            T0 + DAY_MS,
            attributes={"a": 1.5, "b": True, "c": "x\x00"},
            chunking=Chunking(200, 0),
        )
        assert await store.add_store_file(project, given) == given
        assert await store.get_store_file(project, made.key, given.file) == given
        now = await store.get_vector_store(project, made.key)
        assert (now.counts, now.last_active_at) == (Counts(in_progress=1), T0 + DAY_MS)

    @proof
    async def test_what_cannot_be_added_changes_nothing(self, store: Store, project: str) -> None:
        """A missing file, a file twice, a file that is there: none of the files is added."""
        made = await stored_store(store, project, files=1)
        (there,) = await files_of(store, project, made.key)
        new = await stored_file(store, project)
        batch = FileBatch(new_key(T0), made.key, T0)
        missing = [new_store_file(made.key, file) for file in (new, "nobody")]
        error = await refusal(store.create_file_batch(project, batch, missing))
        assert isinstance(error, NotFound)
        assert (error.noun, error.id) == ("file", "nobody")
        for files in ((new, there.file), (new, new)):
            again = [new_store_file(made.key, file) for file in files]
            error = await refusal(store.create_file_batch(project, batch, again))
            taken = f"File 'file-{files[1]}' is already in vector store 'vs_{made.key}'."
            assert error.message == taken
        assert await files_of(store, project, made.key) == [there]
        assert (await store.get_vector_store(project, made.key)) == made
        missing_batch = store.get_file_batch(project, made.key, batch.key)
        assert await not_found(missing_batch) == ("file_batch", batch.key)

    @proof
    async def test_what_failed_is_tried_anew(self, store: Store, project: str) -> None:
        """A file that failed or was cancelled can be added again, with other settings."""
        made = await stored_store(store, project, files=1)
        claim = await claimed(store, project)
        error = {"code": "invalid_file", "message": "m"}
        assert await store.end_indexing(claim, "failed", error=error)
        failed = await store.get_store_file(project, made.key, claim.file)
        assert (failed.status, failed.error) == ("failed", error)
        again = new_store_file(made.key, claim.file, T0 + 1, attributes={"a": "b"})
        assert await store.add_store_file(project, again) == again
        now = await store.get_vector_store(project, made.key)
        assert now.counts == Counts(in_progress=1)

    @proof
    async def test_pages_of_store_files_are_true(self, store: Store, project: str) -> None:
        """Files are listed by when they were added, then key; also those in one status."""
        made = await stored_store(store, project)
        for time in (2, 1, 2, 3, 2):
            file = await stored_file(store, project)
            await store.add_store_file(project, new_store_file(made.key, file, T0 + time))
        await claimed(store, project)
        keys = [each.file for each in await files_of(store, project, made.key)]
        await prove_paging(
            lambda page: store.list_store_files(project, made.key, page, status="in_progress"),
            keys,
            lambda each: str(each.file),
        )
        none = await store.list_store_files(project, made.key, Page(), status="completed")
        assert none == ([], False)
        lost = store.list_store_files(project, made.key, Page(after="nobody"))
        assert await not_found(lost) == ("file", "nobody")

    @proof
    async def test_attributes_are_replaced(self, store: Store, project: str) -> None:
        """An update replaces the attributes as a whole."""
        made = await stored_store(store, project, files=1)
        (file,) = await files_of(store, project, made.key)
        now = await store.update_store_file(project, made.key, file.file, {"b": 2})
        assert now == msgspec.structs.replace(file, attributes={"b": 2})
        assert await files_of(store, project, made.key) == [now]

    @proof
    async def test_a_removed_file_is_gone(self, store: Store, project: str) -> None:
        """A removed file is in no list, count or search of the store, but still a file."""
        made = await stored_store(store, project, files=2)
        gone = await indexed(store, project, "alpha one")
        kept = await indexed(store, project, "alpha two")
        await store.remove_store_file(project, made.key, gone.file)
        for act in (
            store.get_store_file(project, made.key, gone.file),
            store.update_store_file(project, made.key, gone.file, {}),
            store.remove_store_file(project, made.key, gone.file),
        ):
            assert await not_found(act) == ("file", gone.file)
        assert [each.file for each in await files_of(store, project, made.key)] == [kept.file]
        found = await store.search_chunks(project, made.key, ["alpha"], 9)
        assert [each.file for each in found] == [kept.file]
        now = await store.get_vector_store(project, made.key)
        assert (now.counts, now.usage_bytes) == (Counts(completed=1), len("alpha two"))
        await store.get_file(project, gone.file, T0)

    @proof
    async def test_a_deleted_file_leaves_every_store(self, store: Store, project: str) -> None:
        """Deleting a file takes it out of all stores at once, counted, also while it is indexed."""
        stores = [await stored_store(store, project) for _ in range(2)]
        file = await stored_file(store, project)
        for each in stores:
            await store.add_store_file(project, new_store_file(each.key, file))
        await indexed(store, project, "alpha")
        claim = await claimed(store, project)
        await store.delete_file(project, file, T0)
        for each in stores:
            now = await store.get_vector_store(project, each.key)
            assert (now.counts, now.usage_bytes) == (Counts(), 0)
            assert await store.search_chunks(project, each.key, ["alpha"], 9) == []
        assert not await store.add_chunks(claim, chunks_of("alpha"))
        assert not await store.end_indexing(claim, "completed")

    @proof
    async def test_a_batch_counts_its_files(self, store: Store, project: str) -> None:
        """A batch counts and lists its own files, and is done when none is in progress."""
        made = await stored_store(store, project, files=1)
        await indexed(store, project, "x")
        batch = FileBatch(new_key(T0), made.key, T0)
        keys = [await stored_file(store, project) for _ in range(2)]
        new = [new_store_file(made.key, key, batch=batch.key) for key in keys]
        begun = await store.create_file_batch(project, batch, new)
        assert (begun.counts, begun.status) == (Counts(in_progress=2), "in_progress")
        await indexed(store, project, "y")
        await store.end_indexing(await claimed(store, project), "failed")
        done = await store.get_file_batch(project, made.key, batch.key)
        assert (done.counts, done.status) == (Counts(completed=1, failed=1), "completed")
        listed, _ = await store.list_store_files(project, made.key, Page(), batch=batch.key)
        assert {each.file for each in listed} == set(keys)
        assert await store.cancel_file_batch(project, made.key, batch.key) == done

    @proof
    async def test_a_cancelled_batch_indexes_no_more(self, store: Store, project: str) -> None:
        """Cancelling ends what is in progress, also for whoever works on it; the rest stays."""
        made = await stored_store(store, project)
        batch = FileBatch(new_key(T0), made.key, T0)
        keys = [await stored_file(store, project) for _ in range(3)]
        new = [new_store_file(made.key, key, batch=batch.key) for key in keys]
        await store.create_file_batch(project, batch, new)
        await indexed(store, project, "alpha")
        claim = await claimed(store, project)
        assert await store.add_chunks(claim, chunks_of("alpha"))
        now = await store.cancel_file_batch(project, made.key, batch.key)
        assert (now.counts, now.status) == (Counts(completed=1, cancelled=2), "cancelled")
        assert not await store.end_indexing(claim, "completed")
        counts = (await store.get_vector_store(project, made.key)).counts
        assert counts == Counts(completed=1, cancelled=2)
        assert len(await store.search_chunks(project, made.key, ["alpha"], 9)) == 1
