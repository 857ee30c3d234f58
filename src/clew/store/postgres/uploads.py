"""Uploads in PostgreSQL: parts that come apart and become one file."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict, replace

from clew.core.errors import NotFound
from clew.core.files import File, Part, Upload, assemble, check_pending, check_room, starts
from clew.store.once import Once
from clew.store.postgres.answers import PROJECT
from clew.store.postgres.blobs import BlobVerbs, find_blob
from clew.store.postgres.engine import Row, Transaction
from clew.store.postgres.files import insert_file


class UploadVerbs(BlobVerbs):
    async def create_upload(
        self, project: str, upload: Upload, *, once: Once | None = None
    ) -> Upload:
        async def act(tx: Transaction) -> Upload:
            row = asdict(upload)
            await tx.run("insert_upload", project=project, id=row.pop("key"), **row)
            return upload

        return await self.act_once(project, PROJECT, once, act, about=f"upload_{upload.key}")

    async def get_upload(self, project: str, upload: str) -> Upload:
        return _only(upload, await self.read("get_upload", project=project, upload=upload))

    async def add_part(
        self, project: str, part: Part, now_ms: int, *, once: Once | None = None
    ) -> Part:
        async def act(tx: Transaction) -> Part:
            upload = await _lock_pending(tx, project, part.upload, now_ms)
            bytes = await find_blob(tx, project, part.key)
            [(there,)] = await tx.run("parts_bytes", project=project, upload=part.upload)
            check_room(upload, there, bytes)
            await tx.run("give_blob_to_upload", blob=part.key, upload=part.upload)
            return replace(part, bytes=bytes)

        return await self.act_once(project, PROJECT, once, act, about=f"upload_{part.upload}")

    async def read_part(
        self, project: str, upload: str, part: str, start: int, length: int
    ) -> bytes:
        asked = {"project": project, "upload": upload}
        found = await self.read_range("read_part", asked | {"part": part}, start, length)
        if not found:
            _sizes([part], await self.read("find_parts", **asked, parts=[part]))
        return found

    async def complete_upload(
        self,
        project: str,
        upload: str,
        file: str,
        parts: Sequence[str],
        now_ms: int,
        *,
        once: Once | None = None,
    ) -> tuple[Upload, File]:
        async def act(tx: Transaction) -> tuple[Upload, File]:
            found = await _lock_pending(tx, project, upload, now_ms)
            asked = {"project": project, "upload": upload, "parts": list(parts)}
            sizes = _sizes(parts, await tx.run("find_parts", **asked))
            made = assemble(found, file, sizes, now_ms)
            await insert_file(tx, project, made, parts, starts(sizes))
            done = replace(found, status="completed", file=file)
            return await _end(tx, project, done), made

        outcome = await self.act_once(project, PROJECT, once, act, about=f"upload_{upload}")
        await self.remove_loose()
        return outcome

    async def cancel_upload(
        self, project: str, upload: str, now_ms: int, *, once: Once | None = None
    ) -> Upload:
        async def act(tx: Transaction) -> Upload:
            found = await _lock_pending(tx, project, upload, now_ms)
            return await _end(tx, project, replace(found, status="cancelled"))

        outcome = await self.act_once(project, PROJECT, once, act, about=f"upload_{upload}")
        await self.remove_loose()
        return outcome


async def _lock_pending(tx: Transaction, project: str, upload: str, now_ms: int) -> Upload:
    found = _only(upload, await tx.run("lock_upload", project=project, upload=upload))
    check_pending(found, now_ms)
    return found


async def _end(tx: Transaction, project: str, upload: Upload) -> Upload:
    """The upload is as given; parts it still has belong to nothing."""
    asked = {"project": project, "upload": upload.key}
    await tx.run("end_upload", **asked, status=upload.status, file=upload.file)
    await tx.run("loosen_parts", **asked)
    return upload


def _only(upload: str, rows: list[Row]) -> Upload:
    if not rows:
        raise NotFound("upload", upload)
    return Upload(*rows[0])


def _sizes(parts: Sequence[str], rows: list[Row]) -> list[int]:
    """The bytes of each of these parts, or NotFound for the first that was not found."""
    found: dict[str, int] = dict(rows)
    for part in parts:
        if part not in found:
            raise NotFound("part", part)
    return [found[part] for part in parts]
