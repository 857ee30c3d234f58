"""Items: the entries of a thread's log, in their canonical form.

The canonical form is the Conversations item, extended with what Assistants messages add
(`metadata`, `attachments`). An `Item` keeps it in two parts: `kind` (the role of a message, else
the item's type) and `body`, JSON:

- a **string** for a plain message: one text part and nothing else, by far the most common item;
- an **object** with every other field of the item, for anything richer.

So a plain message costs its text on disk, and wire faces can hand its JSON on without decoding it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from clew.core.ids import ROLES

THREAD_ROLES = ("user", "assistant")
"""Roles the Threads face shows: its message object knows no others."""

ITEM_TYPES = frozenset(
    """message function_call function_call_output file_search_call web_search_call
    image_generation_call computer_call computer_call_output tool_search_call tool_search_output
    additional_tools reasoning program program_output compaction code_interpreter_call
    local_shell_call local_shell_call_output shell_call shell_call_output apply_patch_call
    apply_patch_call_output mcp_list_tools mcp_approval_request mcp_approval_response mcp_call
    custom_tool_call custom_tool_call_output configuration_update""".split()
)
"""The 29 conversation item types of the SDK."""

CALLS = frozenset({"function_call", "custom_tool_call"})
"""Calls whose output the client gives, as an item of its own."""

OUTPUTS = frozenset(f"{kind}_output" for kind in CALLS)

ANSWERS: dict[str, str] = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "computer_call_output": "computer_call",
    "local_shell_call_output": "local_shell_call",
    "shell_call_output": "shell_call",
    "apply_patch_call_output": "apply_patch_call",
    "tool_search_output": "tool_search_call",
    "program_output": "program",
    "mcp_approval_response": "mcp_approval_request",
}
"""Kind of an item that answers another -> the kind it answers; a model sees both or neither."""

ANSWERED = frozenset(ANSWERS.values())

ASKS_CLIENT = CALLS | {
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "tool_search_call",
    "mcp_approval_request",
}
"""Items that the client may have to answer before the model goes on."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Item(msgspec.Struct):
    """One entry of a log. `seq` is the engine's: 1 is the first, 0 means not yet appended.

    `created_at` is in milliseconds since 1970; `run` is the key of the run that wrote it.
    """

    id: str
    kind: str
    body: bytes
    created_at: int
    run: str | None = None
    seq: int = 0

    @property
    def is_message(self) -> bool:
        return self.kind in ROLES

    @property
    def is_plain(self) -> bool:
        """Whether `body` is a JSON string: a message of one text part and nothing else."""
        return self.body[:1] == b'"'

    def data(self) -> dict[str, Any]:
        """The canonical item as a dict, without its id."""
        body = _decode(self.body)
        if isinstance(body, str):
            content = [text_part(self.kind, body)]
            return {
                "type": "message",
                "status": "completed",
                "role": self.kind,
                "content": content,
            }
        if self.kind in ROLES:
            return {"type": "message", "role": self.kind, **body}
        return {"type": self.kind, **body}

    def text(self) -> str:
        """The text of a message, its parts joined; what a reader would read."""
        body = _decode(self.body)
        if isinstance(body, str):
            return body
        parts = body.get("content") or ()
        return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def text_part(role: str, text: str) -> dict[str, Any]:
    """A text part as OpenAI types it: what the assistant says is output, all else input."""
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def new_item(id: str, data: Mapping[str, Any], created_at: int, run: str | None = None) -> Item:
    """An item from its canonical dict (content of a message: parts, or one string)."""
    if data["type"] != "message":
        rest = {name: value for name, value in data.items() if name not in ("type", "id")}
        return Item(id, data["type"], _encode(rest), created_at, run)
    return Item(id, data["role"], _encode(_message_body(data)), created_at, run)


def message(id: str, role: str, text: str, created_at: int, run: str | None = None) -> Item:
    """A plain message."""
    return Item(id, role, _encode(text), created_at, run)


def lost_message(
    id: str, text: str, created_at: int, run: str, assistant: str | None = None
) -> Item:
    """What was said of an answer by a process that is gone: kept, and shown to no model."""
    data: dict[str, Any] = {
        "type": "message",
        "role": "assistant",
        "status": "incomplete",
        "content": [text_part("assistant", text)],
        "incomplete_details": {"reason": "run_failed"},
        "lost": True,
    }
    if assistant is not None:
        data["assistant_id"] = f"asst_{assistant}"
    return new_item(id, data, created_at, run)


def is_lost(item: Item) -> bool:
    """Whether an item is what remains of an answer that was never finished."""
    return b'"lost":true' in item.body and item.data().get("lost") is True


def with_metadata(item: Item, metadata: Mapping[str, str]) -> Item:
    """The same message with other metadata."""
    data = item.data() | {"metadata": dict(metadata)}
    return msgspec.structs.replace(item, body=_encode(_message_body(data)))


def call_id(item: Item) -> str:
    """What ties a call and its output together."""
    return str(item.data().get("call_id"))


def pair_of(item: Item) -> tuple[str, str] | None:
    """What an item has in common with the one that it answers, or that answers it."""
    kind = ANSWERS.get(item.kind, item.kind)
    if kind not in ANSWERED:
        return None
    if item.kind == "mcp_approval_request":
        return kind, item.id
    name = "approval_request_id" if item.kind == "mcp_approval_response" else "call_id"
    return kind, str(item.data().get(name))


def unanswered(items: Iterable[Item]) -> dict[str, Item]:
    """Calls without an output, by call id, in order; `items` are oldest first."""
    open_calls: dict[str, Item] = {}
    for item in items:
        if item.kind in OUTPUTS:
            open_calls.pop(call_id(item), None)
        elif item.kind in CALLS:
            open_calls[call_id(item)] = item
    return open_calls


def _message_body(data: Mapping[str, Any]) -> str | dict[str, Any]:
    role, content = data["role"], data["content"]
    if isinstance(content, str):
        content = [text_part(role, content)]
    extras = {
        name: value
        for name, value in data.items()
        if name not in ("type", "id", "role", "content", "status") and value not in (None, {}, [])
    }
    status = data.get("status") or "completed"
    if not extras and status == "completed" and len(content) == 1:
        part = content[0]
        if part == text_part(role, part.get("text", "")):
            return str(part["text"])
    return {"status": status, "content": content, **extras}
