"""Uploads in SQLite: parts that come apart and become one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
from msgspec.structs import asdict, replace

from clew.core.errors import NotFound
from clew.core.files import File, Part, Upload, assemble, check_pending, check_room, starts
from clew.store.once import Once
from clew.store.sqlite.answers import PROJECT, record, replay
from clew.store.sqlite.blobs import BlobVerbs, find_blob, read_range
from clew.store.sqlite.engine import SQL, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.files import insert_file


class UploadVerbs(BlobVerbs):
    async def create_upload(
        self, project: str, upload: Upload, *, once: Once | None = None
    ) -> Upload:
        def act() -> Upload:
            replay(self.db, project, PROJECT, once)
            self.db.execute(SQL["insert_upload"], {"project": project, **asdict(upload)})
            record(self.db, project, PROJECT, once, upload, about=f"upload_{upload.key}")
            return upload

        return await self.write(act)

    @reads
    async def get_upload(self, project: str, upload: str) -> Upload:
        return _read(self.snapshot(), project, upload)

    async def add_part(
        self, project: str, part: Part, now_ms: int, *, once: Once | None = None
    ) -> Part:
        def act() -> Part:
            replay(self.db, project, PROJECT, once)
            upload = _read(self.db, project, part.upload)
            check_pending(upload, now_ms)
            bytes = find_blob(self.db, project, part.key)
            asked = {"project": project, "upload": part.upload}
            there: Any = self.db.execute(SQL["parts_bytes"], asked).fetchone()
            check_room(upload, there[0], bytes)
            self.db.execute(SQL["give_blob_to_upload"], {"blob": part.key, "upload": part.upload})
            added = replace(part, bytes=bytes)
            record(self.db, project, PROJECT, once, added, about=f"upload_{part.upload}")
            return added

        return await self.write(act)

    @reads
    async def read_part(
        self, project: str, upload: str, part: str, start: int, length: int
    ) -> bytes:
        asked = {"project": project, "upload": upload, "part": part}
        found = read_range(self.snapshot(), "read_part", asked, start, length)
        if not found:
            _sizes(self.snapshot(), project, upload, [part])
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
        def act() -> tuple[Upload, File]:
            replay(self.db, project, PROJECT, once)
            found = _read(self.db, project, upload)
            check_pending(found, now_ms)
            sizes = _sizes(self.db, project, upload, parts)
            made = assemble(found, file, sizes, now_ms)
            insert_file(self.db, project, made, parts, starts(sizes))
            done = self._end(project, replace(found, status="completed", file=file))
            record(self.db, project, PROJECT, once, (done, made), about=f"upload_{upload}")
            return done, made

        outcome = await self.write(act)
        await self.remove_loose()
        return outcome

    async def cancel_upload(
        self, project: str, upload: str, now_ms: int, *, once: Once | None = None
    ) -> Upload:
        def act() -> Upload:
            replay(self.db, project, PROJECT, once)
            found = _read(self.db, project, upload)
            check_pending(found, now_ms)
            done = self._end(project, replace(found, status="cancelled"))
            record(self.db, project, PROJECT, once, done, about=f"upload_{upload}")
            return done

        outcome = await self.write(act)
        await self.remove_loose()
        return outcome

    def _end(self, project: str, upload: Upload) -> Upload:
        """Inside a write: the upload is as given; parts it still has belong to nothing."""
        asked = {"project": project, "upload": upload.key}
        ended = asked | {"status": upload.status, "file": upload.file}
        self.db.execute(SQL["end_upload"], ended)
        self.db.execute(SQL["loosen_parts"], asked)
        return upload


def _read(db: apsw.Connection, project: str, upload: str) -> Upload:
    asked = {"project": project, "upload": upload}
    row: Any = db.execute(SQL["get_upload"], asked).fetchone()
    if row is None:
        raise NotFound("upload", upload)
    return Upload(*row)


def _sizes(db: apsw.Connection, project: str, upload: str, parts: Sequence[str]) -> list[int]:
    """The bytes of each of these parts of an upload, or NotFound for the first it has not."""
    asked = {"project": project, "upload": upload, "parts": text(list(parts))}
    rows: list[Any] = db.execute(SQL["find_parts"], asked).fetchall()
    found: dict[str, int] = dict(rows)
    for part in parts:
        if part not in found:
            raise NotFound("part", part)
    return [found[part] for part in parts]
