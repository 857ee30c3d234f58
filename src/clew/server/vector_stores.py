"""Vector stores over HTTP, and searching them."""

from __future__ import annotations

from clew.core.vector_stores import VectorStore, check_living, filter_of
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import vector_stores
from clew.wire.fields import encode_page, page_of


async def create_vector_store(server: Server, request: Request) -> Answer:
    now = server.now()
    store, files = vector_stores.decode_vector_store(request.body(), now)
    once = request.once(now, lambda made: _encode(made, now))
    made = await server.store.create_vector_store(request.project, store, files, once=once)
    server.wake_indexer()
    return Answer(_encode(made, now))


async def get_vector_store(server: Server, request: Request) -> Answer:
    found = await server.store.get_vector_store(request.project, request.key("vector_store"))
    return Answer(_encode(found, server.now()))


async def list_vector_stores(server: Server, request: Request) -> Answer:
    page, now = page_of(request.query(), "vector_store"), server.now()
    found, more = await server.store.list_vector_stores(request.project, page)
    shown = [vector_stores.encode_vector_store(each, now) for each in found]
    return Answer(encode(encode_page(shown, more)))


async def update_vector_store(server: Server, request: Request) -> Answer:
    now = server.now()
    changes = vector_stores.decode_changes(request.body())
    once = request.once(now, lambda changed: _encode(changed, now))
    key = request.key("vector_store")
    if "expires_days" in changes:
        check_living(await server.store.get_vector_store(request.project, key), now)
    changed = await server.store.update_vector_store(request.project, key, changes, once=once)
    return Answer(_encode(changed, now))


async def delete_vector_store(server: Server, request: Request) -> Answer:
    await server.store.delete_vector_store(request.project, request.key("vector_store"))
    server.wake_indexer()
    deleted = {"id": request.params[0], "object": "vector_store.deleted", "deleted": True}
    return Answer(encode(deleted))


async def search_vector_store(server: Server, request: Request) -> Answer:
    """The best chunks for any of the queries. A search is a use: it puts off the store's end."""
    body = request.body()
    asked, filter = vector_stores.Search(body), filter_of(body.get("filters"))
    project, key = request.project, request.key("vector_store")
    await server.store.touch_vector_store(project, key, server.now())
    results = await server.search(
        project, [key], asked.queries, asked.limit, filter=filter, ranking=asked.ranking
    )
    return Answer(encode(vector_stores.encode_results(asked.queries, results)))


def _encode(store: VectorStore, now_ms: int) -> bytes:
    return encode(vector_stores.encode_vector_store(store, now_ms))


_ALL = "/v1/vector_stores"
_ONE = f"{_ALL}/{{vector_store_id}}"
ROUTES = [
    Route("POST", _ALL, create_vector_store, "clew", "Create a vector store", vector_stores.CREATE),
    Route("GET", _ALL, list_vector_stores, "clew", "List vector stores", query=vector_stores.LIST),
    Route("GET", _ONE, get_vector_store, "clew", "Retrieve a vector store"),
    Route("POST", _ONE, update_vector_store, "clew", "Modify a vector store", vector_stores.UPDATE),
    Route("DELETE", _ONE, delete_vector_store, "clew", "Delete a vector store"),
    Route(
        "POST",
        f"{_ONE}/search",
        search_vector_store,
        "clew",
        "Search a vector store",
        vector_stores.SEARCH,
    ),
]
