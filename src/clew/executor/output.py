"""Builds the output items of one model call from its deltas, telling the run's followers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, TextAdded
from clew.core.ids import new_item_id, new_key
from clew.core.items import Item, new_item, text_part
from clew.core.runs import Run
from clew.providers.provider import TextDelta, ToolCallDelta


class _Draft(msgspec.Struct):
    index: int
    id: str
    kind: str
    created_at: int
    call_id: str = ""
    name: str = ""
    parts: list[str] = []
    whole: bool = False


class Output:
    """`take` deltas, then `finish`: the items in the order the model began them."""

    def __init__(self, run: Run, tell: Callable[[Event], None], now: Callable[[], int]) -> None:
        self._run, self._tell, self._now = run, tell, now
        self._open: list[_Draft] = []
        self._begun = 0
        self._message: _Draft | None = None
        self._calls: dict[int, _Draft] = {}
        self._items: list[Item] = []

    def take(self, delta: TextDelta | ToolCallDelta) -> None:
        if isinstance(delta, TextDelta):
            draft = self._message = self._message or self._begin("assistant")
            draft.parts.append(delta.text)
            self._tell(TextAdded(draft.index, draft.id, delta.text))
            return
        call = self._calls.get(delta.index)
        if call is None:
            self._end_message()
            call_id = delta.call_id or f"call_{new_key(self._now())}"
            call = self._begin("function_call", call_id, delta.name or "")
            self._calls[delta.index] = call
        if delta.arguments:
            call.parts.append(delta.arguments)
            self._tell(ArgumentsAdded(call.index, call.id, delta.arguments))

    def finish(self, status: str = "completed") -> list[Item]:
        """The items; with `status` "incomplete", as far as they came.

        A function call that was cut off is dropped: its arguments are not what the model meant.
        """
        for draft in self._open:
            if draft.kind == "assistant" or status == "completed":
                self._end(draft, "completed" if draft.whole else status)
        self._open = []
        return self._items

    def _end_message(self) -> None:
        """A message is whole once the model calls a function; what it says then is another.

        It ends then, unless a call that began before it is still open.
        """
        message, self._message = self._message, None
        if message is not None:
            message.whole = True
            if self._open[0] is message:
                self._end(self._open.pop(0), "completed")

    def _end(self, draft: _Draft, status: str) -> None:
        item = self._item(draft, status)
        self._items.append(item)
        self._tell(ItemEnded(draft.index, item))

    def _begin(self, kind: str, call_id: str = "", name: str = "") -> _Draft:
        now = self._now()
        draft = _Draft(self._begun, new_item_id(kind, now), kind, now, call_id, name, [])
        self._begun += 1
        self._open.append(draft)
        named = (call_id, name) if call_id else (None, None)
        self._tell(ItemBegan(draft.index, draft.id, kind, now, *named))
        return draft

    def _item(self, draft: _Draft, status: str) -> Item:
        text = "".join(draft.parts)
        data: dict[str, Any]
        if draft.kind == "function_call":
            data = {
                "type": "function_call",
                "status": status,
                "call_id": draft.call_id,
                "name": draft.name,
                "arguments": text,
            }
        else:
            data = {
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [text_part("assistant", text)],
            }
            if self._run.assistant is not None:
                data["assistant_id"] = f"asst_{self._run.assistant}"
        return new_item(draft.id, data, draft.created_at, self._run.key)
