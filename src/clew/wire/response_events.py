"""The stream of a response: Clew's events as Responses events, numbered from 0.

The same events always give the same bytes under the same numbers, so a stream can be told again,
or gone on with after any number. (Only the padding, where a client asks for it, is new each time.)

Deltas are most of a stream, so each kind is a template that is filled with a number and a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    RunChanged,
    TextAdded,
    TextKind,
)
from clew.core.items import Item, new_item, text_part
from clew.core.runs import Run
from clew.wire.items import encode_item
from clew.wire.responses import encode_response
from clew.wire.sse import sse, sse_template

PAD_TO = 16
"""Padding fills the text of a delta up to a multiple of so many bytes, so that the size of an
event tells little about it."""

_ENDINGS = {"completed": "completed", "incomplete": "incomplete"}
"""Terminal statuses with an event of their own; every other end is told as `response.failed`."""

_TEXTS: dict[str, tuple[str, str, str]] = {
    "output_text": ("content", "output_text", "text"),
    "refusal": ("content", "refusal", "refusal"),
    "reasoning_text": ("content", "reasoning_text", "text"),
    "summary_text": ("summary", "reasoning_summary_text", "text"),
}
"""Kind of text -> the list its parts are in, what its events are called, its field in a part."""

_PART_EVENTS = {"content": "content_part", "summary": "reasoning_summary_part"}

_PAYLOADS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
"""Kind of call -> what the events of its payload are called, and its field in the item."""

_OURS = frozenset({"type", "sequence_number", "item_id", "output_index"})
"""Fields of an event that are ours to say, whatever an upstream said."""

_encode = msgspec.json.Encoder().encode


class _Part(msgspec.Struct):
    """The part of a message, or of reasoning, that is being said: the `number`th of its list."""

    kind: TextKind
    number: int
    place: dict[str, Any]
    template: bytes
    pieces: list[str] = []
    annotations: list[dict[str, Any]] = []

    def whole(self) -> dict[str, Any]:
        said = {_TEXTS[self.kind][2]: "".join(self.pieces)}
        if self.kind == "output_text":
            return text_part("assistant", "") | said | {"annotations": self.annotations}
        return {"type": self.kind, **said}


class ResponseStream:
    """Turns a run's events into bytes, one call of `encode` each.

    With `after`, only what has a higher number comes out. `include` is what items show beyond the
    ordinary; None stands for what the run was asked for. `padding` gives some random letters, at
    least `PAD_TO`, for the `obfuscation` of deltas; without it they have none.
    """

    def __init__(
        self,
        after: int = -1,
        include: Collection[str] | None = None,
        padding: Callable[[], str] | None = None,
    ) -> None:
        self._after, self._include, self._padding = after, include, padding
        self._number = 0
        self._begun = self._in_progress = False
        self._output: dict[int, Item] = {}
        self._parts: dict[tuple[int, str], _Part] = {}
        self._notes: dict[tuple[int, int], int] = {}
        self._payloads: dict[int, bytes] = {}

    def encode(self, event: Event) -> bytes:
        match event:
            case TextAdded():
                return self._text_added(event)
            case ArgumentsAdded():
                return self._delta(self._payloads[event.index], event.arguments)
            case ItemProgressed():
                return self._item_progressed(event)
            case AnnotationAdded():
                return self._annotation_added(event)
            case ItemBegan():
                return self._item_began(event)
            case ItemEnded():
                return self._item_ended(event)
            case RunChanged(run):
                return self._run_changed(run)

    def _run_changed(self, run: Run) -> bytes:
        said = b""
        if not self._begun:
            said = self._open(run)
        if run.is_terminal:
            return said + self._say_response(_ENDINGS.get(run.status, "failed"), run)
        if run.status == "in_progress" and not self._in_progress:
            self._in_progress = True
            said += self._say_response("in_progress", run)
        return said

    def _open(self, run: Run) -> bytes:
        self._begun = True
        if self._include is None:
            self._include = run.settings.get("include") or ()
        if not run.settings.get("background") and run.place is None:
            return self._say_response("created", run, "in_progress")
        created = self._say_response("created", run, "queued")
        return created + self._say_response("queued", run, "queued")

    def _item_began(self, event: ItemBegan) -> bytes:
        item: dict[str, Any] = {"id": event.id, "type": event.kind}
        if event.kind == "assistant":
            item |= {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        elif event.kind == "reasoning":
            item |= {"summary": []}
        elif event.kind in _PAYLOADS:
            name, field = _PAYLOADS[event.kind]
            item |= {"status": "in_progress", "call_id": event.call_id, "name": event.name}
            item[field] = ""
            self._payloads[event.index] = self._template(f"{name}.delta", _place(event))
        else:
            data = {"type": event.kind, **(event.data or {})}
            begun = new_item(event.id, data, event.created_at)
            return self._say_item("added", event.index, begun)
        return self._say("output_item.added", {"output_index": event.index}, item=item)

    def _text_added(self, event: TextAdded) -> bytes:
        part = self._parts.get((event.index, _TEXTS[event.kind][0]))
        opened = b""
        if part is None or part.number != event.part:
            opened, part = self._open_part(event, event.kind)
        part.pieces.append(event.text)
        return opened + self._delta(part.template, event.text)

    def _annotation_added(self, event: AnnotationAdded) -> bytes:
        part = self._parts.get((event.index, "content"))
        opened = b""
        if part is None or part.number < event.part:
            opened, part = self._open_part(event, "output_text")
        if part.number == event.part:  # else it is a late one, of a part that was told as whole
            part.annotations.append(event.annotation)
        count = self._notes.get((event.index, event.part), 0)
        self._notes[event.index, event.part] = count + 1
        place = _place(event) | {"content_index": event.part, "annotation_index": count}
        said = self._say("output_text.annotation.added", place, annotation=event.annotation)
        return opened + said

    def _item_progressed(self, event: ItemProgressed) -> bytes:
        """`searching` is `response.<kind>.searching`, `code.delta` `response.<kind>_code.delta`."""
        between = "_" if "." in event.stage else "."
        place = _place(event)
        data = {name: value for name, value in event.data.items() if name not in _OURS}
        return self._say(f"{event.kind}{between}{event.stage}", place, **data)

    def _item_ended(self, event: ItemEnded) -> bytes:
        item = event.item
        self._output[event.index] = item
        said = b""
        if item.kind in _PAYLOADS:
            data = item.data()
            name, field = _PAYLOADS[item.kind]
            named = {"name": data["name"]} if item.kind == "function_call" else {}
            place = {"item_id": item.id, "output_index": event.index}
            said = self._say(f"{name}.done", place, **named, **{field: data[field]})
        elif item.is_message or item.kind == "reasoning":
            data = item.data()
            said = self._close_part(event.index, "summary", data)
            said += self._close_part(event.index, "content", data)
        return said + self._say_item("done", event.index, item)

    def _open_part(self, event: TextAdded | AnnotationAdded, kind: TextKind) -> tuple[bytes, _Part]:
        """The part that begins with this event; the one before it in its list is whole."""
        listed, name, _ = _TEXTS[kind]
        said = self._close_part(event.index, listed)
        place = _place(event) | {f"{listed}_index": event.part}
        end = b',"logprobs":[]' if kind == "output_text" else b""
        part = _Part(kind, event.part, place, self._template(f"{name}.delta", place, end))
        self._parts[event.index, listed] = part
        return said + self._say(f"{_PART_EVENTS[listed]}.added", place, part=part.whole()), part

    def _close_part(self, index: int, listed: str, data: Mapping[str, Any] = {}) -> bytes:
        """The end of the open part of a list, if one is; `data` is its item, if that has ended."""
        part = self._parts.pop((index, listed), None)
        if part is None:
            return b""
        _, name, field = _TEXTS[part.kind]
        whole = part.whole()
        for final in (data.get(listed) or [])[part.number : part.number + 1]:
            whole = final if final["type"] == part.kind else whole
        done = {field: whole[field]}
        if part.kind == "output_text":
            whole = self._shown(whole)
            done["logprobs"] = whole["logprobs"]
        cut = listed == "summary" and data.get("status") == "incomplete"
        said = self._say(f"{name}.done", part.place, **done)
        ending = {"status": "incomplete"} if cut else {}
        return said + self._say(f"{_PART_EVENTS[listed]}.done", part.place, part=whole, **ending)

    def _shown(self, part: dict[str, Any]) -> dict[str, Any]:
        hidden = "message.output_text.logprobs" not in (self._include or ())
        return {**part, "logprobs": [] if hidden else part.get("logprobs") or []}

    def _template(self, name: str, place: dict[str, Any], end: bytes = b"") -> bytes:
        type = f"response.{name}"
        start = b'{"type":"%b","sequence_number":%%d,%b,"delta":' % (
            type.encode(),
            _encode(place)[1:-1],
        )
        padding = b"" if self._padding is None else b',"obfuscation":"%b"'
        return sse_template(type, start, end + padding + b"}")

    def _delta(self, template: bytes, text: str) -> bytes:
        number = self._number
        self._number = number + 1
        if number <= self._after:
            return b""
        encoded = _encode(text)
        if self._padding is None:
            return template % (number, number, encoded)
        padding = self._padding()[: PAD_TO - len(encoded) % PAD_TO]
        return template % (number, number, encoded, padding.encode())

    def _say_response(self, event: str, run: Run, status: str | None = None) -> bytes:
        if self._number <= self._after:
            return self._say(event, {})
        output = [item for _, item in sorted(self._output.items())]
        response = encode_response(run, output, self._include)
        return self._say(event, {}, response=response | ({"status": status} if status else {}))

    def _say_item(self, event: str, index: int, item: Item) -> bytes:
        encoded = msgspec.Raw(encode_item(item, self._include or ()))
        return self._say(f"output_item.{event}", {"output_index": index}, item=encoded)

    def _say(self, event: str, place: dict[str, Any], **rest: Any) -> bytes:
        number = self._number
        self._number = number + 1
        if number <= self._after:
            return b""
        type = f"response.{event}"
        data = {"type": type, "sequence_number": number, **place, **rest}
        return sse(type, data, b"%d" % number)


def _place(event: Any) -> dict[str, Any]:
    return {"item_id": event.id, "output_index": event.index}
