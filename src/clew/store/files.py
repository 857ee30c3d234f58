"""Files and uploads: bytes that people keep here, in pieces.

A **blob** is the bytes of one request, written as they come in pieces of at most `PIECE_BYTES_MAX`.
It belongs to nothing until it becomes the content of a file, or a part of an upload; completing an
upload hands its parts' blobs to the file in order, and copies nothing. So a file is there with all
its bytes or not at all, and what a broken upload left can be swept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clew.core.files import File, Part, Upload
from clew.core.paging import Page
from clew.store.once import Once


class FileVerbs(Protocol):
    """Raises `NotFound` for files, uploads, parts and blobs, and what `Store` says."""

    # blobs

    async def write_blob(self, project: str, blob: str, data: bytes, now_ms: int) -> int:
        """Append a piece (at most `PIECE_BYTES_MAX`) to a blob; returns the bytes it has now.

        The first piece, which may be empty, makes the blob. ClewError("conflict") once it belongs
        to a file or an upload, or is being removed.
        """
        ...

    async def drop_blob(self, project: str, blob: str) -> None:
        """Remove for good a blob that belongs to nothing; nothing happens if there is none."""
        ...

    # files

    async def create_file(
        self, project: str, file: File, blob: str, *, once: Once | None = None
    ) -> File:
        """A new file with this blob as its content. Returns it with its bytes counted."""
        ...

    async def get_file(self, project: str, file: str, now_ms: int) -> File:
        """The file, unless it has expired."""
        ...

    async def list_files(
        self, project: str, page: Page, now_ms: int, *, purpose: str | None = None
    ) -> tuple[list[File], bool]:
        """By creation (then key), without those that have expired. The page may hold up to 10,000.

        An unknown cursor is NotFound("file").
        """
        ...

    async def missing_files(self, project: str, files: Sequence[str], now_ms: int) -> set[str]:
        """Those of these files that `get_file` would not find."""
        ...

    async def read_file(self, project: str, file: str, start: int, length: int) -> bytes:
        """The bytes of the file from `start` on: `length` of them, or fewer at its end.

        It does not look at the clock: who reads has asked `get_file`. Reading along in steps of
        `PIECE_BYTES_MAX` from 0 costs least.
        """
        ...

    async def delete_file(self, project: str, file: str, now_ms: int) -> None:
        """Remove the file, its bytes and the upload it came from for good, from vector stores too.

        It is not found from the first moment; its bytes are gone when this returns.
        """
        ...

    # uploads

    async def create_upload(
        self, project: str, upload: Upload, *, once: Once | None = None
    ) -> Upload: ...

    async def get_upload(self, project: str, upload: str) -> Upload: ...

    async def add_part(
        self, project: str, part: Part, now_ms: int, *, once: Once | None = None
    ) -> Part:
        """Make the blob with the part's key a part of the part's upload; returns it, counted.

        BadRequest unless the upload is pending and has room.
        """
        ...

    async def read_part(
        self, project: str, upload: str, part: str, start: int, length: int
    ) -> bytes:
        """What `read_file` is to a file, for a part of an upload that is not complete."""
        ...

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
        """Make a file with the key `file` of these different parts, in the order given.

        Other parts of the upload are removed for good. BadRequest unless the upload is pending and
        the bytes of the parts come to what it said; NotFound("part") for one it does not have.
        """
        ...

    async def cancel_upload(
        self, project: str, upload: str, now_ms: int, *, once: Once | None = None
    ) -> Upload:
        """End a pending upload (else BadRequest); its parts are removed for good."""
        ...

    # what time does

    async def sweep_files(self, now_ms: int) -> None:
        """Remove for good, in every project, the files that have expired, the parts of uploads
        that have, and blobs that belong to nothing and have not grown for a day."""
        ...
