"""The stream of a run: the events of Assistants v2, in their usual order."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from openai.types.beta import AssistantStreamEvent

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
    ids = [block.split(b"\n")[1] for block in blocks]
    first = int(blocks[0].split(b"\n")[1].removeprefix(b"id: ")) if b"." not in ids[0] else None
    if first is not None:
        assert ids == [b"id: %d" % number for number in range(first, first + len(ids))]
    if blocks[-1].startswith(b"event: done\n"):
        assert blocks.pop().endswith(b"\ndata: [DONE]")
    return [_read(block) for block in blocks]


def _read(block: bytes) -> Any:
    name, _, data = block.split(b"\n")
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
    *_, mark, end = encoder.encode(changed(status, error=ERROR)).split(b"\n\n")
    assert (mark.startswith(b"event: done\n") and mark.endswith(b"\ndata: [DONE]")) == done
    assert end == b""


BEGINNING = (changed("queued"), changed("in_progress"))


def written(id: str, kind: str, **fields: Any) -> Item:
    return new_item(id, {"type": kind, **fields}, NOW, "TR")


def step_deltas(events: list[Any]) -> list[Any]:
    """The one call in each delta of a step."""
    deltas = [event.data.delta for event in events if event.event == "thread.run.step.delta"]
    return [delta.step_details.tool_calls[0] for delta in deltas]


def test_parts_of_a_message() -> None:
    """A delta names its part, a refusal is one of its own kind, and notes about files are told."""
    cited = {"type": "file_citation", "file_id": "file-1", "filename": "a", "start_index": 0}
    linked = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    notes = [linked, cited | {"end_index": 2, "index": 0}]
    content = [
        text_part("assistant", "Hi") | {"annotations": notes},
        {"type": "refusal", "refusal": "No."},
    ]
    fields = {"role": "assistant", "status": "completed", "content": content}
    events = stream(
        *BEGINNING,
        ItemBegan(0, "msg_0", "assistant", NOW),
        TextAdded(0, "msg_0", "Hi"),
        *(AnnotationAdded(0, "msg_0", note) for note in notes),
        TextAdded(0, "msg_0", "N", "refusal", 1),
        TextAdded(0, "msg_0", "o.", "refusal", 1),
        ItemEnded(0, written("msg_0", "message", **fields)),
        changed("completed"),
    )
    text, note, *refusal = [e.data.delta.content[0] for e in events if "delta" in e.event]
    assert (text.index, text.text.value) == (0, "Hi")
    (shown,) = note.text.annotations
    assert (note.index, note.text.value, shown.index, shown.text) == (0, "", 0, "Hi")
    assert shown.file_citation.file_id == "file-1"
    assert [(part.index, part.refusal) for part in refusal] == [(1, "N"), (1, "o.")]
    done = next(event for event in events if event.event == "thread.message.completed")
    assert [part.type for part in done.data.content] == ["text", "refusal"]


def test_calls_parted_by_a_message_are_two_steps() -> None:
    """Each row is a step, both wait for their outputs, and both end once they are there."""
    told = [*called(0), *said("Hi", number=1), *called(2)]
    events = stream(*BEGINNING, *told, changed("requires_action"))
    begun = [e.data.id for e in events if e.event == "thread.run.step.created"]
    assert begun == ["step_0", "step_1", "step_2"]
    assert {one.index for one in step_deltas(events)} == {0}
    assert len(events[-1].data.required_action.submit_tool_outputs.tool_calls) == 2
    first, second = call(0), call(2)
    first.seq, second.seq = 5, 7
    outputs = {"call_0": "a", "call_2": "b"}
    after = stream(changed("queued"), encoder=RunStream(answered=([first, second], outputs)))
    assert names(after) == ["run.step.completed", "run.step.completed", "run.queued"]
    assert [event.data.id for event in after[:2]] == ["step_0", "step_2"]


def test_a_file_search_is_a_step() -> None:
    """It begins empty, and ends with what was found, before the message."""
    found = [{"file_id": "file-1", "filename": "a", "text": "x", "score": 0.5}]
    fields = {"status": "completed", "queries": ["q"], "results": found}
    events = stream(
        *BEGINNING,
        ItemBegan(0, "fs_1", "file_search_call", NOW, data={"status": "in_progress"}),
        ItemProgressed(0, "fs_1", "file_search_call", "searching"),
        ItemEnded(0, written("fs_1", "file_search_call", **fields)),
        *said("Hi", number=1),
        changed("completed"),
    )
    assert names(events)[3:7] == [
        *("run.step.created", "run.step.in_progress", "run.step.delta", "run.step.completed"),
    ]
    (began,) = step_deltas(events)
    assert (began.id, began.type) == ("fs_1", "file_search")
    search = events[6].data.step_details.tool_calls[0].file_search
    assert (search.results[0].file_name, search.ranking_options.ranker) == ("a", "auto")


def test_code_is_a_step() -> None:
    """The code comes in pieces, then what it said and drew; a drawing that is no file does not."""
    outputs = [
        {"type": "logs", "logs": "2"},
        {"type": "image", "url": "https://x.test/a.png"},
        {"type": "image", "url": "", "file_id": "file-1"},
    ]
    fields = {"status": "completed", "container_id": "c", "code": "1 + 1", "outputs": outputs}
    kind = "code_interpreter_call"
    events = stream(
        *BEGINNING,
        ItemBegan(0, "ci_1", kind, NOW, data={"status": "in_progress"}),
        ItemProgressed(0, "ci_1", kind, "code.delta", {"delta": "1 +"}),
        ItemProgressed(0, "ci_1", kind, "code.delta", {"delta": " 1"}),
        ItemProgressed(0, "ci_1", kind, "code.done", {"code": "1 + 1"}),
        ItemEnded(0, written("ci_1", kind, **fields)),
        changed("completed"),
    )
    began, *code, drawn = [one.code_interpreter for one in step_deltas(events)]
    assert (began.input, began.outputs) == ("", [])
    assert [piece.input for piece in code] == ["1 +", " 1"]
    assert [(one.index, one.type) for one in drawn.outputs] == [(0, "logs"), (1, "image")]
    shown = events[-2].data.step_details.tool_calls[0].code_interpreter
    assert (shown.input, [one.type for one in shown.outputs]) == ("1 + 1", ["logs", "image"])


def test_a_custom_call_is_told_as_one_of_a_function() -> None:
    """This face has no other; its input is the arguments."""
    fields = {"status": "completed", "call_id": "c", "name": "f", "input": "x"}
    events = stream(
        *BEGINNING,
        ItemBegan(0, "ctc_1", "custom_tool_call", NOW, "c", "f"),
        ArgumentsAdded(0, "ctc_1", "x"),
        ItemEnded(0, written("ctc_1", "custom_tool_call", **fields)),
        changed("completed"),
    )
    assert [one.function.arguments for one in step_deltas(events)] == ["", "x"]
    assert events[-2].data.step_details.tool_calls[0].function.arguments == "x"


@pytest.mark.parametrize("kind", ["reasoning", "web_search_call", "mcp_call", "compaction"])
def test_what_has_no_step_is_left_out(kind: str) -> None:
    """The Threads face has no word for it."""
    events = stream(
        *BEGINNING,
        ItemBegan(0, "x_1", kind, NOW, data={}),
        TextAdded(0, "x_1", "hm", "reasoning_text"),
        ItemProgressed(0, "x_1", kind, "arguments.delta", {"delta": "{"}),
        ItemEnded(0, written("x_1", kind)),
        *said("Hi", number=1),
        changed("completed"),
    )
    assert names(events)[3:5] == STEP_AND_MESSAGE[:2]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("failed", "run_failed"),
        ("cancelled", "run_cancelled"),
        ("expired", "run_expired"),
    ],
)
def test_a_message_that_nobody_ended(status: str, reason: str) -> None:
    """When the run was ended from elsewhere, its open message is incomplete as far as it came."""
    error = ERROR if status == "failed" else None
    events = stream(*BEGINNING, *said("Hi")[:-1], changed(status, error=error))
    assert names(events)[-3:] == ["message.incomplete", f"run.step.{status}", f"run.{status}"]
    message = events[-3].data
    assert message.content[0].text.value == "Hi"
    assert message.incomplete_details.reason == reason


def test_nothing_follows_the_closing_mark() -> None:
    """A run told to its pause is over for this stream, whatever became of it later."""
    encoder = RunStream()
    for event in (*BEGINNING, *called(0), changed("requires_action")):
        encoder.encode(event)
    later = (*BEGINNING, *said("Hi", number=1), changed("completed"))
    assert b"".join([encoder.encode(event) for event in later]) == b""
