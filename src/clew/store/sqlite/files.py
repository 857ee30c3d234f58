"""Files in SQLite: a row each, and the blobs that are its content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import apsw
from msgspec.structs import asdict, replace

from clew.core.errors import NotFound
from clew.core.files import LOOSE_KEPT_MS, File
from clew.core.paging import Page
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.blobs import BlobVerbs, find_blob, read_range
from clew.store.sqlite.engine import SQL
from clew.store.sqlite.failures import reads
from clew.store.sqlite.grants import missing
from clew.store.sqlite.pages import read_page
from clew.store.sqlite.store_files import unlink

AT_ONCE = 8
"""Files or uploads swept in one transaction."""


class FileVerbs(BlobVerbs):
    """Files: made of blobs, read, listed, deleted and swept."""

    async def create_file(
        self, project: str, file: File, blob: str, *, once: Once | None = None
    ) -> File:
        def act() -> File:
            replay(self.db, project, PROJECT, once)
            bytes = find_blob(self.db, project, blob)
            made = replace(file, bytes=bytes)
            insert_file(self.db, project, made, [blob], [0])
            record(self.db, project, PROJECT, once, made, about=f"file-{file.key}")
            return made

        return await self.write(act)

    @reads
    async def get_file(self, project: str, file: str, now_ms: int) -> File:
        asked = {"project": project, "file": file, "now": now_ms}
        row: Any = self.snapshot().execute(SQL["get_file"], asked).fetchone()
        if row is None:
            raise NotFound("file", file)
        return File(*row)

    @reads
    async def list_files(
        self, project: str, page: Page, now_ms: int, *, purpose: str | None = None
    ) -> tuple[list[File], bool]:
        scope = {"project": project, "now": now_ms, "purpose": purpose}
        prefix = "" if purpose is None else "purpose_"
        rows, more = read_page(self.snapshot(), "file", page, scope, prefix)
        return [File(*row) for row in rows], more

    @reads
    async def missing_files(self, project: str, files: Sequence[str], now_ms: int) -> set[str]:
        return missing(self.snapshot(), project, files, now_ms)

    @reads
    async def read_file(self, project: str, file: str, start: int, length: int) -> bytes:
        asked = {"project": project, "file": file}
        found = read_range(self.snapshot(), "read_file", asked, start, length)
        if not found:
            await self.get_file(project, file, 0)
        return found

    async def delete_file(self, project: str, file: str, now_ms: int) -> None:
        def act() -> None:
            asked = {"project": project, "file": file, "now": now_ms}
            if self.db.execute(SQL["delete_file"], asked).fetchone() is None:
                raise NotFound("file", file)
            _let_go(self.db, project, file)

        await self.write(act, scrub=True)
        await self.remove_loose()

    @reads
    async def sweep_files(self, now_ms: int) -> None:
        times = {"now": now_ms, "forget": now_ms - LOOSE_KEPT_MS, "limit": AT_ONCE}
        while self.snapshot().execute(SQL["expired_files"], times).fetchone() is not None:
            await self.write(partial(_sweep_files, self.db, times), scrub=True)
        while self.snapshot().execute(SQL["expired_uploads"], times).fetchone() is not None:
            await self.write(partial(_sweep_uploads, self.db, times), scrub=True)
        await self.remove_loose(times["forget"])


def insert_file(
    db: apsw.Connection, project: str, file: File, blobs: Sequence[str], starts: Sequence[int]
) -> None:
    """The row of a file; these blobs are its content, each from a place on."""
    db.execute(SQL["insert_file"], {"project": project, **asdict(file)})
    places = zip(blobs, starts, strict=True)
    given = [{"blob": blob, "file": file.key, "start": start} for blob, start in places]
    db.executemany(SQL["give_blob_to_file"], given)


def _let_go(db: apsw.Connection, project: str, file: str) -> None:
    """What goes with a file's row: its bytes, its upload, what was answered about the two.

    A file in a vector store leaves it here, in the same transaction.
    """
    asked = {"project": project, "file": file}
    unlink(db, "remove_file_from_stores", **asked)
    db.execute(SQL["loosen_file"], asked)
    uploads: list[Any] = db.execute(SQL["upload_of_file"], asked).fetchall()
    for (upload,) in uploads:
        forget_upload(db, project, upload)
    db.execute(SQL["silence_answers"], {"project": project, "about": f"file-{file}"})


def forget_upload(db: apsw.Connection, project: str, upload: str) -> None:
    db.execute(SQL["delete_upload"], {"project": project, "upload": upload})
    db.execute(SQL["silence_answers"], {"project": project, "about": f"upload_{upload}"})


def _sweep_files(db: apsw.Connection, times: dict[str, int]) -> None:
    """Let go of some files that have expired."""
    expired: list[Any] = db.execute(SQL["expired_files"], times).fetchall()
    for project, file in expired:
        db.execute(SQL["delete_file"], {"project": project, "file": file, "now": 0}).fetchall()
        _let_go(db, project, file)


def _sweep_uploads(db: apsw.Connection, times: dict[str, int]) -> None:
    """End some uploads that have expired, or forget them."""
    expired: list[Any] = db.execute(SQL["expired_uploads"], times).fetchall()
    for project, upload, forgotten in expired:
        asked = {"project": project, "upload": upload}
        db.execute(SQL["loosen_parts"], asked)
        if forgotten:
            forget_upload(db, project, upload)
        else:
            db.execute(SQL["end_upload"], asked | {"status": "expired", "file": None})
