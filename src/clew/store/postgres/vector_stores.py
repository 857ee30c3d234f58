"""Vector stores in PostgreSQL. Claiming and storing chunks is in chunks.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from clew.core.errors import NotFound
from clew.core.paging import Page, walk
from clew.core.vector_stores import (
    ACTIVE_STEP_MS,
    AT_WORK,
    Attributes,
    Chunking,
    Counts,
    FileBatch,
    StoreFile,
    VectorStore,
    already_there,
    check_additions,
    check_living,
)
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT
from clew.store.postgres.chunks import ChunkVerbs
from clew.store.postgres.engine import Row, Transaction, decode, text
from clew.store.postgres.pages import read_page, turned
from clew.store.postgres.store_files import (
    abandon,
    count,
    lock_store,
    only_store,
    to_store,
    unlink,
)


class VectorStoreVerbs(ChunkVerbs):
    async def create_vector_store(
        self,
        project: str,
        store: VectorStore,
        files: Sequence[StoreFile] = (),
        *,
        once: Once | None = None,
    ) -> VectorStore:
        async def act(tx: Transaction) -> VectorStore:
            await insert_store(tx, project, store, files)
            return await lock_store(tx, project, store.key)

        return await self.act_once(project, PROJECT, once, act, about=store.key)

    async def get_vector_store(self, project: str, store: str) -> VectorStore:
        return only_store(store, await self.read("get_vector_store", project=project, store=store))

    async def list_vector_stores(self, project: str, page: Page) -> tuple[list[VectorStore], bool]:
        steps = walk(page)
        rows = await read_page(self, "vector_store", page, steps, {"project": project})
        return turned([to_store(row) for row in rows], page, steps)

    async def update_vector_store(
        self, project: str, store: str, changes: dict[str, Any], *, once: Once | None = None
    ) -> VectorStore:
        async def act(tx: Transaction) -> VectorStore:
            was = await lock_store(tx, project, store)
            now = replace(was, **changes)
            change = {"expires_days": now.expires_days, "body": _body(now)}
            await tx.run("update_vector_store", project=project, store=store, **change)
            return now

        return await self.act_once(project, PROJECT, once, act, about=store)

    async def touch_vector_store(self, project: str, store: str, now_ms: int) -> VectorStore:
        was = await self.get_vector_store(project, store)
        check_living(was, now_ms)
        if now_ms - was.last_active_at < ACTIVE_STEP_MS:
            return was

        async def act(tx: Transaction) -> VectorStore:
            check_living(await lock_store(tx, project, store), now_ms)
            await tx.run("touch_vector_store", project=project, store=store, now=now_ms)
            return await lock_store(tx, project, store)

        return await self.write(act)

    async def delete_vector_store(self, project: str, store: str) -> None:
        scope = {"project": project, "store": store}

        async def act(tx: Transaction) -> None:
            await lock_store(tx, project, store)
            await unlink(tx, "remove_all_store_files", **scope)
            await tx.run("delete_file_batches", **scope)
            await tx.run("delete_vector_store", **scope)
            await tx.run("delete_answers", thread=store, project=project)

        await self.write(act)

    # files of a store

    async def add_store_file(
        self, project: str, file: StoreFile, *, once: Once | None = None
    ) -> StoreFile:
        async def act(tx: Transaction) -> StoreFile:
            await _add_files(tx, project, file.store, [file], file.created_at)
            return await _read_file(tx, project, file.store, file.file)

        return await self.act_once(project, PROJECT, once, act, about=file.store)

    async def create_file_batch(
        self,
        project: str,
        batch: FileBatch,
        files: Sequence[StoreFile],
        *,
        once: Once | None = None,
    ) -> FileBatch:
        scope = {"project": project, "store": batch.store, "batch": batch.key}

        async def act(tx: Transaction) -> FileBatch:
            await _add_files(tx, project, batch.store, files, batch.created_at)
            await tx.run("insert_file_batch", **scope, created_at=batch.created_at)
            return _to_batch(batch.store, batch.key, await tx.run("get_file_batch", **scope))

        return await self.act_once(project, PROJECT, once, act, about=batch.store)

    async def get_store_file(self, project: str, store: str, file: str) -> StoreFile:
        await self.get_vector_store(project, store)
        asked = {"project": project, "store": store, "file": file}
        return _only_file(store, file, await self.read("get_store_file", **asked))

    async def list_store_files(
        self,
        project: str,
        store: str,
        page: Page,
        *,
        status: str | None = None,
        batch: str | None = None,
    ) -> tuple[list[StoreFile], bool]:
        await self.get_vector_store(project, store)
        if batch is not None:
            await self.get_file_batch(project, store, batch)
        scope = {"project": project, "store": store, "status": status, "batch": batch}
        steps = walk(page)
        try:
            rows = await read_page(self, "store_file", page, steps, scope)
        except NotFound as missing:
            raise NotFound("file", missing.id) from None
        return turned([_to_file(store, row) for row in rows], page, steps)

    async def update_store_file(
        self,
        project: str,
        store: str,
        file: str,
        attributes: Attributes,
        *,
        once: Once | None = None,
    ) -> StoreFile:
        scope = {"project": project, "store": store, "file": file}

        async def act(tx: Transaction) -> StoreFile:
            await lock_store(tx, project, store)
            was = await _read_file(tx, project, store, file)
            await tx.run("update_store_file", **scope, attributes=text(attributes))
            return replace(was, attributes=attributes)

        return await self.act_once(project, PROJECT, once, act, about=store)

    async def remove_store_file(self, project: str, store: str, file: str) -> None:
        async def act(tx: Transaction) -> None:
            await lock_store(tx, project, store)
            await _read_file(tx, project, store, file)
            await unlink(tx, "remove_store_file", project, store=store, file=file)
            await tx.run("erase_answers", thread=store, project=project, item=f"file-{file}")

        await self.write(act)

    async def get_file_batch(self, project: str, store: str, batch: str) -> FileBatch:
        await self.get_vector_store(project, store)
        asked = {"project": project, "store": store, "batch": batch}
        return _to_batch(store, batch, await self.read("get_file_batch", **asked))

    async def cancel_file_batch(
        self, project: str, store: str, batch: str, *, once: Once | None = None
    ) -> FileBatch:
        scope = {"project": project, "store": store, "batch": batch}

        async def act(tx: Transaction) -> FileBatch:
            await lock_store(tx, project, store)
            was = _to_batch(store, batch, await tx.run("get_file_batch", **scope))
            if was.counts.in_progress:
                await _cancel(tx, project, store, batch)
            return _to_batch(store, batch, await tx.run("get_file_batch", **scope))

        return await self.act_once(project, PROJECT, once, act, about=store)


async def insert_store(
    tx: Transaction, project: str, store: VectorStore, files: Sequence[StoreFile]
) -> None:
    """A new store with its first files."""
    check_additions(store, files, store.created_at)
    await require_files(tx, project, [each.file for each in files], store.created_at)
    await tx.run(
        "insert_vector_store",
        project=project,
        store=store.key,
        created_at=store.created_at,
        last_active_at=store.last_active_at,
        expires_days=store.expires_days,
        body=_body(store),
    )
    await _insert_files(tx, project, store.key, files)


async def add_missing(
    tx: Transaction, project: str, store: str, files: Sequence[StoreFile], now_ms: int
) -> None:
    """Add those of the files that the store does not have; who calls holds the store's row."""
    keys = [each.file for each in files]
    present = await tx.run("present_files", project=project, store=store, files=keys)
    there = {file for file, status in present if status in AT_WORK}
    new = [replace(each, store=store) for each in files if each.file not in there]
    await require_files(tx, project, keys, now_ms)
    await _add_files(tx, project, store, new, now_ms)


async def require_files(tx: Transaction, project: str, files: Sequence[str], now_ms: int) -> None:
    """NotFound for the first of these files that is not there."""
    row = await tx.row("missing_file", project=project, files=list(files), now=now_ms)
    if row is not None:
        raise NotFound("file", row[0])


async def _add_files(
    tx: Transaction, project: str, store: str, files: Sequence[StoreFile], now_ms: int
) -> None:
    """Files that failed before make room for themselves."""
    check_additions(await lock_store(tx, project, store), files, now_ms)
    keys = [each.file for each in files]
    await require_files(tx, project, keys, now_ms)
    scope = {"project": project, "store": store}
    for file, status in await tx.run("present_files", **scope, files=keys):
        if status in AT_WORK:
            raise already_there(store, file)
        await unlink(tx, "remove_store_file", **scope, file=file)
    await _insert_files(tx, project, store, files)
    await tx.run("touch_vector_store", **scope, now=now_ms)


async def _insert_files(
    tx: Transaction, project: str, store: str, files: Sequence[StoreFile]
) -> None:
    if files:
        rows = text([_file_row(each) for each in files])
        await tx.run("insert_store_files", project=project, store=store, files=rows)
        await count(tx, project, store, "in_progress", len(files))


def _file_row(file: StoreFile) -> dict[str, Any]:
    return {
        "file": file.file,
        "created_at": file.created_at,
        "batch": file.batch,
        "attributes": text(file.attributes),
        "tokens": file.chunking.tokens,
        "overlap": file.chunking.overlap,
    }


async def _cancel(tx: Transaction, project: str, store: str, batch: str) -> None:
    scope = {"project": project, "store": store, "batch": batch}
    await tx.run("cancel_file_batch", **scope)
    bodies = await tx.run("cancel_batch_files", **scope)
    await count(tx, project, store, "in_progress", -len(bodies))
    await count(tx, project, store, "cancelled", len(bodies))
    for (body,) in bodies:
        await abandon(tx, body)


async def _read_file(tx: Transaction, project: str, store: str, file: str) -> StoreFile:
    rows = await tx.run("get_store_file", project=project, store=store, file=file)
    return _only_file(store, file, rows)


def _only_file(store: str, file: str, rows: list[Row]) -> StoreFile:
    if not rows:
        raise NotFound("file", file)
    return _to_file(store, rows[0])


def _body(store: VectorStore) -> str:
    return text([store.name, store.description, store.metadata])


def _to_batch(store: str, batch: str, rows: list[Row]) -> FileBatch:
    if not rows:
        raise NotFound("file_batch", batch)
    created_at, cancelled, _, _ = rows[0]
    counts = Counts(**{status: count for _, _, status, count in rows if status})
    return FileBatch(batch, store, created_at, cancelled, counts)


def _to_file(store: str, row: Row) -> StoreFile:
    file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error = row
    return StoreFile(
        store,
        file,
        created_at,
        decode(attributes),
        Chunking(tokens, overlap),
        batch,
        status,
        usage_bytes,
        None if error is None else decode(error),
    )
