"""Files in PostgreSQL: a row each, and the blobs that are its content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import asdict, replace

from clew.core.errors import NotFound
from clew.core.files import LOOSE_KEPT_MS, File
from clew.core.paging import Page, walk
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT
from clew.store.postgres.blobs import BlobVerbs, find_blob
from clew.store.postgres.engine import Transaction
from clew.store.postgres.pages import read_page, turned
from clew.store.postgres.store_files import unlink

AT_ONCE = 64
"""Files or uploads swept in one transaction."""


class FileVerbs(BlobVerbs):
    async def create_file(
        self, project: str, file: File, blob: str, *, once: Once | None = None
    ) -> File:
        async def act(tx: Transaction) -> File:
            made = replace(file, bytes=await find_blob(tx, project, blob))
            await insert_file(tx, project, made, [blob], [0])
            return made

        return await self.act_once(project, PROJECT, once, act, about=f"file-{file.key}")

    async def get_file(self, project: str, file: str, now_ms: int) -> File:
        for row in await self.read("get_file", project=project, file=file, now=now_ms):
            return File(*row)
        raise NotFound("file", file)

    async def list_files(
        self, project: str, page: Page, now_ms: int, *, purpose: str | None = None
    ) -> tuple[list[File], bool]:
        scope = {"project": project, "now": now_ms, "purpose": purpose}
        prefix = "" if purpose is None else "purpose_"
        steps = walk(page)
        rows = await read_page(self, "file", page, steps, scope, prefix)
        return turned([File(*row) for row in rows], page, steps)

    async def missing_files(self, project: str, files: Sequence[str], now_ms: int) -> set[str]:
        if not files:
            return set()
        rows = await self.read("find_files", project=project, files=list(files), now=now_ms)
        return set(files) - {str(key) for (key,) in rows}

    async def read_file(self, project: str, file: str, start: int, length: int) -> bytes:
        asked = {"project": project, "file": file}
        found = await self.read_range("read_file", asked, start, length)
        if not found:
            await self.get_file(project, file, 0)
        return found

    async def delete_file(self, project: str, file: str, now_ms: int) -> None:
        async def act(tx: Transaction) -> None:
            if await tx.row("delete_file", project=project, file=file, now=now_ms) is None:
                raise NotFound("file", file)
            await _let_go(tx, project, file)

        await self.write(act)
        await self.remove_loose()

    async def sweep_files(self, now_ms: int) -> None:
        forget = now_ms - LOOSE_KEPT_MS
        for sweep in (_sweep_files, _sweep_uploads):
            while await self.write(partial(sweep, now=now_ms, forget=forget)) == AT_ONCE:
                pass
        await self.remove_loose(forget)


async def insert_file(
    tx: Transaction, project: str, file: File, blobs: Sequence[str], starts: Sequence[int]
) -> None:
    """The row of a file; these blobs are its content, each from a place on."""
    row = asdict(file)
    await tx.run("insert_file", project=project, id=row.pop("key"), **row)
    await tx.run("give_blob_to_file", file=file.key, blobs=list(blobs), starts=list(starts))


async def _let_go(tx: Transaction, project: str, file: str) -> None:
    """What goes with a file's row: its bytes, its upload, what was answered about the two.

    A file in a vector store leaves it here, in the same transaction.
    """
    await unlink(tx, "remove_file_from_stores", project, file=file)
    await tx.run("loosen_file", project=project, file=file)
    for (upload,) in await tx.run("upload_of_file", project=project, file=file):
        await forget_upload(tx, project, upload)
    await tx.run("silence_answers", project=project, about=f"file-{file}")


async def forget_upload(tx: Transaction, project: str, upload: str) -> None:
    await tx.run("delete_upload", project=project, upload=upload)
    await tx.run("silence_answers", project=project, about=f"upload_{upload}")


async def _sweep_files(tx: Transaction, *, now: int, forget: int) -> int:
    """Let go of some files that have expired: how many."""
    expired = await tx.run("expired_files", now=now, limit=AT_ONCE)
    for project, file in expired:
        await tx.run("delete_file", project=project, file=file, now=0)
        await _let_go(tx, project, file)
    return len(expired)


async def _sweep_uploads(tx: Transaction, *, now: int, forget: int) -> int:
    """End some uploads that have expired, or forget them: how many."""
    expired = await tx.run("expired_uploads", now=now, forget=forget, limit=AT_ONCE)
    for project, upload, forgotten in expired:
        asked = {"project": project, "upload": upload}
        await tx.run("loosen_parts", **asked)
        if forgotten:
            await forget_upload(tx, project, upload)
        else:
            await tx.run("end_upload", **asked, status="expired", file=None)
    return len(expired)
