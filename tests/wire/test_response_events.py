"""The stream of a response: Responses events, numbered from 0."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent

from clew.core.events import ArgumentsAdded, Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import message, new_item
from clew.core.runs import Run
from clew.wire.response_events import ResponseStream

from .official import strict

NOW = 1_700_000_000_000
SAID = message("msg_1", "assistant", "Hello", NOW, "TR")
CALLED = new_item(
    "fc_1",
    {
        "type": "function_call",
        "status": "completed",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
    },
    NOW,
    "TR",
)
A_MESSAGE: list[Event] = [
    ItemBegan(0, "msg_1", "assistant", NOW),
    TextAdded(0, "msg_1", "Hel"),
    TextAdded(0, "msg_1", "lo"),
    ItemEnded(0, SAID),
]
A_CALL: list[Event] = [
    ItemBegan(1, "fc_1", "function_call", NOW, "c", "f"),
    ArgumentsAdded(1, "fc_1", "{}"),
    ItemEnded(1, CALLED),
]


def changed(status: str, **fields: Any) -> RunChanged:
    return RunChanged(Run("TR", "T", NOW, "m", status, pauses=False, **fields))


def stream(*events: Event) -> list[Any]:
    """What a client reads: every event as the SDK types it."""
    encoder = ResponseStream()
    said = b"".join([encoder.encode(event) for event in events])
    read = []
    for block in said.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        decoded = msgspec.json.decode(data.removeprefix(b"data: "))
        assert name == b"event: " + decoded["type"].encode()
        read.append(strict(cast(Any, ResponseStreamEvent), decoded))
    assert [event.sequence_number for event in read] == list(range(len(read)))
    return read


def types(events: list[Any]) -> list[str]:
    return [event.type.removeprefix("response.") for event in events]


def test_a_message_from_beginning_to_end() -> None:
    """The events of a message come in OpenAI's order, and add up to it."""
    events = stream(
        changed("queued"),
        changed("in_progress"),
        *A_MESSAGE,
        changed("completed", completed_at=NOW),
    )
    assert types(events) == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        "completed",
    ]
    assert "".join(event.delta for event in events if event.type.endswith("text.delta")) == "Hello"
    assert events[6].text == events[7].part.text == "Hello"
    assert events[0].response.status == "in_progress"
    assert events[-1].response.output == [events[8].item]
    assert events[-1].response.output_text == "Hello"
    assert {event.item_id for event in events[3:8]} == {"msg_1"}


def test_a_call_from_beginning_to_end() -> None:
    """A function call is told by its name, its arguments, and whole."""
    events = stream(changed("queued"), changed("in_progress"), *A_CALL, changed("completed"))
    assert types(events)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    added, delta, done, whole = events[2:6]
    assert (added.item.call_id, added.item.name, added.item.arguments) == ("c", "f", "")
    assert (delta.delta, done.arguments, done.name, whole.item.arguments) == ("{}", "{}", "f", "{}")
    assert {event.output_index for event in events[2:6]} == {1}


def test_items_keep_their_place() -> None:
    """Each event names the place of its item, and the whole output has them all in order."""
    events = stream(
        changed("queued"), changed("in_progress"), *A_MESSAGE, *A_CALL, changed("completed")
    )
    assert [item.id for item in events[-1].response.output] == ["msg_1", "fc_1"]
    ended = [event for event in events if event.type == "response.output_item.done"]
    assert [(event.output_index, event.item.id) for event in ended] == [(0, "msg_1"), (1, "fc_1")]


ERROR = {"code": "server_error", "message": "No."}


@pytest.mark.parametrize(
    ("end", "type", "status"),
    [
        (changed("completed"), "completed", "completed"),
        (changed("incomplete", incomplete_reason="length"), "incomplete", "incomplete"),
        (changed("failed", error=ERROR), "failed", "failed"),
        (changed("expired"), "failed", "failed"),
        (changed("cancelled"), "failed", "cancelled"),
    ],
)
def test_every_end_is_told(end: RunChanged, type: str, status: str) -> None:
    """However a run ends, the last event has the response as it ended."""
    events = stream(changed("queued"), changed("in_progress"), end)
    assert types(events) == ["created", "in_progress", type]
    assert events[-1].response.status == status


def test_a_run_that_was_over_at_once() -> None:
    """A stream that begins at the end still begins as every stream does."""
    assert types(stream(changed("failed", error=ERROR))) == ["created", "failed"]


def test_a_cancellation_under_way_is_not_told() -> None:
    """This face has no word for it; the end follows."""
    events = stream(
        changed("queued"), changed("in_progress"), changed("cancelling"), changed("cancelled")
    )
    assert types(events) == ["created", "in_progress", "failed"]
