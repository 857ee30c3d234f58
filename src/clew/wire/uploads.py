"""Uploads on the wire: a file in the making, and its parts."""

from __future__ import annotations

from typing import Any

from clew.core.files import (
    UPLOAD_BYTES_MAX,
    UPLOAD_EXPIRES_AFTER_MS,
    File,
    Part,
    Upload,
)
from clew.core.ids import key_of, new_key
from clew.wire import refusals
from clew.wire.checks import Id, Integer, ListOf, Record, Text
from clew.wire.fields import seconds
from clew.wire.files import EXPIRES_AFTER, PURPOSE, encode_file, expires_after_ms
from clew.wire.multipart import FILENAME_MAX, FileBytes, check_filename

PARTS_MAX = 10_000

CREATE = Record(
    {
        "bytes": Integer(0, UPLOAD_BYTES_MAX),
        "filename": Text(FILENAME_MAX, 1, nul=False),
        "mime_type": Text(255, 1, nul=False),
        "purpose": PURPOSE,
        "expires_after": EXPIRES_AFTER,
    },
    required=("bytes", "filename", "mime_type", "purpose"),
)
PART = Record({"data": FileBytes()}, required=("data",))
COMPLETE = Record({"part_ids": ListOf(Id(), PARTS_MAX), "md5": Text(64)}, required=("part_ids",))


def decode_upload(body: Any, now_ms: int) -> Upload:
    """A new upload from its body."""
    CREATE.check(body)
    check_filename(body["filename"], "filename")
    return Upload(
        new_key(now_ms),
        now_ms,
        now_ms + UPLOAD_EXPIRES_AFTER_MS,
        body["filename"],
        body["purpose"],
        body["bytes"],
        body["mime_type"],
        expires_after_ms(body.get("expires_after")),
    )


def decode_parts(body: Any) -> tuple[list[str], str | None]:
    """The keys of the parts in order, each once, and the MD5 of the file they make, if told."""
    COMPLETE.check(body)
    keys: list[str] = []
    for index, id in enumerate(body["part_ids"]):
        key = key_of("part", id)
        if key is None:
            problem = f"'{refusals.shown(id)}'. Expected an ID that begins with 'part'."
            raise refusals.wrong_value(("part_ids", index), problem)
        keys.append(key)
    if len(set(keys)) != len(keys):
        raise refusals.wrong_value(("part_ids",), "a part is named twice.")
    return keys, body.get("md5")


def encode_upload(upload: Upload, file: File | None = None) -> dict[str, Any]:
    """The upload object, with the file it has become."""
    return {
        "id": f"upload_{upload.key}",
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": seconds(upload.created_at),
        "expires_at": seconds(upload.expires_at),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": None if file is None else encode_file(file),
    }


def encode_part(part: Part) -> dict[str, Any]:
    """The part object."""
    return {
        "id": f"part_{part.key}",
        "object": "upload.part",
        "created_at": seconds(part.created_at),
        "upload_id": f"upload_{part.upload}",
    }
