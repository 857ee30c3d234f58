"""Builds the output items of one model call from its deltas, telling the run's followers.

What the events say adds up to the items: every part of a text and every payload that is in an item
was told before its end, in the order and under the number it has there. After its end nothing is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
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
from clew.core.items import CALLS, Item, new_item, text_part
from clew.core.runs import Run
from clew.executor.toolbox import Asked
from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    HostedDelta,
    ItemDone,
    TextDelta,
    ToolCallDelta,
)

LISTS: dict[str, str] = {
    "output_text": "content",
    "refusal": "content",
    "reasoning_text": "content",
    "summary_text": "summary",
}
"""Kind of text -> the list of its item that it is a part of."""

PAYLOADS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Kind of call -> the field with what its function is given."""

_REASONING = frozenset({"reasoning_text", "summary_text"})
"""Kinds of text that are in reasoning; the others are in a message."""

_CUT_OFF: dict[str, dict[str, Any]] = {
    "web_search_call": {"action": {"type": "search"}},
    "file_search_call": {"queries": []},
    "code_interpreter_call": {"code": None, "outputs": None},
    "mcp_call": {"arguments": ""},
}
"""Work of the upstream that may be left incomplete -> what it has at least. Other kinds have no
such status, or are for the client to answer, which it could not."""


class _Part(msgspec.Struct):
    """A part of a text: the `place`th of its list; `number` is what the provider calls it."""

    kind: TextKind
    number: int
    place: int
    pieces: list[str] = []
    annotations: list[dict[str, Any]] = []

    def data(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == "output_text":
            return text_part("assistant", text) | {"annotations": self.annotations}
        return {"type": self.kind, "refusal" if self.kind == "refusal" else "text": text}


class _Draft(msgspec.Struct):
    """An item that is being made; `kind` is as in `Item`, `parts` are by their list.

    `whole` is all of it but its id and type, as far as the upstream itself has said so.
    """

    index: int
    id: str
    kind: str
    created_at: int
    call_id: str = ""
    name: str = ""
    arguments: list[str] = []
    parts: dict[str, list[_Part]] = {}
    whole: dict[str, Any] | None = None
    closed: bool = False


class Output:
    """`take` deltas, then `finish`: the items in the order the model began them.

    `number` gives each item its index, since a run that asks its model more than once goes on
    counting. Calls of functions that Clew `owns` are no items of the model's: they are in `asked`,
    once they are whole. `cites` gives the annotations of a text that is whole.
    """

    def __init__(
        self,
        run: Run,
        tell: Callable[[Event], None],
        now: Callable[[], int],
        number: Callable[[], int] | None = None,
        owns: Callable[[str], bool] = lambda _: False,
        cites: Callable[[str], list[dict[str, Any]]] = lambda _: [],
    ) -> None:
        self._run, self._tell, self._now = run, tell, now
        self._owns, self._cites = owns, cites
        self._ours: dict[int | str, Asked] = {}
        self.asked: list[Asked] = []
        self._open: list[_Draft] = []
        self._number = number or count().__next__
        self._message: _Draft | None = None
        self._reasoning: _Draft | None = None
        self._calls: dict[int, _Draft] = {}
        self._hosted: dict[int, _Draft] = {}
        self._items: dict[int, Item] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the model has said nothing yet."""
        return not (self._open or self._items or self.asked)

    def take(self, delta: Delta) -> None:
        match delta:
            case TextDelta():
                if delta.text:
                    self._add_text(self._text_draft(delta.kind), delta.kind, delta.part, delta.text)
            case ToolCallDelta():
                self._take_call(delta)
            case AnnotationDelta():
                self._take_annotation(delta)
            case HostedDelta():
                self._take_hosted(delta)
            case ItemDone(item) if item["type"] == "function_call" and self._owns(item["name"]):
                self._take_ours_whole(item)
            case ItemDone():
                self._take_whole(self._draft_of(delta), delta.item)

    def finish(self, status: str = "completed", reason: str | None = None) -> list[Item]:
        """The items in the order they began; with `status` "incomplete", as far as they came, and
        why no further.

        A call that was cut off is dropped: its arguments are not what the model meant.
        """
        for draft in self._open:
            if status == "completed":
                self._end(draft)
            elif draft.kind in _CUT_OFF or draft.kind in ("assistant", "reasoning"):
                self._end(draft, status, reason)
        self._open = []
        return [item for _, item in sorted(self._items.items())]

    def _add_text(self, draft: _Draft, kind: TextKind, number: int, text: str) -> None:
        part = self._part(draft, kind, number)
        part.pieces.append(text)
        self._tell(TextAdded(draft.index, draft.id, text, kind, part.place))

    def _part(self, draft: _Draft, kind: TextKind, number: int) -> _Part:
        """The last part of its list, or a new one; what was said before it is whole."""
        parts = draft.parts.setdefault(LISTS[kind], [])
        if not parts or parts[-1].number != number or parts[-1].kind != kind:
            parts.append(_Part(kind, number, len(parts)))
        return parts[-1]

    def _take_annotation(self, delta: AnnotationDelta) -> None:
        """A citation may come late, when the part after its own has begun."""
        draft = self._text_draft("output_text")
        parts = reversed(draft.parts.get("content", ()))
        known = (part for part in parts if (part.kind, part.number) == ("output_text", delta.part))
        part = next(known, None) or self._part(draft, "output_text", delta.part)
        self._annotate(draft, part, delta.annotation)

    def _annotate(self, draft: _Draft, part: _Part, annotation: dict[str, Any]) -> None:
        part.annotations.append(annotation)
        self._tell(AnnotationAdded(draft.index, draft.id, annotation, part.place))

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
        if delta.index in self._ours or (delta.name and self._owns(delta.name)):
            self._take_ours(delta)
            return
        call = self._calls.get(delta.index)
        if call is None:
            self._close_texts()
            call_id = delta.call_id or f"call_{new_key(self._now())}"
            call = self._begin(delta.kind, call_id, delta.name or "")
            self._calls[delta.index] = call
        if delta.arguments and not call.closed:
            self._add_arguments(call, delta.arguments)

    def _take_ours(self, delta: ToolCallDelta) -> None:
        call = self._ours.get(delta.index)
        if call is None:
            self._close_texts()
            call = self._ours[delta.index] = Asked(delta.name or "", "")
            self._ours[delta.call_id or ""] = call
            self.asked.append(call)
        call.arguments += delta.arguments

    def _take_ours_whole(self, item: dict[str, Any]) -> None:
        """One of ours is complete, whether or not a delta said so."""
        call = self._ours.get(item["call_id"])
        if call is None:
            self._close_texts()
            call = Asked(item["name"], "")
            self.asked.append(call)
        call.arguments = item["arguments"]

    def _add_arguments(self, call: _Draft, arguments: str) -> None:
        call.arguments.append(arguments)
        self._tell(ArgumentsAdded(call.index, call.id, arguments))

    def _take_hosted(self, delta: HostedDelta) -> None:
        draft = self._hosted.get(delta.index)
        if draft is None:
            draft = self._begin_hosted(delta.index, delta.item or {})
        if delta.stage is not None and not draft.closed:
            stage, data = delta.stage, delta.data
            self._tell(ItemProgressed(draft.index, draft.id, draft.kind, stage, data))

    def _begin_hosted(self, index: int | None, item: dict[str, Any]) -> _Draft:
        self._close_texts()
        rest = _rest(item)
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
        if kind in CALLS:
            call_id, name = done.item["call_id"], done.item["name"]
            known = (draft for draft in self._calls.values() if draft.call_id == call_id)
            draft = next(known, None)
            if draft is None:
                self._close_texts()
                draft = self._begin(kind, call_id, name)
            return draft
        hosted = None if done.index is None else self._hosted.get(done.index)
        return hosted or self._begin_hosted(done.index, done.item)

    def _take_whole(self, draft: _Draft, item: dict[str, Any]) -> None:
        """The item is complete; what no delta said of it is said now. It ends once."""
        if draft.closed:
            return
        whole = _rest(item)
        if draft.kind == "assistant":
            whole["content"] = whole.get("content") or [text_part("assistant", "")]
        if draft.kind in ("assistant", "reasoning"):
            for listed in ("summary", "content"):
                for place, part in enumerate(whole.get(listed) or ()):
                    self._catch_up(draft, place, part)
        if draft.kind in CALLS:
            said, meant = "".join(draft.arguments), str(whole[PAYLOADS[draft.kind]])
            if meant.startswith(said) and meant != said:
                self._add_arguments(draft, meant[len(said) :])
        draft.whole = whole
        self._close(draft)

    def _catch_up(self, draft: _Draft, place: int, whole: dict[str, Any]) -> None:
        """Tell what is in this part of the whole item and was not told yet."""
        kind: TextKind = whole["type"]
        if kind not in LISTS:
            return
        parts = draft.parts.setdefault(LISTS[kind], [])
        if place > len(parts):
            return  # one of a kind we do not know came before it
        said = "".join(parts[place].pieces) if place < len(parts) else ""
        text = whole["refusal" if kind == "refusal" else "text"]
        if place == len(parts):
            parts.append(_Part(kind, -1 - place, place))
            self._add_text(draft, kind, -1 - place, text)
        elif place == len(parts) - 1 and text.startswith(said) and text != said:
            self._add_text(draft, kind, parts[place].number, text[len(said) :])
        for note in (whole.get("annotations") or [])[len(parts[place].annotations) :]:
            self._annotate(draft, parts[place], note)

    def _close(self, draft: _Draft) -> None:
        """The draft is complete, and its end is told: before that of a call which began earlier
        and which a provider may say more of."""
        draft.closed = True
        if draft is self._message:
            self._message = None
        if draft is self._reasoning:
            self._reasoning = None
        self._open.remove(draft)
        self._end(draft)

    def _close_texts(self) -> None:
        """What the model said is whole once it begins something else."""
        for draft in (self._reasoning, self._message):
            if draft is not None:
                self._close(draft)

    def _end(self, draft: _Draft, status: str = "completed", reason: str | None = None) -> None:
        if draft.kind == "assistant":
            self._cite(draft)
        item = self._item(draft, status, reason)
        self._items[draft.index] = item
        self._tell(ItemEnded(draft.index, item))

    def _cite(self, draft: _Draft) -> None:
        """A text that is whole may cite what our tools found."""
        for part in draft.parts.get("content", ()):
            notes = self._cites("".join(part.pieces)) if part.kind == "output_text" else []
            for note in notes:
                self._annotate(draft, part, note)
            if notes and draft.whole is not None:
                whole = draft.whole["content"][part.place]
                whole["annotations"] = [*(whole.get("annotations") or ()), *notes]

    def _begin(
        self, kind: str, call_id: str = "", name: str = "", data: dict[str, Any] | None = None
    ) -> _Draft:
        now = self._now()
        draft = _Draft(self._number(), new_item_id(kind, now), kind, now, call_id, name)
        self._open.append(draft)
        self._tell(ItemBegan(draft.index, draft.id, kind, now, call_id or None, name or None, data))
        return draft

    def _item(self, draft: _Draft, status: str, reason: str | None) -> Item:
        data = {"type": draft.kind, **_data(draft, status)}
        if draft.kind == "assistant":
            data |= {"type": "message", "role": "assistant"}
            if self._run.assistant is not None:
                data["assistant_id"] = f"asst_{self._run.assistant}"
            if reason is not None:
                data["incomplete_details"] = {"reason": reason}
        return new_item(draft.id, data, draft.created_at, self._run.key)


def _rest(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("id", "type", "role")}


def _data(draft: _Draft, status: str) -> dict[str, Any]:
    """The fields of the item, as the upstream said it or as its deltas add up."""
    if draft.whole is not None:
        return _whole(draft, draft.whole, status)
    if draft.kind == "assistant":
        return {"status": status, "content": _said(draft, "content")}
    if draft.kind == "reasoning":
        data: dict[str, Any] = {"summary": _said(draft, "summary")}
        if "content" in draft.parts:
            data["content"] = _said(draft, "content")
        return data if status == "completed" else data | {"status": status}
    called = {"status": status, "call_id": draft.call_id, "name": draft.name}
    return called | {PAYLOADS[draft.kind]: "".join(draft.arguments)}


def _whole(draft: _Draft, whole: dict[str, Any], status: str) -> dict[str, Any]:
    """As the upstream said it. What it never said the end of ends now."""
    if draft.closed:
        return {"status": "completed", **whole} if draft.kind == "assistant" else whole
    if status == "completed":
        return whole | {"status": status} if "status" in whole else whole
    return _CUT_OFF[draft.kind] | whole | {"status": status}


def _said(draft: _Draft, listed: str) -> list[dict[str, Any]]:
    return [part.data() for part in draft.parts.get(listed, ())]
