"""What a model server that speaks Anthropic's Messages says, for `clew.testing.upstream`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from clew.testing.upstream import Reply, events


def says(*texts: str, stop: str | None = "end_turn") -> Reply:
    """A message of these texts, one event each."""
    return streams(text(0, *texts), stop=stop)


def streams(*blocks: Iterable[Mapping[str, Any]], stop: str | None = "end_turn") -> Reply:
    """A message of these blocks, from `message_start` to `message_stop`."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 0}
    message = {"id": "msg_up", "type": "message", "role": "assistant", "content": []}
    told: list[Mapping[str, Any]] = [
        {"type": "message_start", "message": {**message, "usage": usage | {"output_tokens": 1}}},
        {"type": "ping"},
    ]
    told += (event for block in blocks for event in block)
    delta = {"stop_reason": stop, "stop_sequence": None}
    told.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}})
    return events(*told, {"type": "message_stop"})


def text(index: int, *texts: str) -> Iterator[dict[str, Any]]:
    """The events of a block of text."""
    pieces = ({"type": "text_delta", "text": piece} for piece in texts)
    return _block(index, {"type": "text", "text": ""}, pieces)


def thinking(index: int, *thoughts: str, signature: str) -> Iterator[dict[str, Any]]:
    """The events of a block of thinking."""
    pieces = [{"type": "thinking_delta", "thinking": thought} for thought in thoughts]
    signed = {"type": "signature_delta", "signature": signature}
    return _block(index, {"type": "thinking", "thinking": "", "signature": ""}, [*pieces, signed])


def redacted(index: int, data: str) -> Iterator[dict[str, Any]]:
    """The events of a block of thinking that nobody may read."""
    return _block(index, {"type": "redacted_thinking", "data": data}, ())


def call(index: int, id: str, name: str, *pieces: str) -> Iterator[dict[str, Any]]:
    """The events of a tool's use whose input comes in these pieces."""
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return _block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, deltas)


def refuses(status: int, kind: str, message: str, **headers: str) -> Reply:
    """An error in Anthropic's JSON; `retry_after="1"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    return Reply([body], status, {"content-type": "application/json", **named})


def _block(
    index: int, block: Mapping[str, Any], deltas: Iterable[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": index, "content_block": block}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
