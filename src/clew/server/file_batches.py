"""File batches over HTTP: files added to a vector store together."""

from __future__ import annotations

from clew.core.ids import new_key
from clew.core.vector_stores import FileBatch
from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.store_files import POLL_AFTER, encode_files
from clew.wire import file_batches, store_files
from clew.wire.fields import page_of


async def create_file_batch(server: Server, request: Request) -> Answer:
    now, store = server.now(), request.key("vector_store")
    batch = FileBatch(new_key(now), store, now)
    files = store_files.decode_files(store, request.body(), now, batch.key)
    once = request.once(now, _encode)
    made = await server.store.create_file_batch(request.project, batch, files, once=once)
    server.wake_indexer()
    return Answer(_encode(made))


async def get_file_batch(server: Server, request: Request) -> Answer:
    batch = await server.store.get_file_batch(request.project, *_place(request))
    headers = [POLL_AFTER] if batch.status == "in_progress" else []
    return Answer(_encode(batch), headers=headers)


async def cancel_file_batch(server: Server, request: Request) -> Answer:
    once = request.once(server.now(), _encode)
    batch = await server.store.cancel_file_batch(request.project, *_place(request), once=once)
    server.wake_indexer()
    return Answer(_encode(batch))


async def list_batch_files(server: Server, request: Request) -> Answer:
    query = request.query()
    store, batch = _place(request)
    found, more = await server.store.list_store_files(
        request.project,
        store,
        page_of(query, "file"),
        status=query.get("filter"),
        batch=batch,
    )
    return Answer(encode_files(found, more))


def _place(request: Request) -> tuple[str, str]:
    return request.key("vector_store"), request.key("file_batch", 1)


def _encode(batch: FileBatch) -> bytes:
    return encode(file_batches.encode_batch(batch))


_ALL = "/v1/vector_stores/{vector_store_id}/file_batches"
_ONE = f"{_ALL}/{{batch_id}}"
ROUTES = [
    Route("POST", _ALL, create_file_batch, "clew", "Add files together", file_batches.CREATE),
    Route("GET", _ONE, get_file_batch, "clew", "Retrieve a file batch"),
    Route("POST", f"{_ONE}/cancel", cancel_file_batch, "clew", "Cancel a file batch"),
    Route(
        "GET", f"{_ONE}/files", list_batch_files, "clew", "List its files", query=store_files.LIST
    ),
]
