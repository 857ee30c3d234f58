"""The stream of a run: Clew's events as the 24 events of Assistants v2, in their usual order."""

from __future__ import annotations

from typing import Any

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import Item
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.wire.fields import seconds
from clew.wire.messages import encode_message
from clew.wire.runs import encode_run
from clew.wire.sse import sse
from clew.wire.steps import calls_step, encode_step, ended_with, message_step, step_id
from clew.wire.threads import encode_thread

DONE = b"event: done\ndata: [DONE]\n\n"


class RunStream:
    """Turns a run's events into bytes, one call of `encode` each.

    `thread` was made by the same request. `answered` are the calls (with the outputs just
    submitted) that let a paused run go on: their step ends first.
    """

    def __init__(
        self,
        thread: Thread | None = None,
        answered: tuple[list[Item], dict[str, str]] | None = None,
    ) -> None:
        self._thread, self._answered = thread, answered
        self._run: Run | None = None
        self._message: Item | None = None
        self._calls: list[Item] = []
        self._call_step: ItemBegan | None = None
        self._first_call = 0

    def encode(self, event: Event) -> bytes:
        match event:
            case RunChanged(run):
                return self._run_changed(run)
            case ItemBegan(kind="function_call"):
                return self._call_began(event)
            case ItemBegan():
                return self._message_began(event)
            case TextAdded():
                return self._text_added(event)
            case ArgumentsAdded():
                return self._step_delta(event.index, {"arguments": event.arguments})
            case ItemEnded():
                return self._item_ended(event.item)
            case _:
                return b""

    def _run_changed(self, run: Run) -> bytes:
        before, self._run = self._run, run
        said = b""
        if before is None:
            said += self._opening(run)
        if run.is_terminal:
            said += self._close_steps(run)
        encoded = encode_run(run, self._calls)
        if before is None and run.status == "queued" and self._answered is None:
            said += sse("thread.run.created", encoded)
        said += sse(f"thread.run.{run.status}", encoded)
        if run.is_terminal or run.status == "requires_action":
            said += DONE
        return said

    def _opening(self, run: Run) -> bytes:
        said = b""
        if self._thread is not None:
            said += sse("thread.created", encode_thread(self._thread))
        if self._answered is not None:
            said += sse("thread.run.step.completed", calls_step(run, *self._answered))
        return said

    def _message_began(self, event: ItemBegan) -> bytes:
        run = self._started()
        details = {"type": "message_creation", "message_creation": {"message_id": event.id}}
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
            self._step_began(event, details)
            + sse("thread.message.created", message)
            + sse("thread.message.in_progress", message)
        )

    def _step_began(self, event: ItemBegan, details: dict[str, Any]) -> bytes:
        place = (event.id, event.kind, event.created_at)
        step = encode_step(self._started(), *place, "in_progress", details)
        return sse("thread.run.step.created", step) + sse("thread.run.step.in_progress", step)

    def _text_added(self, event: TextAdded) -> bytes:
        part = {"index": 0, "type": "text", "text": {"value": event.text}}
        if self._message is None or self._message.id != event.id:
            self._message = Item(event.id, "assistant", b'""', 0)
            part["text"] = {"value": event.text, "annotations": []}
        delta = {"id": event.id, "object": "thread.message.delta", "delta": {"content": [part]}}
        return sse("thread.message.delta", delta)

    def _call_began(self, event: ItemBegan) -> bytes:
        said = b""
        if self._call_step is None:
            self._call_step, self._first_call = event, event.index
            said += self._step_began(event, {"type": "tool_calls", "tool_calls": []})
        function = {"name": event.name, "arguments": "", "output": None}
        return said + self._step_delta(event.index, function, id=event.call_id)

    def _step_delta(self, index: int, function: dict[str, Any], **named: Any) -> bytes:
        assert self._call_step is not None
        call = {"index": index - self._first_call, "type": "function", "function": function}
        details = {"type": "tool_calls", "tool_calls": [call | named]}
        id = step_id(self._call_step.id, self._call_step.kind)
        delta = {"id": id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        return sse("thread.run.step.delta", delta)

    def _item_ended(self, item: Item) -> bytes:
        if item.kind == "function_call":
            self._calls.append(item)
            return b""
        run = self._started()
        status = item.data()["status"]
        said = sse(f"thread.message.{status}", encode_message(item, run.thread))
        if status != "completed":
            self._message = item
            return said
        return said + sse("thread.run.step.completed", message_step(run, item))

    def _close_steps(self, run: Run) -> bytes:
        """Steps that a broken-off run leaves open end with it."""
        said = b""
        if self._message is not None and self._message.data()["status"] != "completed":
            step = message_step(run, self._message)
            said += sse(f"thread.run.step.{step['status']}", step)
        if self._call_step is not None:
            step = self._open_calls(run, self._call_step)
            said += sse(f"thread.run.step.{step['status']}", step)
        return said

    def _open_calls(self, run: Run, began: ItemBegan) -> dict[str, Any]:
        if self._calls:
            return calls_step(run, self._calls)
        details: dict[str, Any] = {"type": "tool_calls", "tool_calls": []}
        status = ended_with(run)
        return encode_step(run, began.id, began.kind, began.created_at, status, details)

    def _started(self) -> Run:
        assert self._run is not None, "events of an item come after its run's"
        return self._run
