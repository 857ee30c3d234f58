"""Vector stores in SQLite. Claiming and storing chunks is in chunks.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec.structs import replace

from clew.core.errors import NotFound
from clew.core.paging import Page
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
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.chunks import ChunkVerbs
from clew.store.sqlite.engine import SQL, decode, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.pages import read_page
from clew.store.sqlite.store_files import abandon, count, find_store, to_store, unlink


class VectorStoreVerbs(ChunkVerbs):
    async def create_vector_store(
        self,
        project: str,
        store: VectorStore,
        files: Sequence[StoreFile] = (),
        *,
        once: Once | None = None,
    ) -> VectorStore:
        def act() -> VectorStore:
            replay(self.db, project, PROJECT, once)
            insert_store(self.db, project, store, files)
            _, made = find_store(self.db, project, store.key)
            record(self.db, project, PROJECT, once, made, store.key)
            return made

        return await self.write(act)

    @reads
    async def get_vector_store(self, project: str, store: str) -> VectorStore:
        return find_store(self.snapshot(), project, store)[1]

    @reads
    async def list_vector_stores(self, project: str, page: Page) -> tuple[list[VectorStore], bool]:
        rows, more = read_page(self.snapshot(), "vector_store", page, {"project": project})
        return [to_store(row) for row in rows], more

    async def update_vector_store(
        self, project: str, store: str, changes: dict[str, Any], *, once: Once | None = None
    ) -> VectorStore:
        def act() -> VectorStore:
            replay(self.db, project, PROJECT, once)
            no, was = find_store(self.db, project, store)
            now = replace(was, **changes)
            change = {"no": no, "expires_days": now.expires_days, "body": _body(now)}
            self.db.execute(SQL["update_vector_store"], change)
            record(self.db, project, PROJECT, once, now, store)
            return now

        return await self.write(act)

    async def touch_vector_store(self, project: str, store: str, now_ms: int) -> VectorStore:
        was = await self.get_vector_store(project, store)
        check_living(was, now_ms)
        if now_ms - was.last_active_at < ACTIVE_STEP_MS:
            return was

        def act() -> VectorStore:
            no, found = find_store(self.db, project, store)
            check_living(found, now_ms)
            self.db.execute(SQL["touch_vector_store"], {"no": no, "now": now_ms})
            return find_store(self.db, project, store)[1]

        return await self.write(act)

    async def delete_vector_store(self, project: str, store: str) -> None:
        def act() -> None:
            no, _ = find_store(self.db, project, store)
            unlink(self.db, "remove_all_store_files", no=no)
            self.db.execute(SQL["delete_file_batches"], {"no": no})
            self.db.execute(SQL["delete_vector_store"], {"no": no})
            self.db.execute(SQL["delete_answers"], {"thread": store, "project": project})

        await self.write(act, scrub=True)

    # files of a store

    async def add_store_file(
        self, project: str, file: StoreFile, *, once: Once | None = None
    ) -> StoreFile:
        def act() -> StoreFile:
            replay(self.db, project, PROJECT, once)
            no = _add_files(self.db, project, file.store, [file], file.created_at)
            made = _read_file(self.db, no, file.store, file.file)
            record(self.db, project, PROJECT, once, made, file.store)
            return made

        return await self.write(act)

    async def create_file_batch(
        self,
        project: str,
        batch: FileBatch,
        files: Sequence[StoreFile],
        *,
        once: Once | None = None,
    ) -> FileBatch:
        def act() -> FileBatch:
            replay(self.db, project, PROJECT, once)
            no = _add_files(self.db, project, batch.store, files, batch.created_at)
            row = {"no": no, "batch": batch.key, "created_at": batch.created_at}
            self.db.execute(SQL["insert_file_batch"], row)
            made = _read_batch(self.db, no, batch.store, batch.key)
            record(self.db, project, PROJECT, once, made, batch.store)
            return made

        return await self.write(act)

    @reads
    async def get_store_file(self, project: str, store: str, file: str) -> StoreFile:
        db = self.snapshot()
        return _read_file(db, find_store(db, project, store)[0], store, file)

    @reads
    async def list_store_files(
        self,
        project: str,
        store: str,
        page: Page,
        *,
        status: str | None = None,
        batch: str | None = None,
    ) -> tuple[list[StoreFile], bool]:
        db = self.snapshot()
        no, _ = find_store(db, project, store)
        if batch is not None:
            _read_batch(db, no, store, batch)
        try:
            scope = {"no": no, "status": status, "batch": batch}
            rows, more = read_page(db, "store_file", page, scope)
        except NotFound as missing:
            raise NotFound("file", missing.id) from None
        return [_to_file(store, row) for row in rows], more

    async def update_store_file(
        self,
        project: str,
        store: str,
        file: str,
        attributes: Attributes,
        *,
        once: Once | None = None,
    ) -> StoreFile:
        def act() -> StoreFile:
            replay(self.db, project, PROJECT, once)
            no, _ = find_store(self.db, project, store)
            was = _read_file(self.db, no, store, file)
            change = {"no": no, "file": file, "attributes": text(attributes)}
            self.db.execute(SQL["update_store_file"], change)
            now = replace(was, attributes=attributes)
            record(self.db, project, PROJECT, once, now, store)
            return now

        return await self.write(act)

    async def remove_store_file(self, project: str, store: str, file: str) -> None:
        def act() -> None:
            no, _ = find_store(self.db, project, store)
            _read_file(self.db, no, store, file)
            unlink(self.db, "remove_store_file", no=no, file=file)
            shown = {"thread": store, "project": project, "item": f"file-{file}"}
            self.db.execute(SQL["erase_answers"], shown)

        await self.write(act, scrub=True)

    @reads
    async def get_file_batch(self, project: str, store: str, batch: str) -> FileBatch:
        db = self.snapshot()
        return _read_batch(db, find_store(db, project, store)[0], store, batch)

    async def cancel_file_batch(
        self, project: str, store: str, batch: str, *, once: Once | None = None
    ) -> FileBatch:
        def act() -> FileBatch:
            replay(self.db, project, PROJECT, once)
            no, _ = find_store(self.db, project, store)
            if _read_batch(self.db, no, store, batch).counts.in_progress:
                _cancel(self.db, no, batch)
            now = _read_batch(self.db, no, store, batch)
            record(self.db, project, PROJECT, once, now, store)
            return now

        return await self.write(act)


def insert_store(
    db: apsw.Connection, project: str, store: VectorStore, files: Sequence[StoreFile]
) -> None:
    """A new store with its first files."""
    check_additions(store, files, store.created_at)
    require_files(db, project, [each.file for each in files], store.created_at)
    row = {
        "project": project,
        "key": store.key,
        "created_at": store.created_at,
        "last_active_at": store.last_active_at,
        "expires_days": store.expires_days,
        "body": _body(store),
    }
    db.execute(SQL["insert_vector_store"], row)
    _insert_files(db, project, db.last_insert_rowid(), files)


def add_missing(
    db: apsw.Connection, project: str, store: str, files: Sequence[StoreFile], now_ms: int
) -> None:
    """Add those of the files that the store does not have."""
    no, _ = find_store(db, project, store)
    there = {file for file, status in _present(db, no, files) if status in AT_WORK}
    new = [replace(each, store=store) for each in files if each.file not in there]
    require_files(db, project, [each.file for each in files], now_ms)
    _add_files(db, project, store, new, now_ms)


def require_files(db: apsw.Connection, project: str, files: Sequence[str], now_ms: int) -> None:
    """NotFound for the first of these files that is not there."""
    asked = {"project": project, "files": text(files), "now": now_ms}
    row = db.execute(SQL["missing_file"], asked).fetchone()
    if row is not None:
        raise NotFound("file", row[0])


def _add_files(
    db: apsw.Connection, project: str, store: str, files: Sequence[StoreFile], now_ms: int
) -> int:
    """Check first, then change: files that failed before make room for themselves."""
    no, found = find_store(db, project, store)
    check_additions(found, files, now_ms)
    require_files(db, project, [each.file for each in files], now_ms)
    present = _present(db, no, files)
    for file, status in present:
        if status in AT_WORK:
            raise already_there(store, file)
    for file, _ in present:
        unlink(db, "remove_store_file", no=no, file=file)
    _insert_files(db, project, no, files)
    db.execute(SQL["touch_vector_store"], {"no": no, "now": now_ms})
    return no


def _present(db: apsw.Connection, no: int, files: Sequence[StoreFile]) -> list[Any]:
    """Those of the files that the store has, each with its status."""
    keys = text([each.file for each in files])
    return db.execute(SQL["present_files"], {"no": no, "files": keys}).fetchall()


def _insert_files(db: apsw.Connection, project: str, no: int, files: Sequence[StoreFile]) -> None:
    if files:
        rows = [_file_row(each) for each in files]
        db.execute(SQL["insert_store_files"], {"no": no, "project": project, "files": text(rows)})
        count(db, no, "in_progress", len(files))


def _file_row(file: StoreFile) -> dict[str, Any]:
    return {
        "file": file.file,
        "created_at": file.created_at,
        "batch": file.batch,
        "attributes": text(file.attributes),
        "tokens": file.chunking.tokens,
        "overlap": file.chunking.overlap,
    }


def _cancel(db: apsw.Connection, no: int, batch: str) -> None:
    asked = {"no": no, "batch": batch}
    db.execute(SQL["cancel_file_batch"], asked)
    rows: list[Any] = db.execute(SQL["cancel_batch_files"], asked).fetchall()
    count(db, no, "in_progress", -len(rows))
    count(db, no, "cancelled", len(rows))
    for (body,) in rows:
        abandon(db, body)


def _read_file(db: apsw.Connection, no: int, store: str, file: str) -> StoreFile:
    row = db.execute(SQL["get_store_file"], {"no": no, "file": file}).fetchone()
    if row is None:
        raise NotFound("file", file)
    return _to_file(store, row)


def _read_batch(db: apsw.Connection, no: int, store: str, batch: str) -> FileBatch:
    rows: list[Any] = db.execute(SQL["get_file_batch"], {"no": no, "batch": batch}).fetchall()
    if not rows:
        raise NotFound("file_batch", batch)
    created_at, cancelled, _, _ = rows[0]
    counts = Counts(**{status: count for _, _, status, count in rows if status})
    return FileBatch(batch, store, created_at, bool(cancelled), counts)


def _body(store: VectorStore) -> str:
    return text([store.name, store.description, store.metadata])


def _to_file(store: str, row: tuple[Any, ...]) -> StoreFile:
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
