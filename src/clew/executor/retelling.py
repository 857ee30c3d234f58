"""An item of the log as the events that might have told of it, for those who come afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    TextAdded,
)
from clew.core.items import CALLS, Item
from clew.executor.output import LISTS, PAYLOADS

_STAGES = {
    "web_search_call": ("in_progress", "searching"),
    "file_search_call": ("in_progress", "searching"),
    "image_generation_call": ("in_progress", "generating"),
    "code_interpreter_call": ("in_progress", "code.delta", "code.done", "interpreting"),
    "mcp_call": ("in_progress", "arguments.delta", "arguments.done"),
    "mcp_list_tools": ("in_progress",),
}
"""Kind of work -> the stages it comes to before its end."""

_FAILS = frozenset({"mcp_call", "mcp_list_tools"})
"""Kinds of work whose failing is a stage; other kinds are over without a word."""

_LATER: dict[str, dict[str, Any]] = {
    "file_search_call": {"results": None},
    "code_interpreter_call": {"code": "", "outputs": None},
    "image_generation_call": {"result": None},
    "mcp_call": {"arguments": "", "output": None, "error": None},
    "mcp_list_tools": {"tools": [], "error": None},
}
"""What an item does not have yet when it begins."""


def retell(index: int, item: Item) -> Iterator[Event]:
    """The events of one item, from its beginning to its end."""
    data = item.data()
    begun = (index, item.id, item.kind, item.created_at)
    if item.kind in CALLS:
        yield ItemBegan(*begun, data["call_id"], data["name"])
        yield ArgumentsAdded(index, item.id, data[PAYLOADS[item.kind]])
    elif item.is_message or item.kind == "reasoning":
        yield ItemBegan(*begun)
        yield from _texts(index, item.id, data)
    else:
        yield ItemBegan(*begun, data=_as_begun(item.kind, data))
        for stage in _stages(item.kind, data):
            yield ItemProgressed(index, item.id, item.kind, stage, _stage_data(stage, data))
    yield ItemEnded(index, item)


def _texts(index: int, id: str, data: dict[str, Any]) -> Iterator[Event]:
    for listed in ("summary", "content"):
        for place, part in enumerate(data.get(listed) or ()):
            if part["type"] not in LISTS:
                continue
            text = part["refusal" if part["type"] == "refusal" else "text"]
            yield TextAdded(index, id, text, part["type"], place)
            for note in part.get("annotations") or ():
                yield AnnotationAdded(index, id, note, place)


def _as_begun(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in data.items() if name != "type"}
    rest |= {name: value for name, value in _LATER.get(kind, {}).items() if name in rest}
    return rest | ({"status": "in_progress"} if "status" in rest else {})


def _stages(kind: str, data: dict[str, Any]) -> Iterator[str]:
    if kind not in _STAGES:
        return
    yield from _STAGES[kind]
    failed = data.get("status") == "failed" or data.get("error") is not None
    if kind in _FAILS and failed:
        yield "failed"
    elif data.get("status", "completed") == "completed":
        yield "completed"


def _stage_data(stage: str, data: dict[str, Any]) -> dict[str, Any]:
    """`code.delta` has the whole code as its delta, `code.done` has it as `code`."""
    name, _, kind = stage.partition(".")
    if not kind:
        return {}
    return {"delta" if kind == "delta" else name: data.get(name) or ""}
