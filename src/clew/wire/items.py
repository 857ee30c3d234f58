"""Items: the Conversations face of a thread's log.

An item is stored as it came, plus what OpenAI fills in; giving it back is a splice of its id into
the JSON it already holds, so that reading a page costs no decoding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from clew.core.ids import new_item_id
from clew.core.items import Item, message, new_item
from clew.wire.checks import ListOf, Record, Spec, Tagged, Unsupported
from clew.wire.fields import INCLUDE, ON_BUSY, PAGE
from clew.wire.item_types import DEFAULTS, KINDS
from clew.wire.messages import encode_list
from clew.wire.parts import fill, filled
from clew.wire.refusals import Path

ITEMS_MAX = 20
"""Items in one request."""

_REFERENCE = Unsupported("An item cannot be added by reference; send the item itself.")
INPUT_ITEM = Tagged("type", {**KINDS, "item_reference": _REFERENCE}, default="message")


def input_items(min_items: int = 1) -> ListOf:
    """The items one request may bring."""
    return ListOf(INPUT_ITEM, max_items=ITEMS_MAX, min_items=min_items)


_INPUT = input_items()
CREATE = Record({"items": _INPUT, "on_busy": ON_BUSY}, required=("items",))

_READ: dict[str, Spec] = {"include": INCLUDE}
READ = Record(_READ)
LIST = Record(PAGE | _READ)

_TOOL_OUTPUTS = {"function_call_output", "custom_tool_call_output"}
"""Types whose output may be content parts, as those of a message are."""

_PLAIN_KEYS = {"role", "content"}, {"role", "content", "type"}


def decode_items(bodies: Any, now_ms: int, path: Path = ("items",)) -> list[Item]:
    """New items for checked ones, in the order given, each with an id of ours."""
    _INPUT.check(bodies, path)
    return items_of(bodies, now_ms)


def items_of(bodies: Iterable[dict[str, Any]], now_ms: int) -> list[Item]:
    """New items for items that were checked already, as part of a larger body."""
    return [_item(body, now_ms) for body in bodies]


def _item(body: dict[str, Any], now_ms: int) -> Item:
    kind = body.get("type", "message")
    if kind == "message":
        return _message(body, now_ms)
    data = fill(body, DEFAULTS.get(kind, {}))
    if kind in _TOOL_OUTPUTS and type(data["output"]) is list:
        data["output"] = [filled(part) for part in data["output"]]
    if kind == "local_shell_call_output":
        # Its id names the call it answers, and we give it an id of its own.
        data = fill(data, {"call_id": body.get("id")})
    return new_item(new_item_id(kind, now_ms), data, now_ms)


def _message(body: dict[str, Any], now_ms: int) -> Item:
    role, content = body["role"], body["content"]
    id = new_item_id(role, now_ms)
    if type(content) is not str:
        content = [filled(part) for part in content]
    elif body.keys() in _PLAIN_KEYS:
        return message(id, role, content, now_ms)
    return new_item(id, {**body, "type": "message", "content": content}, now_ms)


EVERYTHING = frozenset(
    {
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "message.output_text.logprobs",
    }
)
"""What an item shows only if `include` names it. Images and encrypted reasoning are always shown:
a client that sends a page back must not lose them."""

_HIDDEN = {
    "file_search_call": ("results",),
    "web_search_call": ("results", "action.sources"),
    "code_interpreter_call": ("outputs",),
}
_LOGPROBS = b'"logprobs":[{'
"""In a body, as it is encoded, nothing but log probabilities begins so."""


def encode_item(item: Item, include: Collection[str] = ()) -> bytes:
    """The item object as JSON, with null for what is hidden unless `include` names it."""
    id, kind, body = item.id.encode(), item.kind.encode(), item.body
    if item.is_plain:
        if item.kind == "assistant":
            part = b'"output_text","text":%b,"annotations":[],"logprobs":[]' % body
        else:
            part = b'"input_text","text":%b' % body
        return (
            b'{"id":"%b","type":"message","status":"completed","role":"%b",'
            b'"content":[{"type":%b}]}' % (id, kind, part)
        )
    if item.kind in _HIDDEN:
        body = _without_details(item.kind, body, include)
    elif item.is_message and _LOGPROBS in body and "message.output_text.logprobs" not in include:
        body = _without_logprobs(body)
    # A body is a JSON object without the id and the type, so they can be put in front of it.
    rest = b"," + body[1:] if len(body) > len(b"{}") else b"}"
    if item.is_message:
        return b'{"id":"%b","type":"message","role":"%b"%b' % (id, kind, rest)
    return b'{"id":"%b","type":"%b"%b' % (id, kind, rest)


def encode_items(items: Sequence[Item], has_more: bool, include: Collection[str] = ()) -> bytes:
    """The list object around items, in the order given."""
    return encode_list(items, [encode_item(item, include) for item in items], has_more)


def _without_details(kind: str, body: bytes, include: Collection[str]) -> bytes:
    hidden = [path for path in _HIDDEN[kind] if f"{kind}.{path}" not in include]
    if not hidden:
        return body
    data = msgspec.json.decode(body)
    for path in hidden:
        *outer, name = path.split(".")
        place = data.get(outer[0]) if outer else data
        if place and place.get(name) is not None:
            place[name] = None
    return msgspec.json.encode(data)


def _without_logprobs(body: bytes) -> bytes:
    data = msgspec.json.decode(body)
    for part in data["content"]:
        if part.get("logprobs"):
            part["logprobs"] = []
    return msgspec.json.encode(data)
