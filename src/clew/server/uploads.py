"""Uploads over HTTP: large files, sent in parts."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from clew.core.errors import BadRequest
from clew.core.files import PART_BYTES_MAX, PIECE_BYTES_MAX, File, Part, Upload, check_pending
from clew.core.ids import new_key
from clew.server.blobs import incoming
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import uploads


async def create_upload(server: Server, request: Request) -> Answer:
    now = server.now()
    upload = uploads.decode_upload(request.json(), now)
    once = request.once(now, _encode)
    made = await server.store.create_upload(request.project, upload, once=once)
    return Answer(_encode(made))


async def add_part(server: Server, request: Request) -> Answer:
    store, upload = server.store, request.key("upload")
    there = await store.get_upload(request.project, upload)
    if request.header(b"idempotency-key") is None:  # else it may be a retry of what was done
        check_pending(there, server.now())
    async with incoming(server, request, "data", PART_BYTES_MAX) as found:
        now = server.now()
        part = Part(found.blob, upload, now)
        once = request.once(now, _encode_part, body=found.fingerprint())
        added = await store.add_part(request.project, part, now, once=once)
    return Answer(_encode_part(added))


async def complete_upload(server: Server, request: Request) -> Answer:
    upload, now = request.key("upload"), server.now()
    parts, md5 = uploads.decode_parts(request.json())
    once = request.once(now, _encode_completed)
    there = await server.store.get_upload(request.project, upload)
    if md5 is not None and there.status == "pending":
        await _check_md5(server, request.project, upload, parts, md5)
    completed = await server.store.complete_upload(
        request.project, upload, new_key(now), parts, now, once=once
    )
    return Answer(_encode_completed(completed))


async def cancel_upload(server: Server, request: Request) -> Answer:
    upload, now = request.key("upload"), server.now()
    once = request.once(now, _encode)
    ended = await server.store.cancel_upload(request.project, upload, now, once=once)
    return Answer(_encode(ended))


async def _check_md5(
    server: Server, project: str, upload: str, parts: list[str], expected: str
) -> None:
    """Refuse parts that do not make the file the client means, before anything is made of them."""
    found = hashlib.md5(usedforsecurity=False)
    for part in parts:
        start = 0
        while piece := await server.store.read_part(project, upload, part, start, PIECE_BYTES_MAX):
            found.update(piece)
            start += len(piece)
            await asyncio.sleep(0)  # others get their turn
    if found.hexdigest() != expected.lower():
        message = f"The MD5 of the parts is {found.hexdigest()}, not the one in 'md5'."
        raise BadRequest(message, "md5", "md5_mismatch")


def _encode(upload: Upload) -> bytes:
    return encode(uploads.encode_upload(upload))


def _encode_part(part: Part) -> bytes:
    return encode(uploads.encode_part(part))


def _encode_completed(completed: tuple[Upload, File]) -> bytes:
    return encode(uploads.encode_upload(*completed))


def _route(path: str, handler: Any, summary: str, body: Any = None, **more: Any) -> Route:
    return Route("POST", f"/v1/uploads{path}", handler, "clew", summary, body, **more)


ROUTES = [
    _route("", create_upload, "Create an upload", uploads.CREATE),
    _route("/{upload_id}/parts", add_part, "Add a part to an upload", uploads.PART, takes="stream"),
    _route("/{upload_id}/complete", complete_upload, "Complete an upload", uploads.COMPLETE),
    _route("/{upload_id}/cancel", cancel_upload, "Cancel an upload"),
]
