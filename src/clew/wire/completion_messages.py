"""Chat messages: what a chat completion is asked, as canonical items, and how it is listed.

For models that no upstream answers in chat completions. What an item cannot carry is refused by
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.errors import BadRequest
from clew.core.ids import new_item_id
from clew.core.items import Item, new_item
from clew.wire.checks import (
    Anything,
    Choice,
    Either,
    ListOf,
    MapOf,
    Nullable,
    Record,
    Spec,
    Tagged,
    Text,
    Unsupported,
)
from clew.wire.fields import encode_page
from clew.wire.refusals import spell

_UNSAID = "Only models of an upstream that speaks chat completions can be asked this."


class Neutral(Unsupported):
    """A parameter that is refused unless it says what is so without it."""

    def __init__(self, *values: Any, reason: str = _UNSAID) -> None:
        super().__init__(reason)
        self.values = (None, *values)

    def check(self, value: Any, path: tuple[str | int, ...] = ()) -> None:
        if not any(value == one and type(value) is type(one) for one in self.values):
            super().check(value, path)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values), "description": self.reason}


UNSAID = Unsupported(_UNSAID)
_CACHE: dict[str, Spec] = {"prompt_cache_breakpoint": Nullable(MapOf(Anything()))}
_TEXT_PART = Record({"type": Choice("text"), "text": Text(), **_CACHE}, ("type", "text"))
_REFUSAL_PART = Record({"type": Choice("refusal"), "refusal": Text()}, ("type", "refusal"))
_IMAGE = Record(
    {"url": Text(min_length=1), "detail": Nullable(Choice("auto", "low", "high", "original"))},
    ("url",),
)
_IMAGE_PART = Record(
    {"type": Choice("image_url"), "image_url": _IMAGE, **_CACHE}, ("type", "image_url")
)
_SOURCE = Nullable(Text(min_length=1))
_FILE = Record(
    {"file_id": _SOURCE, "file_data": _SOURCE, "filename": Nullable(Text())},
    any_of=("file_id", "file_data"),
)
_FILE_PART = Record({"type": Choice("file"), "file": _FILE, **_CACHE}, ("type", "file"))

_TEXTS = Tagged("type", {"text": _TEXT_PART})
_SAID = Tagged("type", {"text": _TEXT_PART, "refusal": _REFUSAL_PART})
_SHOWN = Tagged(
    "type",
    {"text": _TEXT_PART, "image_url": _IMAGE_PART, "file": _FILE_PART, "input_audio": UNSAID},
)


def _content(part: Spec) -> Spec:
    return Either(Text(), ListOf(part, min_items=1))


_CALL = Record({"name": Text(min_length=1), "arguments": Text()}, ("name", "arguments"))
_CUSTOM = Record({"name": Text(min_length=1), "input": Text()}, ("name", "input"))
_TOOL_CALL = Tagged(
    "type",
    {
        "function": Record(
            {"id": Text(min_length=1), "type": Choice("function"), "function": _CALL},
            ("id", "type", "function"),
        ),
        "custom": Record(
            {"id": Text(min_length=1), "type": Choice("custom"), "custom": _CUSTOM},
            ("id", "type", "custom"),
        ),
    },
)
_ROLE = Text()
_NAME = Neutral()
_SYSTEM = Record({"role": _ROLE, "content": _content(_TEXTS), "name": _NAME}, ("content",))

MESSAGE = Tagged(
    "role",
    {
        "system": _SYSTEM,
        "developer": _SYSTEM,
        "user": Record({"role": _ROLE, "content": _content(_SHOWN), "name": _NAME}, ("content",)),
        "assistant": Record(
            {
                "role": _ROLE,
                "content": Nullable(_content(_SAID)),
                "refusal": Nullable(Text()),
                "reasoning_content": Nullable(Text()),
                "tool_calls": Nullable(ListOf(_TOOL_CALL)),
                "name": _NAME,
                "audio": _NAME,
                "function_call": _NAME,
                "annotations": Neutral([]),
            },
            any_of=("content", "tool_calls", "refusal"),
        ),
        "tool": Record(
            {"role": _ROLE, "content": _content(_TEXTS), "tool_call_id": Text(min_length=1)},
            ("content", "tool_call_id"),
        ),
        "function": UNSAID,
    },
)


def items_of(messages: Sequence[dict[str, Any]], now_ms: int) -> list[Item]:
    """Items for checked messages, in order. BadRequest for calls and outputs that do not pair."""
    items: list[Item] = []
    waiting: dict[str, str] = {}  # id of a call without an output -> its kind
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            items.append(_item(_output(message, waiting, place), now_ms))
            continue
        _refuse_unanswered(waiting, place - 1)
        waiting = {call["id"]: call["type"] for call in message.get("tool_calls") or ()}
        items += [_item(data, now_ms) for data in _said(message)]
    _refuse_unanswered(waiting, len(messages) - 1)
    return items


def _item(data: dict[str, Any], now_ms: int) -> Item:
    kind = data["role"] if data["type"] == "message" else data["type"]
    return new_item(new_item_id(kind, now_ms), data, now_ms)


def _said(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What one message but a tool's says: reasoning, text, calls, in the order they were made."""
    role, content = message["role"], message.get("content")
    if message.get("reasoning_content"):
        thought = {"type": "reasoning_text", "text": message["reasoning_content"]}
        yield {"type": "reasoning", "summary": [], "content": [thought]}
    calls = message.get("tool_calls") or ()
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content or not calls else []
    parts = [_part(role, part) for part in content or ()]
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    if parts:
        yield {"type": "message", "role": role, "content": parts}
    for call in calls:
        yield _call(call)


def _part(role: str, part: dict[str, Any]) -> dict[str, Any]:
    cache = {name: part[name] for name in _CACHE if part.get(name)}
    match part["type"]:
        case "text" if role == "assistant":
            return {"type": "output_text", "text": part["text"], "annotations": [], "logprobs": []}
        case "text":
            return {"type": "input_text", "text": part["text"], **cache}
        case "image_url":
            image = part["image_url"]
            detail = image.get("detail") or "auto"
            return {"type": "input_image", "image_url": image["url"], "detail": detail, **cache}
        case "file":
            file = {name: value for name, value in part["file"].items() if value is not None}
            return {"type": "input_file", **file, **cache}
    return part


def _call(call: dict[str, Any]) -> dict[str, Any]:
    kind = "function_call" if call["type"] == "function" else "custom_tool_call"
    return {"type": kind, "status": "completed", "call_id": call["id"], **call[call["type"]]}


def _output(message: dict[str, Any], waiting: dict[str, str], place: int) -> dict[str, Any]:
    call_id, content = message["tool_call_id"], message["content"]
    if call_id not in waiting:
        raise BadRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding "
            "message with 'tool_calls'.",
            spell(("messages", place, "role")),
        )
    kind = "function_call" if waiting.pop(call_id) == "function" else "custom_tool_call"
    output = content if isinstance(content, str) else [_part("tool", part) for part in content]
    return {"type": f"{kind}_output", "call_id": call_id, "output": output}


def _refuse_unanswered(waiting: Mapping[str, str], place: int) -> None:
    if waiting:
        raise BadRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(waiting),
            spell(("messages", place, "role")),
        )


def encode_messages(
    completion: str, messages: Sequence[tuple[int, bytes]], has_more: bool
) -> dict[str, Any]:
    """The list object around messages that were asked; content in parts is in `content_parts`."""
    return encode_page([_listed(completion, *message) for message in messages], has_more)


def _listed(completion: str, number: int, body: bytes) -> dict[str, Any]:
    message = msgspec.json.decode(body)
    content = message.get("content")
    in_parts = isinstance(content, list)
    return {
        "refusal": None,
        **message,
        "id": f"chatcmpl-{completion}-{number}",
        "content": None if in_parts else content,
        "content_parts": content if in_parts else None,
    }
