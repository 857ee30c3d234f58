"""Messages: the Threads face of an item that a user or an assistant said.

A plain message is written by template around the JSON its item already holds, so that reading a
page costs no decoding. Fields that OpenAI does not have are in one object named `clew`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from clew.core.ids import new_item_id
from clew.core.items import Item, message, new_item
from clew.wire.checks import Choice, Either, Id, ListOf, Nullable, Record, Tagged, Text
from clew.wire.fields import METADATA, ON_BUSY, PAGE, TEXT_MAX
from clew.wire.parts import THREAD_PART, from_thread_part, to_thread_parts
from clew.wire.refusals import Path

_TOOL = Tagged(
    "type",
    {
        "code_interpreter": Record({"type": Choice("code_interpreter")}, ("type",)),
        "file_search": Record({"type": Choice("file_search")}, ("type",)),
    },
)
ATTACHMENTS = Nullable(ListOf(Record({"file_id": Id(), "tools": ListOf(_TOOL)})))

CREATE = Record(
    {
        "role": Choice("user", "assistant"),
        "content": Either(Text(TEXT_MAX, 1), ListOf(THREAD_PART, min_items=1)),
        "attachments": ATTACHMENTS,
        "metadata": METADATA,
    },
    required=("role", "content"),
)
POST = Record(CREATE.fields | {"on_busy": ON_BUSY}, CREATE.required)
"""A message as it is posted to a thread."""
UPDATE = Record({"metadata": METADATA})
LIST = Record(PAGE | {"run_id": Id()})
_CREATE_ALL = ListOf(CREATE)

_to_json = msgspec.json.Encoder().encode
_PLAIN_SIZE = 2


def decode_message(body: Any, now_ms: int, path: Path = ()) -> Item:
    """A new item for a checked message; the server's fields are its own."""
    CREATE.check(body, path)
    return _item(body, now_ms)


def decode_posted(body: Any, now_ms: int) -> tuple[Item, str | None]:
    """The same for one that is posted, and what is to happen if its thread is busy."""
    POST.check(body)
    return _item({n: v for n, v in body.items() if n != "on_busy"}, now_ms), body.get("on_busy")


def decode_messages(bodies: Any, now_ms: int, path: Path = ("messages",)) -> list[Item]:
    """New items for checked messages, in the order given."""
    _CREATE_ALL.check(bodies, path)
    return items_of(bodies, now_ms)


def items_of(bodies: Iterable[dict[str, Any]], now_ms: int) -> list[Item]:
    """New items for messages that were checked already, as part of a larger body."""
    return [_item(body, now_ms) for body in bodies]


def decode_metadata(body: Any) -> dict[str, str]:
    """The metadata a checked update replaces a message's with; null and nothing clear it."""
    UPDATE.check(body)
    return body.get("metadata") or {}


def _item(body: dict[str, Any], now_ms: int) -> Item:
    role, content = body["role"], body["content"]
    id = new_item_id(role, now_ms)
    if type(content) is str:
        if len(body) == _PLAIN_SIZE:
            return message(id, role, content, now_ms)
    else:
        content = [from_thread_part(role, part) for part in content]
    return new_item(id, {**body, "type": "message", "content": content}, now_ms)


def encode_message(item: Item, thread_key: str) -> bytes:
    """The message object as JSON; `item` was said by a user or an assistant."""
    if not item.is_plain:
        return _to_json(_rich(item, thread_key))
    seconds = item.created_at // 1000
    return _PLAIN % (
        item.id.encode(),
        seconds,
        thread_key.encode(),
        seconds,
        item.kind.encode(),
        item.body,
        b"null" if item.run is None else b'"run_%b"' % item.run.encode(),
    )


_PLAIN = (
    b'{"id":"%b","object":"thread.message","created_at":%d,"thread_id":"thread_%b",'
    b'"status":"completed","incomplete_details":null,"completed_at":%d,"incomplete_at":null,'
    b'"role":"%b","content":[{"type":"text","text":{"value":%b,"annotations":[]}}],'
    b'"assistant_id":null,"run_id":%b,"attachments":[],"metadata":{}}'
)


def encode_messages(items: Sequence[Item], thread_key: str, has_more: bool) -> bytes:
    """The list object around messages, in the order given."""
    entries = [encode_message(item, thread_key) for item in items]
    return encode_list(items, entries, has_more)


def encode_list(items: Sequence[Item], entries: Sequence[bytes], has_more: bool) -> bytes:
    """OpenAI's list object around the encoded items."""
    first, last = (b'"%b"' % items[i].id.encode() if items else b"null" for i in (0, -1))
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join(entries),
        first,
        last,
        b"true" if has_more else b"false",
    )


def _rich(item: Item, thread_key: str) -> dict[str, Any]:
    data = item.data()
    content, files, left_out = to_thread_parts(data["content"])
    status, seconds = data["status"], item.created_at // 1000
    shown: dict[str, Any] = {
        "id": item.id,
        "object": "thread.message",
        "created_at": seconds,
        "thread_id": f"thread_{thread_key}",
        "status": status,
        "incomplete_details": data.get("incomplete_details"),
        "completed_at": seconds if status == "completed" else None,
        "incomplete_at": seconds if status == "incomplete" else None,
        "role": item.kind,
        "content": content,
        "assistant_id": data.get("assistant_id"),
        "run_id": None if item.run is None else f"run_{item.run}",
        "attachments": [*data.get("attachments", ()), *files],
        "metadata": data.get("metadata") or {},
    }
    return shown | ({"clew": {"left_out": left_out}} if left_out else {})
