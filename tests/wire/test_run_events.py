"""The stream of a run: the events of Assistants v2, in their usual order."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from openai.types.beta import AssistantStreamEvent

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import Item, message, new_item, text_part
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.wire.run_events import RunStream

from .official import strict

NOW = 1_700_000_000_000
STEP_AND_MESSAGE = [
    *("run.step.created", "run.step.in_progress"),
    *("message.created", "message.in_progress"),
]
CREATED = ["run.created", "run.queued", "run.in_progress"]


def changed(status: str, **fields: Any) -> RunChanged:
    return RunChanged(Run("TR", "T", NOW, "m", status, assistant="A", expires_at=NOW, **fields))


def said(text: str, status: str = "completed", number: int = 0) -> list[Event]:
    id = f"msg_{number}"
    item = message(id, "assistant", text, NOW, "TR")
    if status != "completed":
        content = [text_part("assistant", text)]
        data = {"type": "message", "role": "assistant", "status": status, "content": content}
        item = new_item(id, data, NOW, "TR")
    pieces = [TextAdded(number, id, letter) for letter in text]
    return [ItemBegan(number, id, "assistant", NOW), *pieces, ItemEnded(number, item)]


def call(number: int) -> Item:
    named = {"call_id": f"call_{number}", "name": "f", "arguments": "{}"}
    data = {"type": "function_call", "status": "completed", **named}
    return new_item(f"fc_{number}", data, NOW, "TR")


def called(number: int) -> list[Event]:
    id = f"fc_{number}"
    return [
        ItemBegan(number, id, "function_call", NOW, f"call_{number}", "f"),
        ArgumentsAdded(number, id, "{"),
        ArgumentsAdded(number, id, "}"),
        ItemEnded(number, call(number)),
    ]


def stream(*events: Event, encoder: RunStream | None = None) -> list[Any]:
    """What a client reads: every event as the SDK types it, without the closing mark."""
    encoder = encoder or RunStream()
    blocks = b"".join([encoder.encode(event) for event in events]).split(b"\n\n")[:-1]
    if blocks[-1] == b"event: done\ndata: [DONE]":
        blocks.pop()
    return [_read(block) for block in blocks]


def _read(block: bytes) -> Any:
    name, data = block.split(b"\n")
    event = {
        "event": name.removeprefix(b"event: ").decode(),
        "data": msgspec.json.decode(data.removeprefix(b"data: ")),
    }
    return strict(cast(Any, AssistantStreamEvent), event)


def names(events: list[Any]) -> list[str]:
    return [event.event.removeprefix("thread.") for event in events]


def test_a_message_from_beginning_to_end() -> None:
    """Run, step and message begin, the text comes in pieces, and all three end."""
    events = stream(changed("queued"), changed("in_progress"), *said("Hi"), changed("completed"))
    assert names(events) == [
        *CREATED,
        *STEP_AND_MESSAGE,
        *("message.delta", "message.delta"),
        *("message.completed", "run.step.completed", "run.completed"),
    ]
    deltas = [event.data.delta.content[0].text for event in events if "delta" in event.event]
    assert "".join(delta.value for delta in deltas) == "Hi"
    assert [delta.annotations for delta in deltas] == [[], None]
    began, ended = events[3], events[-2]
    assert began.data.id == ended.data.id == "step_0"
    assert ended.data.step_details.message_creation.message_id == "msg_0"
    assert (events[-3].data.content[0].text.value, events[-3].data.run_id) == ("Hi", "run_TR")


def test_calls_made_together_are_one_step() -> None:
    """Their deltas are numbered within the step, and the run waits with all of them."""
    events = stream(
        *(changed("queued"), changed("in_progress")),
        *called(0),
        *called(1),
        changed("requires_action"),
    )
    assert names(events) == [
        *CREATED,
        *("run.step.created", "run.step.in_progress"),
        *["run.step.delta"] * 6,
        "run.requires_action",
    ]
    calls = [e.data.delta.step_details.tool_calls[0] for e in events if "delta" in e.event]
    assert [one.index for one in calls] == [0, 0, 0, 1, 1, 1]
    assert [one.id for one in calls if one.id] == ["call_0", "call_1"]
    assert "".join(one.function.arguments for one in calls) == "{}{}"
    waits = events[-1].data.required_action.submit_tool_outputs.tool_calls
    assert [one.id for one in waits] == ["call_0", "call_1"]


def test_calls_after_a_message() -> None:
    """The deltas of a step count from its own first call, wherever in the output it stands."""
    events = stream(
        *(changed("queued"), changed("in_progress")),
        *said("Hi"),
        *called(1),
        changed("requires_action"),
    )
    deltas = [event for event in events if event.event == "thread.run.step.delta"]
    assert {event.data.delta.step_details.tool_calls[0].index for event in deltas} == {0}
    assert {event.data.id for event in deltas} == {"step_1"}


def test_a_run_that_goes_on_after_its_outputs() -> None:
    """The step of the answered calls ends first, with their outputs; the run is not created."""
    encoder = RunStream(answered=([call(0)], {"call_0": "42"}))
    events = stream(
        *(changed("queued"), changed("in_progress")),
        *said("Hi"),
        changed("completed"),
        encoder=encoder,
    )
    assert names(events)[:3] == ["run.step.completed", "run.queued", "run.in_progress"]
    (answered,) = events[0].data.step_details.tool_calls
    assert (events[0].data.id, answered.function.output) == ("step_0", "42")
    assert names(events)[-1] == "run.completed"


def test_a_thread_made_by_the_same_request() -> None:
    """The thread is told of before its run."""
    events = stream(changed("queued"), encoder=RunStream(Thread("T", NOW, NOW)))
    assert names(events) == ["created", "run.created", "run.queued"]
    assert events[0].data.id == "thread_T"


ERROR = {"code": "server_error", "message": "No."}


@pytest.mark.parametrize(
    ("end", "step"),
    [
        (changed("failed", error=ERROR), "failed"),
        (changed("cancelled"), "cancelled"),
        (changed("expired"), "expired"),
        (changed("incomplete", incomplete_reason="length"), "completed"),
    ],
)
def test_what_a_run_leaves_open_ends_with_it(end: RunChanged, step: str) -> None:
    """A message that broke off is incomplete, its step ends as the run does, just before it."""
    begun = (changed("queued"), changed("in_progress"), *said("Hi", "incomplete"))
    events = stream(*begun, end)
    assert names(events)[-3:] == ["message.incomplete", f"run.step.{step}", f"run.{end.run.status}"]
    assert (events[-2].data.id, events[-2].data.status) == ("step_0", step)


def test_a_call_that_was_cut_ends_its_step() -> None:
    """A call without its end leaves a step with no calls in it, which ends with the run."""
    events = stream(
        *(changed("queued"), changed("in_progress")),
        *called(0)[:2],
        changed("failed", error=ERROR),
    )
    assert names(events)[-2:] == ["run.step.failed", "run.failed"]
    assert events[-2].data.step_details.tool_calls == []


def test_a_cancellation_is_told_in_two_steps() -> None:
    """First that it is under way, then that it is done."""
    events = stream(
        changed("queued"), changed("in_progress"), changed("cancelling"), changed("cancelled")
    )
    assert names(events) == [*CREATED, "run.cancelling", "run.cancelled"]


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ("queued", False),
        ("in_progress", False),
        ("cancelling", False),
        ("requires_action", True),
        ("completed", True),
        ("failed", True),
    ],
)
def test_the_stream_says_when_it_is_done(status: str, done: bool) -> None:
    """After the end of a run, or a pause, comes the closing mark, and nowhere else."""
    encoder = RunStream()
    encoder.encode(changed("queued"))
    mark = b"event: done\ndata: [DONE]\n\n"
    assert encoder.encode(changed(status, error=ERROR)).endswith(mark) == done
