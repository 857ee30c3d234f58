"""The stream of a response: Clew's events as Responses events, numbered from 0."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import Item, text_part
from clew.core.runs import Run
from clew.wire.items import encode_item
from clew.wire.responses import encode_response
from clew.wire.sse import sse

_ENDINGS = {"completed": "completed", "incomplete": "incomplete"}
"""Terminal statuses with an event of their own; every other end is told as `response.failed`."""


class ResponseStream:
    """Turns a run's events into bytes, one call of `encode` each."""

    def __init__(self) -> None:
        self._number = 0
        self._begun = False
        self._output: list[Item] = []

    def encode(self, event: Event) -> bytes:
        match event:
            case RunChanged(run):
                return self._run_changed(run)
            case ItemBegan():
                return self._item_began(event)
            case TextAdded():
                place = {"item_id": event.id, "output_index": event.index, "content_index": 0}
                return self._say("output_text.delta", place, delta=event.text, logprobs=[])
            case ArgumentsAdded():
                place = {"item_id": event.id, "output_index": event.index}
                return self._say("function_call_arguments.delta", place, delta=event.arguments)
            case ItemEnded():
                return self._item_ended(event)
            case _:
                return b""

    def _run_changed(self, run: Run) -> bytes:
        response = encode_response(run, self._output)
        if run.is_terminal:
            opening = b"" if self._begun else self._open(response)
            return opening + self._say(_ENDINGS.get(run.status, "failed"), {}, response=response)
        if not self._begun:
            return self._open(response)
        if run.status == "in_progress":
            return self._say("in_progress", {}, response=response)
        return b""

    def _open(self, response: dict[str, Any]) -> bytes:
        self._begun = True
        return self._say("created", {}, response=response | {"status": "in_progress"})

    def _item_began(self, event: ItemBegan) -> bytes:
        index = {"output_index": event.index}
        if event.kind == "function_call":
            item: dict[str, Any] = {
                "id": event.id,
                "type": "function_call",
                "status": "in_progress",
                "call_id": event.call_id,
                "name": event.name,
                "arguments": "",
            }
            return self._say("output_item.added", index, item=item)
        item = {
            "id": event.id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        place = {"item_id": event.id, **index, "content_index": 0}
        return self._say("output_item.added", index, item=item) + self._say(
            "content_part.added", place, part=text_part("assistant", "")
        )

    def _item_ended(self, event: ItemEnded) -> bytes:
        item = event.item
        self._output.append(item)
        index = {"output_index": event.index}
        place = {"item_id": item.id, **index}
        if item.kind == "function_call":
            data = item.data()
            said = self._say(
                "function_call_arguments.done",
                place,
                name=data["name"],
                arguments=data["arguments"],
            )
        else:
            place |= {"content_index": 0}
            text = item.text()
            said = self._say("output_text.done", place, text=text, logprobs=[])
            said += self._say("content_part.done", place, part=text_part("assistant", text))
        return said + self._say("output_item.done", index, item=msgspec.Raw(encode_item(item)))

    def _say(self, event: str, place: dict[str, Any], **rest: Any) -> bytes:
        type = f"response.{event}"
        data = {"type": type, "sequence_number": self._number, **place, **rest}
        self._number += 1
        return sse(type, data)
