"""Files over HTTP: streamed in, streamed out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from clew.core.files import FILE_BYTES_MAX, PIECE_BYTES_MAX, File
from clew.server.blobs import incoming
from clew.server.http import Answer, Request, Route, Server, Stream, encode
from clew.store.store import Store
from clew.wire import files
from clew.wire.fields import encode_page

SWEEP_EVERY_S = 3_600.0

log = logging.getLogger("clew.server")


async def create_file(server: Server, request: Request) -> Answer:
    async with incoming(server, request, "file", FILE_BYTES_MAX) as found:
        now = server.now()
        file = files.decode_file(found.form.fields, found.form.filename or "", now)
        once = request.once(now, _encode, body=found.fingerprint())
        made = await server.store.create_file(request.project, file, found.blob, once=once)
    return Answer(_encode(made))


async def list_files(server: Server, request: Request) -> Answer:
    page, purpose = files.decode_list(request.query())
    found, more = await server.store.list_files(
        request.project, page, server.now(), purpose=purpose
    )
    return Answer(encode(encode_page([files.encode_file(each) for each in found], more)))


async def get_file(server: Server, request: Request) -> Answer:
    return Answer(_encode(await _find(server, request)))


async def delete_file(server: Server, request: Request) -> Answer:
    await server.store.delete_file(request.project, request.key("file"), server.now())
    server.wake_indexer()
    return Answer(encode({"id": request.params[0], "object": "file", "deleted": True}))


async def get_content(server: Server, request: Request) -> Stream:
    """The bytes of a file, whatever it is for: they are its owner's."""
    file = await _find(server, request)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % file.bytes),
        (b"content-disposition", files.disposition(file.filename).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Stream(_pieces(server, request, file), headers)


async def _pieces(server: Server, request: Request, file: File) -> AsyncIterator[bytes]:
    """Read no further than the client does; stop when it is gone."""
    left = asyncio.ensure_future(request.left())
    try:
        for start in range(0, file.bytes, PIECE_BYTES_MAX):
            if left.done():
                return
            yield await server.store.read_file(request.project, file.key, start, PIECE_BYTES_MAX)
            await asyncio.sleep(0)  # what was read goes out, and others get their turn
    finally:
        left.cancel()


async def _find(server: Server, request: Request) -> File:
    return await server.store.get_file(request.project, request.key("file"), server.now())


def _encode(file: File) -> bytes:
    return encode(files.encode_file(file))


async def keep_swept(store: Store, now: Callable[[], int]) -> None:
    """Sweep what has expired and what broken uploads left, now and every hour, until cancelled."""
    while True:
        try:
            await store.sweep_files(now())
        except Exception:  # whatever it was, there is an hour until the next
            log.exception("files could not be swept; it will be tried again")
        await asyncio.sleep(SWEEP_EVERY_S)


_ALL = "/v1/files"
_ONE = f"{_ALL}/{{file_id}}"
ROUTES = [
    Route("POST", _ALL, create_file, "clew", "Upload a file", files.CREATE, takes="stream"),
    Route("GET", _ALL, list_files, "clew", "List files", query=files.LIST),
    Route("GET", _ONE, get_file, "clew", "Retrieve a file"),
    Route("DELETE", _ONE, delete_file, "clew", "Delete a file"),
    Route("GET", f"{_ONE}/content", get_content, "clew", "Retrieve the content of a file"),
]
