"""Files: bytes that people keep here; and uploads, which make one file of parts sent apart."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.core.errors import BadRequest

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
"""What a file may be for, in the order OpenAI names them."""

FILE_BYTES_MAX = 512 * 2**20
PART_BYTES_MAX = 64 * 2**20
UPLOAD_BYTES_MAX = 8 * 2**30
PIECE_BYTES_MAX = 256 * 2**10
"""The most that is read or written at a time: what the event loop can spare."""

UPLOAD_EXPIRES_AFTER_MS = 3_600_000
LOOSE_KEPT_MS = 86_400_000
"""How long bytes that belong to nothing are left to whoever may still be sending more."""

_EXPIRES_AFTER_MS = {"batch": 30 * 86_400_000}


class File(msgspec.Struct):
    """A file. `bytes` is the engine's: counted, never told. Times are milliseconds since 1970."""

    key: str
    created_at: int
    filename: str
    purpose: str
    bytes: int = 0
    expires_at: int | None = None


class Part(msgspec.Struct):
    """Some of the bytes of an upload; its key is that of the blob that holds them."""

    key: str
    upload: str
    created_at: int
    bytes: int = 0


class Upload(msgspec.Struct):
    """A file in the making. `bytes` is what its parts must come to; `file` is the key it became.

    `file_expires_after_ms` counts from the day the file is made; None leaves it to the purpose.
    """

    key: str
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    bytes: int
    mime_type: str
    file_expires_after_ms: int | None = None
    status: str = "pending"
    file: str | None = None


def new_file(
    key: str, now_ms: int, filename: str, purpose: str, expires_after_ms: int | None = None
) -> File:
    """A file made now; where nobody says when it ends, its purpose does."""
    if expires_after_ms is None:
        expires_after_ms = _EXPIRES_AFTER_MS.get(purpose)
    expires_at = None if expires_after_ms is None else now_ms + expires_after_ms
    return File(key, now_ms, filename, purpose, expires_at=expires_at)


def check_pending(upload: Upload, now_ms: int) -> None:
    """Parts can be added and put together until the upload is completed, cancelled or expired."""
    status = upload.status
    if status == "pending" and upload.expires_at <= now_ms:
        status = "expired"
    if status != "pending":
        message = f"Upload upload_{upload.key} is {status}; only a pending upload can be changed."
        raise BadRequest(message, "upload_id", f"upload_{status}")


def check_room(upload: Upload, bytes_now: int, bytes_more: int) -> None:
    """An upload's parts, whether they will be used or not, have an end too."""
    if bytes_now + bytes_more > UPLOAD_BYTES_MAX:
        message = f"The parts of an upload can be at most {UPLOAD_BYTES_MAX} bytes together."
        raise BadRequest(message, "data", "upload_too_large")


def assemble(upload: Upload, key: str, sizes: Sequence[int], now_ms: int) -> File:
    """The file that parts of these sizes make; they must come to what the upload said."""
    total = sum(sizes)
    if total != upload.bytes:
        message = (
            f"The parts have {total} bytes together, but the upload was created with "
            f"'bytes' {upload.bytes}. The two must be equal."
        )
        raise BadRequest(message, "part_ids", "bytes_mismatch")
    file = new_file(key, now_ms, upload.filename, upload.purpose, upload.file_expires_after_ms)
    return msgspec.structs.replace(file, bytes=total)


def starts(sizes: Sequence[int]) -> list[int]:
    """Where in the file each part begins."""
    places = [0]
    for size in sizes:
        places.append(places[-1] + size)
    return places[:-1]
