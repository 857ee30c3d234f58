"""What a model server that speaks Responses says, for `clew.testing.upstream.Upstream`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clew.testing.upstream import Reply, events

USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 5,
}


def says(*texts: str, status: str = "completed", reason: str | None = None) -> Reply:
    """A message of these texts, one event each."""
    return streams(*message(0, *texts), status=status, reason=reason)


def streams(
    *happened: Mapping[str, Any],
    status: str = "completed",
    reason: str | None = None,
    error: Mapping[str, Any] | None = None,
) -> Reply:
    """A response in which this happened, from `response.created` to its end."""
    begun = {"id": "resp_up", "object": "response", "status": "in_progress", "output": []}
    ended = begun | {"status": status, "usage": USAGE, "error": error}
    ended["incomplete_details"] = {"reason": reason} if reason else None
    told = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *happened,
        {"type": f"response.{status}", "response": ended},
    ]
    return events(*({**event, "sequence_number": at} for at, event in enumerate(told)))


def message(index: int, *texts: str) -> Iterator[dict[str, Any]]:
    """The events of a message."""
    item = {"id": f"msg_up{index}", "type": "message", "role": "assistant"}
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": []}
    yield added(index, {**item, "status": "in_progress", "content": []})
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for text in texts:
        yield {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield done(index, {**item, "status": "completed", "content": [part]})


def reasoning(index: int, *summary: str, seal: str | None = None) -> Iterator[dict[str, Any]]:
    """The events of reasoning with one part of summary."""
    item = {"id": f"rs_up{index}", "type": "reasoning"}
    place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    yield added(index, {**item, "summary": []})
    for text in summary:
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": text}
    parts = [{"type": "summary_text", "text": "".join(summary)}] if summary else []
    yield done(index, {**item, "summary": parts, "encrypted_content": seal})


def call(index: int, call_id: str, name: str, *pieces: str) -> Iterator[dict[str, Any]]:
    """The events of a function call whose arguments come in these pieces."""
    item = {"id": f"fc_up{index}", "type": "function_call", "call_id": call_id, "name": name}
    place = {"item_id": item["id"], "output_index": index}
    yield added(index, {**item, "status": "in_progress", "arguments": ""})
    for piece in pieces:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    arguments = "".join(pieces)
    yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}
    yield done(index, {**item, "status": "completed", "arguments": arguments})


def hosted(
    index: int, item: Mapping[str, Any], stages: Sequence[str], **changes: Any
) -> Iterator[dict[str, Any]]:
    """The events of an item that the server works on itself, with `changes` once it is done."""
    place = {"item_id": item["id"], "output_index": index}
    yield added(index, {**item, "status": "in_progress"})
    for stage in stages:
        yield {"type": f"response.{item['type']}.{stage}", **place}
    yield done(index, {**item, "status": "completed", **changes})


def added(index: int, item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}
