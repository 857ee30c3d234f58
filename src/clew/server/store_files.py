"""Files of vector stores over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clew.core.errors import ClewError, NotFound
from clew.core.ids import key_of
from clew.core.vector_stores import StoreFile, unlapped
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import store_files
from clew.wire.fields import encode_page, page_of
from clew.wire.refusals import shown

POLL_AFTER = (b"openai-poll-after-ms", b"200")
"""How soon the official client's polling helpers look again; without it, after a second."""

CHUNKS_AT_ONCE = 100


async def add_store_file(server: Server, request: Request) -> Answer:
    now, store = server.now(), request.key("vector_store")
    file = store_files.decode_file(store, request.body(), now)
    once = request.once(now, _encode)
    made = await server.store.add_store_file(request.project, file, once=once)
    server.wake_indexer()
    return Answer(_encode(made))


async def list_store_files(server: Server, request: Request) -> Answer:
    query = request.query()
    with _told_in_store(request):
        found, more = await server.store.list_store_files(
            request.project,
            request.key("vector_store"),
            page_of(query, "file"),
            status=query.get("filter"),
        )
    return Answer(encode_files(found, more))


async def get_store_file(server: Server, request: Request) -> Answer:
    with _told_in_store(request):
        file = await server.store.get_store_file(request.project, *_place(request))
    headers = [POLL_AFTER] if file.status == "in_progress" else []
    return Answer(_encode(file), headers=headers)


async def update_store_file(server: Server, request: Request) -> Answer:
    attributes = request.body()["attributes"] or {}
    once = request.once(server.now(), _encode)
    with _told_in_store(request):
        changed = await server.store.update_store_file(
            request.project, *_place(request), attributes, once=once
        )
    return Answer(_encode(changed))


async def delete_store_file(server: Server, request: Request) -> Answer:
    with _told_in_store(request):
        await server.store.remove_store_file(request.project, *_place(request))
    server.wake_indexer()
    deleted = {"id": request.params[1], "object": "vector_store.file.deleted", "deleted": True}
    return Answer(encode(deleted))


async def get_store_file_content(server: Server, request: Request) -> Answer:
    """The text as it was read; what chunks repeat of one another is said once."""
    with _told_in_store(request):
        place = _place(request)
        await server.store.get_store_file(request.project, *place)
    texts: list[str] = []
    above, end, more = -1, 0, True
    while more:
        chunks = await server.store.read_chunks(
            request.project, *place, above=above, limit=CHUNKS_AT_ONCE
        )
        texts += unlapped(chunks, end)
        more = len(chunks) == CHUNKS_AT_ONCE
        if chunks:
            above, end = chunks[-1].number, chunks[-1].end
    return Answer(encode(store_files.encode_content(texts)))


def encode_files(found: list[StoreFile], more: bool) -> bytes:
    return encode(encode_page([store_files.encode_file(each) for each in found], more))


def _place(request: Request) -> tuple[str, str]:
    """The keys of the store and the file in a path."""
    store, file = request.key("vector_store"), key_of("file", request.params[1])
    if file is None:
        raise NotFound("file", request.params[1])
    return store, file


@contextmanager
def _told_in_store(request: Request) -> Iterator[None]:
    """A file that is missing is missing in this store, in OpenAI's words."""
    try:
        yield
    except NotFound as missing:
        if missing.noun != "file":
            raise
        store, *rest = request.params
        file = rest[0] if rest else f"file-{missing.id}"
        words = f"No file found with id '{shown(file)}' in vector store '{store}'."
        raise ClewError("not_found", words) from None


def _encode(file: StoreFile) -> bytes:
    return encode(store_files.encode_file(file))


_ALL = "/v1/vector_stores/{vector_store_id}/files"
_ONE = f"{_ALL}/{{file_id}}"
ROUTES = [
    Route("POST", _ALL, add_store_file, "clew", "Add a file", store_files.CREATE),
    Route("GET", _ALL, list_store_files, "clew", "List a store's files", query=store_files.LIST),
    Route("GET", _ONE, get_store_file, "clew", "Retrieve a store's file"),
    Route("POST", _ONE, update_store_file, "clew", "Replace attributes", store_files.UPDATE),
    Route("DELETE", _ONE, delete_store_file, "clew", "Take a file out of a store"),
    Route("GET", f"{_ONE}/content", get_store_file_content, "clew", "Retrieve a file's text"),
]
