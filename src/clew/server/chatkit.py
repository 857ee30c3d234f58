"""ChatKit over HTTP: one more face of threads, to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from clew.core.items import Item
from clew.server import threads as thread_routes
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import chatkit
from clew.wire.errors import Face
from clew.wire.fields import encode_page, page_of

TAIL = 256
"""How far behind its call an output is looked for."""


async def get_chatkit_thread(server: Server, request: Request) -> Answer:
    thread = await server.store.get_thread(request.project, request.key("thread"))
    return Answer(encode(chatkit.encode_thread(thread)))


async def list_chatkit_threads(server: Server, request: Request) -> Answer:
    query = chatkit.decode_list(request.query_pairs())
    found, more = await server.store.list_threads(request.project, query)
    return Answer(encode(encode_page([chatkit.encode_thread(thread) for thread in found], more)))


async def list_chatkit_items(server: Server, request: Request) -> Answer:
    key, page = request.key("thread"), page_of(request.query())
    found, more = await server.store.list_items(request.project, key, page, kinds=chatkit.KINDS)
    outputs = await _outputs(server, request.project, key, found)
    shown = [chatkit.encode_item(item, key, outputs) for item in found]
    return Answer(encode(encode_page(shown, more)))


async def delete_chatkit_thread(server: Server, request: Request) -> Answer:
    return await thread_routes.erase(server, request, "chatkit.thread.deleted")


async def create_session(server: Server, request: Request) -> NoReturn:
    raise chatkit.no_sessions()


async def cancel_session(server: Server, request: Request) -> NoReturn:
    raise chatkit.no_session(request.params[0])


async def _outputs(
    server: Server, project: str, thread: str, shown: Sequence[Item]
) -> dict[str, Any]:
    """Outputs of the calls that are shown, which stand behind them, and not far."""
    calls = sorted(item.seq for item in shown if item.kind == "function_call")
    if not calls:
        return {}
    limit = calls[-1] - calls[0] + TAIL
    items = await server.store.read_items(project, thread, below=calls[0] + limit + 1, limit=limit)
    return chatkit.outputs_of(items)


_ALL = "/v1/chatkit/threads"
_ONE = f"{_ALL}/{{thread_id}}"
_SESSIONS = "/v1/chatkit/sessions"
_F: Face = "chatkit"
ROUTES = [
    Route("GET", _ALL, list_chatkit_threads, _F, "List ChatKit threads", query=chatkit.LIST),
    Route("GET", _ONE, get_chatkit_thread, _F, "Retrieve a ChatKit thread"),
    Route("DELETE", _ONE, delete_chatkit_thread, _F, "Erase a ChatKit thread"),
    Route(
        "GET",
        f"{_ONE}/items",
        list_chatkit_items,
        _F,
        "List ChatKit items",
        query=chatkit.LIST_ITEMS,
    ),
    Route("POST", _SESSIONS, create_session, _F, "ChatKit sessions are refused"),
    Route("POST", f"{_SESSIONS}/{{session_id}}/cancel", cancel_session, _F, "There is none"),
]
