"""Messages over HTTP: the Threads face of a thread's items."""

from __future__ import annotations

from collections.abc import Sequence

from clew.core.errors import NotFound
from clew.core.ids import key_of
from clew.core.items import THREAD_ROLES, Item
from clew.core.tool_resources import Grant
from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.tool_resources import index_given
from clew.store.once import Once
from clew.wire import messages
from clew.wire.fields import page_of
from clew.wire.tool_resources import decode_attachments


async def create_message(server: Server, request: Request) -> Answer:
    now, thread = server.now(), request.key("thread")
    body = request.json()
    item, on_busy = messages.decode_posted(body, now)
    given = decode_attachments((body,), now)
    encoded = messages.encode_message(item, thread)
    once = request.once(now, lambda _: encoded)
    revision = await append(server, request, thread, (item,), now, on_busy, once, given)
    index_given(server, given)
    return Answer(encoded, revision)


async def append(
    server: Server,
    request: Request,
    thread: str,
    items: Sequence[Item],
    now: int,
    on_busy: str | None,
    once: Once | None,
    given: Grant | None = None,
) -> int:
    """Append to a thread, or do what is to be done if it is busy; the thread's revision."""
    revision, _ = await server.store.append_items(
        request.project,
        thread,
        items,
        now,
        on_busy=server.busy(request.project, on_busy),
        given=given,
        if_revision=request.if_revision(),
        once=once,
    )
    waits = bool(items) and not items[-1].seq
    if waits or on_busy in ("interrupt", "rollback"):
        await server.executor.heed(request.project, thread)
    return revision


async def list_messages(server: Server, request: Request) -> Answer:
    query, thread = request.query(), request.key("thread")
    run = query.get("run_id")
    found, more = await server.store.list_items(
        request.project,
        thread,
        page_of(query),
        kinds=THREAD_ROLES,
        run=run and (key_of("run", run) or run),
    )
    return Answer(messages.encode_messages(found, thread, more))


async def get_message(server: Server, request: Request) -> Answer:
    thread = request.key("thread")
    item = await _message(server, request)
    return Answer(messages.encode_message(item, thread))


async def update_message(server: Server, request: Request) -> Answer:
    now, thread = server.now(), request.key("thread")
    metadata = messages.decode_metadata(request.json())
    await _message(server, request)

    def answer(item: Item) -> bytes:
        return messages.encode_message(item, thread)

    changed = await server.store.update_item(
        request.project,
        thread,
        request.params[1],
        metadata,
        now,
        if_revision=request.if_revision(),
        once=request.once(now, answer),
    )
    return Answer(answer(changed))


async def delete_message(server: Server, request: Request) -> Answer:
    now = server.now()
    await _message(server, request)
    deleted = {"id": request.params[1], "object": "thread.message.deleted", "deleted": True}
    encoded = encode(deleted)
    thread = await server.store.erase_item(
        request.project,
        request.key("thread"),
        request.params[1],
        now,
        if_revision=request.if_revision(),
        once=request.once(now, lambda _: encoded),
    )
    return Answer(encoded, thread.revision)


async def _message(server: Server, request: Request) -> Item:
    """The item a path names, if the Threads face shows it."""
    key, id = request.key("thread"), request.id("item", 1)
    item = await server.store.get_item(request.project, key, id)
    if item.kind not in THREAD_ROLES:
        raise NotFound("item", item.id)
    return item


_PATH = "/v1/threads/{thread_id}/messages"
_ONE = f"{_PATH}/{{message_id}}"
ROUTES = [
    Route("POST", _PATH, create_message, "threads", "Create a message", messages.POST),
    Route("GET", _PATH, list_messages, "threads", "List messages", query=messages.LIST),
    Route("GET", _ONE, get_message, "threads", "Retrieve a message"),
    Route("POST", _ONE, update_message, "threads", "Modify a message", messages.UPDATE),
    Route("DELETE", _ONE, delete_message, "threads", "Erase a message"),
]
