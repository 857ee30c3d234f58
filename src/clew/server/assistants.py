"""Assistants over HTTP."""

from __future__ import annotations

from clew.core.assistants import Assistant
from clew.server.http import Answer, Request, Route, Server, encode
from clew.server.tool_resources import index_given, shown_assistant, shown_assistants
from clew.wire import assistants
from clew.wire.fields import encode_page, page_of
from clew.wire.tool_resources import decode_assistant_grant


async def create_assistant(server: Server, request: Request) -> Answer:
    now = server.now()
    assistant = assistants.decode_assistant(request.json(), now)
    once = request.once(now, _encode)
    kept, given = decode_assistant_grant(assistant.settings["tool_resources"], now)
    assistant.settings["tool_resources"] = kept
    made = await server.store.create_assistant(request.project, assistant, given=given, once=once)
    index_given(server, given)
    return Answer(_encode(made))


async def get_assistant(server: Server, request: Request) -> Answer:
    key = request.key("assistant")
    found = await server.store.get_assistant(request.project, key)
    return Answer(_encode(await shown_assistant(server, request.project, found)))


async def list_assistants(server: Server, request: Request) -> Answer:
    page = page_of(request.query(), "assistant")
    found, more = await server.store.list_assistants(request.project, page)
    found = await shown_assistants(server, request.project, found)
    return Answer(encode(encode_page([assistants.encode_assistant(each) for each in found], more)))


async def update_assistant(server: Server, request: Request) -> Answer:
    now = server.now()
    changes = assistants.decode_changes(request.json())
    _, given = decode_assistant_grant(changes.get("tool_resources") or {}, now)
    once = request.once(now, _encode)
    args = request.project, request.key("assistant"), changes, now
    changed = await server.store.update_assistant(*args, given=given, once=once)
    shown = changed if once else await shown_assistant(server, request.project, changed)
    return Answer(_encode(shown))


async def delete_assistant(server: Server, request: Request) -> Answer:
    await server.store.delete_assistant(request.project, request.key("assistant"))
    deleted = {"id": request.params[0], "object": "assistant.deleted", "deleted": True}
    return Answer(encode(deleted))


def _encode(assistant: Assistant) -> bytes:
    return encode(assistants.encode_assistant(assistant))


_ALL = "/v1/assistants"
_ONE = f"{_ALL}/{{assistant_id}}"
ROUTES = [
    Route("POST", _ALL, create_assistant, "threads", "Create an assistant", assistants.CREATE),
    Route("GET", _ALL, list_assistants, "threads", "List assistants", query=assistants.LIST),
    Route("GET", _ONE, get_assistant, "threads", "Retrieve an assistant"),
    Route("POST", _ONE, update_assistant, "threads", "Modify an assistant", assistants.UPDATE),
    Route("DELETE", _ONE, delete_assistant, "threads", "Delete an assistant"),
]
