"""Threads over HTTP, and what OpenAI never gave: list, fork, window."""

from __future__ import annotations

from clew.core.ids import new_key
from clew.core.threads import Receipt, Thread
from clew.executor.vocabularies import counter_for
from clew.executor.windows import count, read_window
from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.tool_resources import index_given, shown_thread, shown_threads
from clew.wire import threads, windows
from clew.wire.fields import encode_page
from clew.wire.tool_resources import decode_grant


async def create_thread(server: Server, request: Request) -> Answer:
    now = server.now()
    body = request.json()
    thread, items = threads.decode_thread(body, now)
    given = threads.grant_to(thread, body)
    once = request.once(now, _encode)
    args = request.project, thread, items
    made = await server.store.create_thread(*args, given=given, once=once)
    index_given(server, given)
    return _answer(made)


async def get_thread(server: Server, request: Request) -> Answer:
    found = await server.store.get_thread(request.project, request.key("thread"))
    return _answer(await shown_thread(server, request.project, found))


async def list_threads(server: Server, request: Request) -> Answer:
    query = threads.decode_list(request.query_pairs())
    found, more = await server.store.list_threads(request.project, query)
    found = await shown_threads(server, request.project, found)
    return Answer(encode(encode_page([threads.encode_thread(each) for each in found], more)))


async def update_thread(server: Server, request: Request) -> Answer:
    now = server.now()
    changes = threads.decode_changes(request.json())
    _, given = decode_grant(changes.get("tool_resources"), now)
    once = request.once(now, _encode)
    changed = await server.store.update_thread(
        request.project,
        request.key("thread"),
        now,
        **changes,
        given=given,
        if_revision=request.if_revision(),
        once=once,
    )
    return _answer(changed if once else await shown_thread(server, request.project, changed))


async def delete_thread(server: Server, request: Request) -> Answer:
    return await erase(server, request, "thread.deleted")


async def erase(server: Server, request: Request, object: str) -> Answer:
    """Erase the thread that either face names."""
    now, key = server.now(), request.key("thread")
    receipt = Receipt(f"rcpt_{new_key(now)}", key, now, 0, 0)
    done = {"id": request.params[0], "object": object, "deleted": True}

    def answer(receipt: Receipt) -> bytes:
        return encode(done | {"clew": {"receipt": threads.encode_receipt(receipt)}})

    receipt = await server.store.erase_thread(
        request.project,
        key,
        receipt,
        if_revision=request.if_revision(),
        once=request.once(now, answer),
    )
    server.executor.abandon(key)
    return Answer(answer(receipt))


async def fork_thread(server: Server, request: Request) -> Answer:
    """A new thread that shares this one's items up to `at`; metadata is the parent's, or given."""
    now, parent = server.now(), request.key("thread")
    body = request.body()
    metadata = body.get("metadata")
    if metadata is None:
        metadata = (await server.store.get_thread(request.project, parent)).metadata
    fork = Thread(new_key(now), now, now, metadata)
    made = await server.store.fork_thread(
        request.project,
        parent,
        fork,
        at_item=body.get("at"),
        if_revision=request.if_revision(),
        once=request.once(now, _encode),
    )
    return _answer(made)


async def get_window(server: Server, request: Request) -> Answer:
    """What a model would see now."""
    query, key = request.query(), request.key("thread")
    thread = await server.store.get_thread(request.project, key)
    counter = await counter_for(query.get("model", ""))
    window = await read_window(
        server.store,
        request.project,
        key,
        last_messages=query.get("last_messages"),
        tokens_max=query.get("max_tokens"),
        counter=counter,
    )
    tokens = await count(counter, window.items)
    shown = windows.encode_window(window, thread, tokens, counter.exact)
    return Answer(encode(shown), thread.revision)


def _encode(thread: Thread) -> bytes:
    return encode(threads.encode_thread(thread))


def _answer(thread: Thread) -> Answer:
    return Answer(_encode(thread), thread.revision)


_PATH = "/v1/threads/{thread_id}"
ROUTES = [
    Route("POST", "/v1/threads", create_thread, "threads", "Create a thread", threads.CREATE),
    Route("GET", "/v1/threads", list_threads, "threads", "List threads", query=threads.LIST),
    Route("GET", _PATH, get_thread, "threads", "Retrieve a thread"),
    Route("POST", _PATH, update_thread, "threads", "Modify a thread", threads.UPDATE),
    Route("DELETE", _PATH, delete_thread, "threads", "Erase a thread"),
    Route(
        "POST", f"{_PATH}/fork", fork_thread, "threads", "Fork a thread at an item", windows.FORK
    ),
    Route(
        "GET",
        f"{_PATH}/window",
        get_window,
        "threads",
        "What a model would see now",
        query=windows.GET,
    ),
]
