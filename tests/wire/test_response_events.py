"""The stream of a response: Responses events, numbered from 0."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent

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
from clew.core.items import Item, message, new_item
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


def stream(*events: Event, **options: Any) -> list[Any]:
    """What a client reads: every event as the SDK types it."""
    encoder = ResponseStream(**options)
    said = b"".join([encoder.encode(event) for event in events])
    read = []
    for block in said.split(b"\n\n")[:-1]:
        name, id, data = block.split(b"\n")
        decoded = msgspec.json.decode(data.removeprefix(b"data: "))
        assert name == b"event: " + decoded["type"].encode()
        assert id == b"id: %d" % decoded["sequence_number"]
        read.append(strict(cast(Any, ResponseStreamEvent), decoded))
    first = options.get("after", -1) + 1
    assert [event.sequence_number for event in read] == list(range(first, first + len(read)))
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


BEGINNING = (changed("queued"), changed("in_progress"))


def written(id: str, kind: str, **fields: Any) -> Item:
    return new_item(id, {"type": kind, **fields}, NOW, "TR")


def test_a_background_response_is_queued_first() -> None:
    """It says so three times over: created, queued, then in progress, once."""
    background = {"settings": {"background": True}}
    events = stream(
        changed("queued", **background),
        changed("in_progress", **background),
        changed("in_progress", **background),
        changed("completed", **background),
    )
    assert types(events) == ["created", "queued", "in_progress", "completed"]
    assert [event.response.status for event in events[:2]] == ["queued", "queued"]


def test_parts_of_a_message() -> None:
    """Each part opens at its first delta, and closes when the next one does or the message ends."""
    note = {"type": "file_citation", "file_id": "file-1", "filename": "a", "index": 2}
    part = {"type": "output_text", "text": "Hi", "annotations": [note], "logprobs": []}
    content = [part, {"type": "refusal", "refusal": "No."}]
    fields = {"role": "assistant", "status": "completed", "content": content}
    events = stream(
        *BEGINNING,
        ItemBegan(0, "msg_1", "assistant", NOW),
        TextAdded(0, "msg_1", "Hi"),
        AnnotationAdded(0, "msg_1", note),
        TextAdded(0, "msg_1", "No.", "refusal", 1),
        ItemEnded(0, written("msg_1", "message", **fields)),
        changed("completed"),
    )
    assert types(events)[2:-1] == [
        "output_item.added",
        *("content_part.added", "output_text.delta", "output_text.annotation.added"),
        *("output_text.done", "content_part.done"),
        *("content_part.added", "refusal.delta", "refusal.done", "content_part.done"),
        "output_item.done",
    ]
    assert [event.content_index for event in events[3:12]] == [0] * 5 + [1] * 4
    assert (events[5].annotation_index, events[5].annotation.file_id) == (0, "file-1")
    assert [events[place].part.to_dict() for place in (7, 11)] == content


def test_reasoning() -> None:
    """Its summary has parts of its own kind, its text is content."""
    summary = [{"type": "summary_text", "text": text} for text in ("a", "b")]
    content = [{"type": "reasoning_text", "text": "hm"}]
    events = stream(
        *BEGINNING,
        ItemBegan(0, "rs_1", "reasoning", NOW),
        TextAdded(0, "rs_1", "hm", "reasoning_text"),
        TextAdded(0, "rs_1", "a", "summary_text"),
        TextAdded(0, "rs_1", "b", "summary_text", 1),
        ItemEnded(0, written("rs_1", "reasoning", summary=summary, content=content)),
        changed("completed"),
    )
    part = ("reasoning_summary_part.added", "reasoning_summary_text.delta")
    done = ("reasoning_summary_text.done", "reasoning_summary_part.done")
    assert types(events)[2:-1] == [
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *(*part, *done, *part, *done),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
    ]
    assert [event.summary_index for event in events[5:13]] == [0] * 4 + [1] * 4
    assert events[-2].item.to_dict()["summary"] == summary


def test_a_summary_that_was_cut_off_says_so() -> None:
    """The part was interrupted."""
    summary = [{"type": "summary_text", "text": "a"}]
    events = stream(
        *BEGINNING,
        ItemBegan(0, "rs_1", "reasoning", NOW),
        TextAdded(0, "rs_1", "a", "summary_text"),
        ItemEnded(0, written("rs_1", "reasoning", summary=summary, status="incomplete")),
    )
    assert (events[-2].type, events[-2].status) == (
        "response.reasoning_summary_part.done",
        "incomplete",
    )


def test_a_custom_tool_call() -> None:
    """Its payload is input, not arguments."""
    fields = {"status": "completed", "call_id": "c", "name": "f", "input": "x y"}
    events = stream(
        *BEGINNING,
        ItemBegan(0, "ctc_1", "custom_tool_call", NOW, "c", "f"),
        ArgumentsAdded(0, "ctc_1", "x "),
        ArgumentsAdded(0, "ctc_1", "y"),
        ItemEnded(0, written("ctc_1", "custom_tool_call", **fields)),
        changed("completed"),
    )
    assert types(events)[2:-1] == [
        "output_item.added",
        *("custom_tool_call_input.delta", "custom_tool_call_input.delta"),
        *("custom_tool_call_input.done", "output_item.done"),
    ]
    assert (events[2].item.input, events[5].input) == ("", "x y")


STAGES: list[tuple[str, str, dict[str, Any]]] = [
    ("web_search_call", "searching", {}),
    ("file_search_call", "completed", {}),
    ("image_generation_call", "generating", {}),
    (
        "image_generation_call",
        "partial_image",
        {"partial_image_b64": "aGk=", "partial_image_index": 0},
    ),
    ("code_interpreter_call", "interpreting", {}),
    ("code_interpreter_call", "code.delta", {"delta": "1"}),
    ("code_interpreter_call", "code.done", {"code": "1"}),
    ("mcp_call", "failed", {}),
    ("mcp_call", "arguments.delta", {"delta": "{}"}),
    ("mcp_call", "arguments.done", {"arguments": "{}"}),
    ("mcp_list_tools", "completed", {}),
    ("compaction", "compacting", {}),
    ("shell_call", "command.added", {"command": "ls", "command_index": 0}),
    ("shell_call", "output_content.delta", {"command_index": 0, "delta": {"stdout": "x"}}),
]


@pytest.mark.parametrize(("kind", "stage", "data"), STAGES)
def test_work_of_the_upstream_goes_through(kind: str, stage: str, data: dict[str, Any]) -> None:
    """A stage is told under its own name and in our place, whatever numbers the upstream gave."""
    theirs = {"item_id": "theirs", "output_index": 9, "sequence_number": 77, "type": "x"}
    (event,) = stream(
        ItemProgressed(0, "id_1", kind, stage, data | theirs),
    )
    between = "_" if "." in stage else "."
    assert event.type == f"response.{kind}{between}{stage}"
    assert event.to_dict().items() >= {"output_index": 0, **data}.items()


SEARCH = {"status": "completed", "queries": ["q"], "results": [{"text": "found"}]}


@pytest.mark.parametrize(
    ("asked", "include", "shown"),
    [
        ([], None, False),
        (["file_search_call.results"], None, True),
        ([], ["file_search_call.results"], True),
        (["file_search_call.results"], [], False),
    ],
)
def test_what_an_item_shows(asked: list[str], include: list[str] | None, shown: bool) -> None:
    """Details of an item are in the stream if the run was, or the reader is, asking for them."""
    fields = {"settings": {"include": asked}}
    events = stream(
        changed("queued", **fields),
        ItemBegan(0, "fs_1", "file_search_call", NOW, data=SEARCH),
        ItemEnded(0, written("fs_1", "file_search_call", **SEARCH)),
        changed("completed", **fields),
        include=include,
    )
    items = [events[1].item, events[2].item, events[3].response.output[0]]
    assert [item.results is not None for item in items] == [shown] * 3


@pytest.mark.parametrize("after", [-1, 0, 4, 8, 9, 50])
def test_a_stream_goes_on_after_a_number(after: int) -> None:
    """Only what has a higher number is told, and it is what would have been told anyway."""
    told = (*BEGINNING, *A_MESSAGE, changed("completed", completed_at=NOW))
    assert stream(*told, after=after) == stream(*told)[after + 1 :]


def test_padding_evens_out_the_size_of_deltas() -> None:
    """Deltas are filled up to a multiple of so many bytes; other events are as they were."""
    texts = ["a", "é", "x" * 15, "x" * 40, '"']
    deltas = [TextAdded(0, "msg_1", text) for text in texts]
    told = (*BEGINNING, A_MESSAGE[0], *deltas)
    events = stream(*told, padding=lambda: "p" * 22)
    padded = [event for event in events if event.type.endswith(".delta")]
    assert [event.delta for event in padded] == texts
    sizes = [len(msgspec.json.encode(e.delta)) + len(e.obfuscation) for e in padded]
    assert [size % 16 for size in sizes] == [0] * len(texts)
    assert all("obfuscation" not in event.to_dict() for event in stream(*told))
