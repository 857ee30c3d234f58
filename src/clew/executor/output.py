"""Builds the output items of one model call from its deltas, telling the run's followers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    TextAdded,
    TextKind,
)
from clew.core.ids import new_item_id, new_key
from clew.core.items import Item, new_item, text_part
from clew.core.runs import Run
from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    HostedDelta,
    ItemDone,
    TextDelta,
    ToolCallDelta,
)

_REASONING: dict[str, str] = {"reasoning_text": "content", "summary_text": "summary"}
"""Kind of text -> the list of a reasoning item it is in; other kinds are in a message."""

_PAYLOAD = {"function_call": "arguments", "custom_tool_call": "input"}


class _Draft(msgspec.Struct):
    """An item that is being made; `kind` is as in `Item`, `texts` are keyed by kind and part."""

    index: int
    id: str
    kind: str
    created_at: int
    call_id: str = ""
    name: str = ""
    arguments: list[str] = []
    texts: dict[tuple[TextKind, int], list[str]] = {}
    annotations: dict[int, list[dict[str, Any]]] = {}
    whole: dict[str, Any] | None = None
    closed: bool = False


class Output:
    """`take` deltas, then `finish`: the items in the order the model began them.

    `first` is the index of the first item: a run that asks its model more than once goes on
    counting.
    """

    def __init__(
        self, run: Run, tell: Callable[[Event], None], now: Callable[[], int], first: int = 0
    ) -> None:
        self._run, self._tell, self._now = run, tell, now
        self._open: list[_Draft] = []
        self.next_index = first
        self._message: _Draft | None = None
        self._reasoning: _Draft | None = None
        self._calls: dict[int, _Draft] = {}
        self._hosted: dict[int, _Draft] = {}
        self._items: list[Item] = []

    def take(self, delta: Delta) -> None:
        match delta:
            case TextDelta():
                self._take_text(delta)
            case ToolCallDelta():
                self._take_call(delta)
            case AnnotationDelta():
                draft = self._text_draft("output_text")
                draft.annotations.setdefault(delta.part, []).append(delta.annotation)
                note = AnnotationAdded(draft.index, draft.id, delta.annotation, delta.part)
                self._tell(note)
            case HostedDelta():
                self._take_hosted(delta)
            case ItemDone():
                self._close(self._draft_of(delta), delta.item)

    def finish(self, status: str = "completed") -> list[Item]:
        """The items; with `status` "incomplete", as far as they came.

        A call that was cut off is dropped: its arguments are not what the model meant.
        """
        for draft in self._open:
            if draft.closed or status == "completed" or draft.kind == "assistant":
                self._end(draft, "completed" if draft.closed else status)
        self._open = []
        return self._items

    def _take_text(self, delta: TextDelta) -> None:
        draft = self._text_draft(delta.kind)
        draft.texts.setdefault((delta.kind, delta.part), []).append(delta.text)
        self._tell(TextAdded(draft.index, draft.id, delta.text, delta.kind, delta.part))

    def _text_draft(self, kind: TextKind) -> _Draft:
        """The open message or reasoning; reasoning is over once the model speaks."""
        if kind in _REASONING:
            if self._reasoning is None:
                self._close_texts()
                self._reasoning = self._begin("reasoning")
            return self._reasoning
        if self._message is None:
            self._close_texts()
            self._message = self._begin("assistant")
        return self._message

    def _take_call(self, delta: ToolCallDelta) -> None:
        call = self._calls.get(delta.index)
        if call is None:
            self._close_texts()
            call_id = delta.call_id or f"call_{new_key(self._now())}"
            call = self._begin(delta.kind, call_id, delta.name or "")
            self._calls[delta.index] = call
        if delta.arguments:
            call.arguments.append(delta.arguments)
            self._tell(ArgumentsAdded(call.index, call.id, delta.arguments))

    def _take_hosted(self, delta: HostedDelta) -> None:
        draft = self._hosted.get(delta.index)
        if draft is None:
            draft = self._begin_hosted(delta.index, delta.item or {})
        if delta.stage is not None:
            stage, data = delta.stage, delta.data
            self._tell(ItemProgressed(draft.index, draft.id, draft.kind, stage, data))

    def _begin_hosted(self, index: int | None, item: dict[str, Any]) -> _Draft:
        self._close_texts()
        rest = {name: value for name, value in item.items() if name not in ("id", "type")}
        draft = self._begin(item["type"], data=rest)
        draft.whole = rest
        if index is not None:
            self._hosted[index] = draft
        return draft

    def _draft_of(self, done: ItemDone) -> _Draft:
        """The draft that a whole item completes, begun now if it never was."""
        kind = done.item["type"]
        if kind == "message":
            return self._text_draft("output_text")
        if kind == "reasoning":
            return self._text_draft("summary_text")
        if kind in _PAYLOAD:
            call_id, name = done.item["call_id"], done.item["name"]
            known = (draft for draft in self._calls.values() if draft.call_id == call_id)
            draft = next(known, None)
            if draft is None:
                self._close_texts()
                draft = self._begin(kind, call_id, name)
            return draft
        hosted = None if done.index is None else self._hosted.get(done.index)
        return hosted or self._begin_hosted(done.index, done.item)

    def _close(self, draft: _Draft, item: dict[str, Any] | None = None) -> None:
        """The draft is complete. Items end in the order they began."""
        draft.closed = True
        if item is not None:
            draft.whole = {k: v for k, v in item.items() if k not in ("id", "type", "role")}
        if draft is self._message:
            self._message = None
        if draft is self._reasoning:
            self._reasoning = None
        while self._open and self._open[0].closed:
            self._end(self._open.pop(0), "completed")

    def _close_texts(self) -> None:
        """What the model said is whole once it begins something else."""
        for draft in (self._reasoning, self._message):
            if draft is not None:
                self._close(draft)

    def _end(self, draft: _Draft, status: str) -> None:
        item = self._item(draft, status)
        self._items.append(item)
        self._tell(ItemEnded(draft.index, item))

    def _begin(
        self, kind: str, call_id: str = "", name: str = "", data: dict[str, Any] | None = None
    ) -> _Draft:
        now = self._now()
        draft = _Draft(self.next_index, new_item_id(kind, now), kind, now, call_id, name)
        self.next_index += 1
        self._open.append(draft)
        self._tell(ItemBegan(draft.index, draft.id, kind, now, call_id or None, name or None, data))
        return draft

    def _item(self, draft: _Draft, status: str) -> Item:
        if draft.kind == "assistant":
            data = self._message_data(draft, status)
        elif draft.whole is not None:
            data = {"type": draft.kind, **draft.whole}
        elif draft.kind == "reasoning":
            data = _reasoning_data(draft)
        else:
            data = _call_data(draft, status)
        return new_item(draft.id, data, draft.created_at, self._run.key)

    def _message_data(self, draft: _Draft, status: str) -> dict[str, Any]:
        whole = draft.whole or {"content": _content(draft)}
        data = {"type": "message", "status": status, **whole, "role": "assistant"}
        if self._run.assistant is not None:
            data["assistant_id"] = f"asst_{self._run.assistant}"
        return data


def _content(draft: _Draft) -> list[dict[str, Any]]:
    """The parts of a message, in the order they began."""
    parts: list[dict[str, Any]] = []
    for (kind, part), pieces in draft.texts.items():
        text = "".join(pieces)
        if kind == "refusal":
            parts.append({"type": "refusal", "refusal": text})
        else:
            notes = draft.annotations.get(part, [])
            parts.append(text_part("assistant", text) | {"annotations": notes})
    return parts or [text_part("assistant", "")]


def _reasoning_data(draft: _Draft) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "reasoning", "summary": []}
    for (kind, _), pieces in draft.texts.items():
        part = {"type": kind, "text": "".join(pieces)}
        data.setdefault(_REASONING[kind], []).append(part)
    return data


def _call_data(draft: _Draft, status: str) -> dict[str, Any]:
    data = {"type": draft.kind, "call_id": draft.call_id, "name": draft.name}
    if draft.kind == "function_call":
        data["status"] = status
    return data | {_PAYLOAD[draft.kind]: "".join(draft.arguments)}
