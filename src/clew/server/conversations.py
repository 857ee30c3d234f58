"""Conversations and their items over HTTP: the other face of threads."""

from __future__ import annotations

from clew.core.threads import Thread
from clew.server import threads as thread_routes
from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.messages import append
from clew.wire import conversations, items, threads
from clew.wire.errors import Face
from clew.wire.fields import encode_page, page_of


async def create_conversation(server: Server, request: Request) -> Answer:
    now = server.now()
    thread, first = conversations.decode_conversation(request.json(), now)
    once = request.once(now, _encode)
    made = await server.store.create_thread(request.project, thread, first, once=once)
    return _answer(made)


async def get_conversation(server: Server, request: Request) -> Answer:
    return _answer(await server.store.get_thread(request.project, request.key("thread")))


async def list_conversations(server: Server, request: Request) -> Answer:
    query = threads.decode_list(request.query_pairs())
    found, more = await server.store.list_threads(request.project, query)
    encoded = [conversations.encode_conversation(thread) for thread in found]
    return Answer(encode(encode_page(encoded, more)))


async def update_conversation(server: Server, request: Request) -> Answer:
    now = server.now()
    changes = conversations.decode_changes(request.json())
    changed = await server.store.update_thread(
        request.project,
        request.key("thread"),
        now,
        **changes,
        if_revision=request.if_revision(),
        once=request.once(now, _encode),
    )
    return _answer(changed)


async def delete_conversation(server: Server, request: Request) -> Answer:
    return await thread_routes.erase(server, request, "conversation.deleted")


async def create_items(server: Server, request: Request) -> Answer:
    now = server.now()
    include = request.query().get("include", ())
    body = request.body()
    added = items.items_of(body["items"], now)
    encoded = items.encode_items(added, False, include)
    once = request.once(now, lambda _: encoded)
    key, on_busy = request.key("thread"), body.get("on_busy")
    return Answer(encoded, await append(server, request, key, added, now, on_busy, once))


async def list_items(server: Server, request: Request) -> Answer:
    query = request.query()
    page = page_of(query)
    found, more = await server.store.list_items(request.project, request.key("thread"), page)
    return Answer(items.encode_items(found, more, query.get("include", ())))


async def get_item(server: Server, request: Request) -> Answer:
    include = request.query().get("include", ())
    key, id = request.key("thread"), request.id("item", 1)
    item = await server.store.get_item(request.project, key, id)
    return Answer(items.encode_item(item, include))


async def delete_item(server: Server, request: Request) -> Answer:
    now = server.now()
    changed = await server.store.erase_item(
        request.project,
        request.key("thread"),
        request.id("item", 1),
        now,
        if_revision=request.if_revision(),
        once=request.once(now, _encode),
    )
    return _answer(changed)


def _encode(thread: Thread) -> bytes:
    return encode(conversations.encode_conversation(thread))


def _answer(thread: Thread) -> Answer:
    return Answer(_encode(thread), thread.revision)


_ALL = "/v1/conversations"
_ONE = f"{_ALL}/{{conversation_id}}"
_ITEMS = f"{_ONE}/items"
_ITEM = f"{_ITEMS}/{{item_id}}"
_FACE: Face = "conversations"
ROUTES = [
    Route("POST", _ALL, create_conversation, _FACE, "Create a conversation", conversations.CREATE),
    Route("GET", _ALL, list_conversations, _FACE, "List conversations", query=threads.LIST),
    Route("GET", _ONE, get_conversation, _FACE, "Retrieve a conversation"),
    Route("POST", _ONE, update_conversation, _FACE, "Update a conversation", conversations.UPDATE),
    Route("DELETE", _ONE, delete_conversation, _FACE, "Erase a conversation"),
    Route("POST", _ITEMS, create_items, _FACE, "Create items", items.CREATE, items.READ),
    Route("GET", _ITEMS, list_items, _FACE, "List items", query=items.LIST),
    Route("GET", _ITEM, get_item, _FACE, "Retrieve an item", query=items.READ),
    Route("DELETE", _ITEM, delete_item, _FACE, "Erase an item"),
]
