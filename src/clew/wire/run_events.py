"""The stream of a run: Clew's events as the 24 events of Assistants v2, in their usual order.

What it says of steps is what `clew.wire.steps` says of them afterwards. A step that is whole is
told when something else follows: only then is it known whether the run's usage is told with it.

The events of a turn are numbered from 1, and each names its number in its `id`, behind the turn
where that is not the first: `7`, `42.7`. The same events always have the same numbers, so a stream
can be gone on with after any of them. A thread made by the same request is told of before, as 0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.errors import BadRequest
from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    RunChanged,
    TextAdded,
)
from clew.core.items import CALLS, Item, new_item, text_part
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.wire.fields import seconds
from clew.wire.messages import encode_message
from clew.wire.parts import FILE_NOTES, to_thread_annotation
from clew.wire.runs import encode_run, encode_usage
from clew.wire.sse import sse, sse_template
from clew.wire.steps import (
    HOSTED,
    code_outputs,
    encode_row,
    encode_step,
    ended_with,
    message_details,
    rows,
    step_id,
)
from clew.wire.threads import encode_thread

_BROKEN_OFF = {"failed": "run_failed", "cancelled": "run_cancelled", "expired": "run_expired"}
"""How a run ended -> why a message that it left open is incomplete."""

_EVENT_ID = re.compile(r"(?:([0-9]{1,15})\.)?([0-9]{1,15})\Z")

_encode = msgspec.json.Encoder().encode


def decode_event_id(id: str, param: str) -> tuple[int, int]:
    """The turn and the number in the id of an event, which came as `param`."""
    found = _EVENT_ID.match(id)
    if found is None:
        message = f"Invalid '{param}': expected the id of an event of this run, like '7' or '42.7'."
        raise BadRequest(message, param, "invalid_value")
    return int(found[1] or 0), int(found[2])


class _Part(msgspec.Struct):
    """A part of a message that is being said."""

    kind: str
    template: bytes
    pieces: list[str] = []
    notes: int = 0

    def data(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return text_part("assistant", text)


class _Step(msgspec.Struct):
    """A step that has not ended: its first item, and those of its items that have."""

    began: ItemBegan
    items: list[Item] = []
    parts: dict[int, _Part] = {}
    calls: int = 0


class RunStream:
    """Turns a run's events into bytes, one call of `encode` each; nothing comes after its end.

    `thread` was made by the same request. `answered` are the calls (with the outputs just
    submitted) that let a paused run go on in this `turn`: their steps end first. `include` is what
    steps show beyond the ordinary. With `after`, only what has a higher number comes out.
    """

    def __init__(
        self,
        thread: Thread | None = None,
        answered: tuple[Sequence[Item], Mapping[str, str]] | None = None,
        include: Collection[str] = (),
        *,
        turn: int = 0,
        after: int = 0,
    ) -> None:
        self._thread, self._answered, self._include = thread, answered, include
        self._id = b"%d.%%d" % turn if turn else b"%d"
        self._number, self._after = 0, after
        self._run: Run | None = None
        self._over = False
        self._steps: dict[int, _Step] = {}
        self._row: _Step | None = None
        self._templates: dict[int, bytes] = {}
        self._calls: list[Item] = []
        self._whole: dict[str, Any] | None = None

    def encode(self, event: Event) -> bytes:
        if self._over:
            return b""
        match event:
            case TextAdded():
                return self._text_added(event)
            case ArgumentsAdded():
                return self._delta(self._templates[event.index], event.arguments)
            case ItemProgressed(kind="code_interpreter_call", stage="code.delta"):
                return self._delta(self._templates[event.index], event.data.get("delta") or "")
            case AnnotationAdded():
                return self._annotation_added(event)
            case ItemBegan():
                return self._step_told() + self._item_began(event)
            case ItemEnded():
                return self._item_ended(event)
            case RunChanged(run):
                return self._run_changed(run)
            case _:
                return b""

    def _run_changed(self, run: Run) -> bytes:
        before, self._run = self._run, run
        said = self._opening(run) if before is None else b""
        if run.is_terminal:
            said += self._close_steps(run)
        elif run.status == "requires_action":
            said += self._step_told()
        waiting = [call for call in self._calls if call.kind == "function_call"]
        encoded = encode_run(run, waiting)
        if before is None and run.status == "queued" and self._answered is None:
            said += self._say("thread.run.created", encoded)
        said += self._say(f"thread.run.{run.status}", encoded)
        if run.is_terminal or run.status == "requires_action":
            self._over = True
            said += self._say("done", b"[DONE]")
        return said

    def _opening(self, run: Run) -> bytes:
        said = b""
        if self._thread is not None:
            said += sse("thread.created", encode_thread(self._thread), b"0")
        if self._answered is not None:
            calls, outputs = self._answered
            for row in rows(calls):
                step = encode_row(run, row, outputs, self._include)
                said += self._say(f"thread.run.step.{step['status']}", step)
        return said

    def _item_began(self, event: ItemBegan) -> bytes:
        if event.kind in CALLS:
            return self._call_began(event)
        self._row = None
        if event.kind == "assistant":
            return self._message_began(event)
        if event.kind in HOSTED:
            return self._hosted_began(event)
        return b""

    def _message_began(self, event: ItemBegan) -> bytes:
        run = self._started()
        message = {
            "id": event.id,
            "object": "thread.message",
            "created_at": seconds(event.created_at),
            "thread_id": f"thread_{run.thread}",
            "status": "in_progress",
            "incomplete_details": None,
            "completed_at": None,
            "incomplete_at": None,
            "role": "assistant",
            "content": [],
            "assistant_id": f"asst_{run.assistant}" if run.assistant else None,
            "run_id": f"run_{run.key}",
            "attachments": [],
            "metadata": {},
        }
        return (
            self._step_began(event, message_details(event.id))
            + self._say("thread.message.created", message)
            + self._say("thread.message.in_progress", message)
        )

    def _step_began(self, event: ItemBegan, details: dict[str, Any] | None = None) -> bytes:
        self._steps[event.index] = _Step(event)
        place = (event.id, event.kind, event.created_at)
        step = encode_step(self._started(), *place, "in_progress", details)
        return self._say("thread.run.step.created", step) + self._say(
            "thread.run.step.in_progress", step
        )

    def _text_added(self, event: TextAdded) -> bytes:
        step = self._steps.get(event.index)
        if step is None:
            return b""  # reasoning has no step
        part = step.parts.get(event.part)
        if part is None:
            return self._part_began(step, event.part, event.kind, event.text)
        part.pieces.append(event.text)
        number = self._number = self._number + 1  # as in `_delta`, but for the call: most are these
        return part.template % (number, _encode(event.text)) if number > self._after else b""

    def _part_began(self, step: _Step, place: int, kind: str, text: str) -> bytes:
        """The first delta of a part; the template is for those that follow."""
        id = step.began.id
        start = b'{"id":"%b","object":"thread.message.delta","delta":{"content":[{"index":%d,' % (
            id.encode(),
            place,
        )
        if kind == "refusal":
            start, end = start + b'"type":"refusal","refusal":', b"}]}}"
            first: dict[str, Any] = {"refusal": text}
        else:
            start, end = start + b'"type":"text","text":{"value":', b"}}]}}"
            first = {"text": {"value": text, "annotations": []}}
        step.parts[place] = _Part(
            kind, sse_template("thread.message.delta", start, end, self._id), [text]
        )
        return self._message_delta(id, place, "refusal" if kind == "refusal" else "text", first)

    def _annotation_added(self, event: AnnotationAdded) -> bytes:
        """Notes about files are shown, with the text they mark as far as it is said."""
        step, said = self._steps.get(event.index), b""
        if step is None:
            return b""
        if event.part not in step.parts:
            said = self._part_began(step, event.part, "output_text", "")
        if event.annotation["type"] not in FILE_NOTES:
            return said
        part = step.parts[event.part]
        note = to_thread_annotation(event.annotation, "".join(part.pieces))
        text = {"value": "", "annotations": [{"index": part.notes, **note}]}
        part.notes += 1
        return said + self._message_delta(event.id, event.part, "text", {"text": text})

    def _call_began(self, event: ItemBegan) -> bytes:
        said = b""
        if self._row is None:
            said += self._step_began(event)
            self._row = self._steps[event.index]
        self._templates[event.index] = self._call_template(
            self._row, b'"type":"function","function":{"arguments":'
        )
        function = {"name": event.name, "arguments": "", "output": None}
        call = {"id": event.call_id, "type": "function", "function": function}
        said += self._step_delta(self._row, call)
        self._row.calls += 1
        return said

    def _hosted_began(self, event: ItemBegan) -> bytes:
        said = self._step_began(event)
        step = self._steps[event.index]
        if event.kind == "file_search_call":
            call: dict[str, Any] = {"type": "file_search", "file_search": {}}
        else:
            start = b'"type":"code_interpreter","code_interpreter":{"input":'
            self._templates[event.index] = self._call_template(step, start)
            code = {"input": "", "outputs": []}
            call = {"type": "code_interpreter", "code_interpreter": code}
        return said + self._step_delta(step, {"id": event.id, **call})

    def _item_ended(self, event: ItemEnded) -> bytes:
        item, run = event.item, self._started()
        if item.kind in CALLS:
            self._calls.append(item)
            self._step_of(event.index).items.append(item)
            return b""
        step = self._steps.get(event.index)
        if step is None:
            return b""
        step.items.append(item)
        said = self._step_told()
        if item.is_message:
            status = item.data()["status"]
            said += self._say(f"thread.message.{status}", encode_message(item, run.thread))
        else:
            status = item.data().get("status", "completed")
            said += self._outputs_told(step, item)
        if status in ("completed", "failed"):
            del self._steps[event.index]
            self._whole = encode_row(run, [item], {}, self._include)
        return said

    def _outputs_told(self, step: _Step, item: Item) -> bytes:
        if item.kind != "code_interpreter_call":
            return b""
        outputs = [{"index": n, **one} for n, one in enumerate(code_outputs(item.data()))]
        call = {"type": "code_interpreter", "code_interpreter": {"outputs": outputs}}
        return self._step_delta(step, call) if outputs else b""

    def _step_of(self, index: int) -> _Step:
        """The step of the call at `index`: of its row, the one that began last before it."""
        return self._steps[max(first for first in self._steps if first <= index)]

    def _step_told(self) -> bytes:
        step, self._whole = self._whole, None
        return b"" if step is None else self._say(f"thread.run.step.{step['status']}", step)

    def _close_steps(self, run: Run) -> bytes:
        """Steps that the run leaves open end with it."""
        said = b""
        steps = [] if self._whole is None else [self._whole]
        for step in self._steps.values():
            said += self._message_broken_off(run, step)
            steps.append(self._ended(run, step))
        if steps:
            steps[-1] = steps[-1] | {"usage": encode_usage(run.usage)}
        return said + b"".join(
            self._say(f"thread.run.step.{step['status']}", step) for step in steps
        )

    def _ended(self, run: Run, step: _Step) -> dict[str, Any]:
        if step.items:
            return encode_row(run, step.items, {}, self._include)
        began = step.began
        details = message_details(began.id) if began.kind == "assistant" else None
        place = (began.id, began.kind, began.created_at)
        return encode_step(run, *place, ended_with(run), details)

    def _message_broken_off(self, run: Run, step: _Step) -> bytes:
        """A message that never ended, because nobody was left to write it down."""
        if step.began.kind != "assistant" or step.items:
            return b""
        data = {
            "type": "message",
            "role": "assistant",
            "status": "incomplete",
            "content": [part.data() for _, part in sorted(step.parts.items())],
            "incomplete_details": {"reason": _BROKEN_OFF.get(run.status, "run_failed")},
            "assistant_id": f"asst_{run.assistant}" if run.assistant else None,
        }
        item = new_item(step.began.id, data, step.began.created_at, run.key)
        return self._say("thread.message.incomplete", encode_message(item, run.thread))

    def _started(self) -> Run:
        assert self._run is not None, "events of an item come after its run's"
        return self._run

    # what is said, in numbered events

    def _message_delta(self, id: str, place: int, type: str, part: dict[str, Any]) -> bytes:
        delta = {"content": [{"index": place, "type": type, **part}]}
        data = {"id": id, "object": "thread.message.delta", "delta": delta}
        return self._say("thread.message.delta", data)

    def _step_delta(self, step: _Step, call: dict[str, Any]) -> bytes:
        details = {"type": "tool_calls", "tool_calls": [{"index": step.calls, **call}]}
        id = step_id(step.began.id, step.began.kind)
        data = {"id": id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        return self._say("thread.run.step.delta", data)

    def _call_template(self, step: _Step, start: bytes) -> bytes:
        """More of the newest call of a step."""
        head = (
            b'{"id":"%b","object":"thread.run.step.delta","delta":{"step_details":'
            b'{"type":"tool_calls","tool_calls":[{"index":%d,'
        ) % (step_id(step.began.id, step.began.kind).encode(), step.calls)
        return sse_template("thread.run.step.delta", head + start, b"}}]}}}", self._id)

    def _delta(self, template: bytes, text: str) -> bytes:
        number = self._number = self._number + 1
        return template % (number, _encode(text)) if number > self._after else b""

    def _say(self, event: str, data: Any) -> bytes:
        number = self._number = self._number + 1
        return sse(event, data, self._id % number) if number > self._after else b""
