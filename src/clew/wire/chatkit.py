"""ChatKit: the ChatKit face of threads and their items, to read.

A thread's user and title are its metadata `user` and `title`. Items that ChatKit has no shape for
are left out; so are parts of messages, which are then named in `clew`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.errors import BadRequest, ClewError
from clew.core.items import Item
from clew.core.paging import LIMIT_MAX, ThreadQuery
from clew.core.threads import Thread
from clew.wire.checks import Integer, Record, Text
from clew.wire.fields import PAGE, page_of, seconds
from clew.wire.queries import decode_query
from clew.wire.refusals import shown

USER = "user"
TITLE = "title"

KINDS = ("user", "assistant", "function_call", "reasoning")
"""Kinds of items that are shown; outputs are shown with their calls."""

_PAGE = PAGE | {"limit": Integer(0, LIMIT_MAX)}
LIST = Record(_PAGE | {"user": Text(512, 1)})
LIST_ITEMS = Record(_PAGE)

_WHY_NO_SESSIONS = (
    "ChatKit sessions are for OpenAI's hosted widget and workflows, which Clew does not run. "
    "Threads are written over /v1/threads, /v1/conversations and /v1/responses."
)


def no_sessions() -> BadRequest:
    return BadRequest(
        f"Clew makes no ChatKit sessions. {_WHY_NO_SESSIONS}", None, "unsupported_operation"
    )


def no_session(id: str) -> ClewError:
    message = f"No session found with id '{shown(id)}'. {_WHY_NO_SESSIONS}"
    return ClewError("not_found", message)


def decode_list(params: Iterable[tuple[str, str]]) -> ThreadQuery:
    """Which threads a list asks for: those of one user, or all."""
    values = decode_query(params, LIST)
    metadata = {USER: values["user"]} if "user" in values else {}
    return ThreadQuery(page_of(values, "thread"), metadata)


def encode_thread(thread: Thread) -> dict[str, Any]:
    """The thread object; nobody can write while a run is active."""
    locked = {"type": "locked", "reason": "A run is active."}
    return {
        "id": f"cthr_{thread.key}",
        "object": "chatkit.thread",
        "created_at": seconds(thread.created_at),
        "title": thread.metadata.get(TITLE),
        "status": {"type": "active"} if thread.active_run is None else locked,
        "user": thread.metadata.get(USER, ""),
    }


def encode_item(item: Item, thread_key: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The item object; `outputs` are those of function calls, by call id."""
    head = {
        "id": item.id,
        "object": "chatkit.thread_item",
        "created_at": seconds(item.created_at),
        "thread_id": f"cthr_{thread_key}",
    }
    data = item.data()
    match item.kind:
        case "user":
            return head | _user_message(data)
        case "assistant":
            return head | _assistant_message(data["content"])
        case "function_call":
            return head | _tool_call(data, outputs)
        case _:
            return head | _thought(data)


def outputs_of(items: Iterable[Item]) -> dict[str, Any]:
    """Outputs of function calls, by call id."""
    found = (item.data() for item in items if item.kind == "function_call_output")
    return {data["call_id"]: data["output"] for data in found}


def _user_message(data: Mapping[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    given = [each.get("file_id") for each in data.get("attachments") or ()]
    attached = [_file(id) for id in given if id]
    left_out: list[str] = []
    for part in data["content"]:
        if part.get("text") is not None:
            content.append({"type": "input_text", "text": part["text"]})
        elif part.get("file_id"):
            kind = "file" if part["type"] == "input_file" else "image"
            attached.append(_file(part["file_id"], kind, part.get("filename")))
        else:
            left_out.append(part["type"])
    shown: dict[str, Any] = {
        "type": "chatkit.user_message",
        "content": content,
        "attachments": attached,
        "inference_options": None,
    }
    return shown | _naming(left_out)


def _file(id: str, kind: str = "file", name: str | None = None) -> dict[str, Any]:
    """A file by its id; what is in it is not known here."""
    return {
        "type": kind,
        "id": id,
        "name": name or id,
        "mime_type": "application/octet-stream",
        "preview_url": None,
    }


def _assistant_message(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    left_out: list[str] = []
    for part in parts:
        text = part.get("refusal") if part["type"] == "refusal" else part.get("text")
        if text is None:
            left_out.append(part["type"])
            continue
        notes = [_annotation(note) for note in part.get("annotations") or ()]
        content.append({"type": "output_text", "text": text, "annotations": notes})
    return {"type": "chatkit.assistant_message", "content": content} | _naming(left_out)


def _annotation(note: Mapping[str, Any]) -> dict[str, Any]:
    if note["type"] == "url_citation":
        return {"type": "url", "source": {"type": "url", "url": note["url"]}}
    filename = note.get("filename") or note["file_id"]
    return {"type": "file", "source": {"type": "file", "filename": filename}}


def _naming(left_out: list[str]) -> dict[str, Any]:
    return {"clew": {"left_out": left_out}} if left_out else {}


def _tool_call(data: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    output = outputs.get(data["call_id"])
    if output is not None and not isinstance(output, str):
        output = msgspec.json.encode(output).decode()
    return {
        "type": "chatkit.client_tool_call",
        "status": "in_progress" if output is None else "completed",
        "call_id": data["call_id"],
        "name": data["name"],
        "arguments": data["arguments"],
        "output": output,
    }


def _thought(data: Mapping[str, Any]) -> dict[str, Any]:
    """Reasoning: its summary, else its text, as far as the model shows any."""
    parts = data.get("summary") or data.get("content") or ()
    summary = "\n".join(part["text"] for part in parts if part.get("text"))
    return {
        "type": "chatkit.task",
        "task_type": "thought",
        "heading": None,
        "summary": summary or None,
    }
