"""Streams, from a provider's deltas to what the official client makes of the bytes.

Whatever a model says, in whatever order, the client's own accumulators accept the stream, and what
they add up to is what is in the log.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai import AssistantEventHandler, Omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.beta import AssistantStreamEvent
from openai.types.responses import ResponseStreamEvent

from clew.core.events import Event, RunChanged
from clew.core.items import Item
from clew.core.runs import Run
from clew.executor.live import Live
from clew.executor.output import Output
from clew.providers.provider import (
    AnnotationDelta,
    HostedDelta,
    ItemDone,
    TextDelta,
    ToolCallDelta,
)
from clew.wire.items import encode_item
from clew.wire.response_events import ResponseStream
from clew.wire.run_events import RunStream
from clew.wire.steps import FOUND, encode_steps

from ..wire.official import strict
from ..wire.strategies import examples
from .stage import T0

RUN = Run("TR", "T", T0, "m", assistant="A", pauses=False, expires_at=T0)
ERROR = {"code": "server_error", "message": "No."}
USAGE = {"input_tokens": 7, "cached_tokens": 0, "output_tokens": 5, "reasoning_tokens": 0}
ENDS = {
    "completed": {"completed_at": T0 + 1, "usage": USAGE},
    "incomplete": {"completed_at": T0 + 1, "incomplete_reason": "length", "usage": USAGE},
    "failed": {"failed_at": T0 + 1, "error": ERROR},
    "cancelled": {"cancelled_at": T0 + 1},
    "expired": {},
}

HOSTED: dict[str, tuple[dict[str, Any], list[HostedDelta], dict[str, Any]]] = {
    "web_search_call": (
        {"action": {"type": "search", "query": ""}},
        [HostedDelta(0, stage="in_progress"), HostedDelta(0, stage="searching")],
        {"action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]}},
    ),
    "file_search_call": (
        {"queries": []},
        [HostedDelta(0, stage="searching"), HostedDelta(0, stage="completed")],
        {
            "queries": ["q"],
            "results": [{"file_id": "file-1", "filename": "a", "text": "found", "score": 0.5}],
        },
    ),
    "code_interpreter_call": (
        {"container_id": "c", "code": "", "outputs": None},
        [
            HostedDelta(0, stage="code.delta", data={"delta": "1 +"}),
            HostedDelta(0, stage="code.delta", data={"delta": " 1"}),
            HostedDelta(0, stage="code.done", data={"code": "1 + 1"}),
        ],
        {"container_id": "c", "code": "1 + 1", "outputs": [{"type": "logs", "logs": "2"}]},
    ),
    "mcp_call": (
        {"server_label": "s", "name": "f", "arguments": ""},
        [
            HostedDelta(0, stage="arguments.delta", data={"delta": "{}"}),
            HostedDelta(0, stage="arguments.done", data={"arguments": "{}"}),
        ],
        {"server_label": "s", "name": "f", "arguments": "{}", "output": "ok"},
    ),
}
"""Type of hosted item -> how it begins, how it goes on, and what it has become."""


def hosted(kind: str, index: int, done: bool, stages: int) -> list[Any]:
    begun, progress, whole = HOSTED[kind]
    begins = HostedDelta(index, {"type": kind, "status": "in_progress", **begun})
    ends = [ItemDone({"type": kind, "status": "completed", **whole}, index)] if done else []
    return [begins, *[replace(one, index=index) for one in progress[:stages]], *ends]


texts = st.text(max_size=4)
NOTE = {"type": "file_citation", "file_id": "file-1", "filename": "a", "index": 0}
LINK = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
parts = st.sampled_from([0, 0, 0, 1, 2])
MOVES = st.one_of(
    st.builds(TextDelta, texts, st.sampled_from(["output_text", "output_text", "refusal"]), parts),
    st.builds(TextDelta, texts, st.sampled_from(["summary_text", "reasoning_text"]), parts),
    st.builds(AnnotationDelta, st.sampled_from([NOTE, LINK]), parts),
    st.tuples(st.sampled_from(["function_call", "custom_tool_call"]), st.integers(0, 3), texts),
    st.tuples(st.sampled_from(sorted(HOSTED)), st.booleans(), st.integers(0, 3)),
    st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call"]),
)
WHOLE: dict[str, dict[str, Any]] = {
    "message": {
        "content": [
            {"type": "output_text", "text": "whole", "annotations": [NOTE], "logprobs": []},
            {"type": "refusal", "refusal": "no"},
        ]
    },
    "reasoning": {"summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "x"},
    "function_call": {"name": "f", "arguments": "{}", "status": "completed"},
    "custom_tool_call": {"name": "g", "input": "in"},
}


@st.composite
def said(draw: st.DrawFn) -> list[Any]:
    """What a provider may yield: everything a model does, mixed as it likes."""
    deltas: list[Any] = []
    known: dict[int, str] = {}
    for number, move in enumerate(draw(st.lists(MOVES, max_size=14))):
        match move:
            case (str() as kind, bool() as done, int() as stages):
                deltas += hosted(kind, number, done, stages)
            case (str() as kind, int() as index, str() as text):
                if known.setdefault(index, kind) == kind:
                    named = (f"call_{index}", "f", kind)
                    deltas.append(ToolCallDelta(index, text, *named))
            case str() as kind:
                called = (
                    {"call_id": f"call_whole_{number}"} if kind in WHOLE and "call" in kind else {}
                )
                # what is open ends first, so that this is one of its own
                deltas += hosted("web_search_call", 100 + number, True, 0)
                deltas.append(ItemDone({"type": kind, **called, **WHOLE[kind]}))
            case _:
                deltas.append(move)
    return deltas


def played(deltas: list[Any], status: str) -> tuple[Run, list[Event], list[Item]]:
    """The events of a run that says this and ends so, and its items as the log has them."""
    events: list[Event] = [RunChanged(RUN), RunChanged(replace(RUN, status="in_progress"))]
    output = Output(RUN, events.append, lambda: T0)
    for delta in deltas:
        output.take(delta)
    whole = status == "completed"
    items = output.finish("completed" if whole else "incomplete", None if whole else "run_failed")
    for seq, item in enumerate(items, 1):
        item.seq = seq
    run = replace(RUN, status=status, **ENDS[status])
    return run, [*events, RunChanged(run)], items


def blocks(encoder: Any, events: list[Event]) -> list[bytes]:
    said = b"".join([encoder.encode(event) for event in events]).split(b"\n\n")[:-1]
    return [block for block in said if not block.startswith(b"event: done\n")]


def decoded(block: bytes) -> tuple[str, Any]:
    name, _, data = block.split(b"\n")
    return name.removeprefix(b"event: ").decode(), msgspec.json.decode(data.removeprefix(b"data: "))


def responses(events: list[Event], **options: Any) -> list[Any]:
    """The events of a response as the SDK types them."""
    read = [decoded(block)[1] for block in blocks(ResponseStream(**options), events)]
    return [strict(cast(Any, ResponseStreamEvent), event) for event in read]


def assistants(events: list[Event], **options: Any) -> list[Any]:
    """The events of a run as the SDK types them."""
    read = [decoded(block) for block in blocks(RunStream(**options), events)]
    return [
        strict(cast(Any, AssistantStreamEvent), {"event": name, "data": data})
        for name, data in read
    ]


class Followed(ResponseStreamState):
    """The client's state machine, and the snapshot it keeps."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__(input_tools=Omit(), text_format=Omit())
        for event in events:
            self.handle_event(event)

    @property
    def snapshot(self) -> Any:
        return self._ResponseStreamState__current_snapshot  # type: ignore[attr-defined]


SAID = ("text", "refusal", "arguments", "input", "code")


def adds_up(events: list[Any]) -> None:
    """Every text was said in pieces that add up to it; only what was cut off has no whole."""
    pieces: dict[Any, str] = {}
    for event in events:
        name, _, stage = event.type.rpartition(".")
        part = getattr(event, "content_index", getattr(event, "summary_index", None))
        place = (name, getattr(event, "output_index", None), part)
        if stage == "delta":
            pieces[place] = pieces.get(place, "") + event.delta
        whole = next((getattr(event, field) for field in SAID if hasattr(event, field)), None)
        if stage == "done" and whole is not None:
            assert pieces.pop(place, "") == whole
    cut_off = {name.split(".")[1].removesuffix("_code") for name, _, _ in pieces}
    if events[-1].type == "response.completed":
        assert cut_off <= {"code_interpreter_call", "mcp_call_arguments"}  # hosted, never done
        kinds = [event.type.rsplit("_", 1)[-1] for event in events]
        assert kinds.count("part.added") == kinds.count("part.done")


@given(said(), st.sampled_from(sorted(ENDS)))
@examples(250)
def test_any_response_is_accepted(deltas: list[Any], status: str) -> None:
    """The client follows it to an end that has all of its items, as they are in the log."""
    _, told, items = played(deltas, status)
    events = responses(told)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    adds_up(events)
    state = Followed(events)
    shown = [msgspec.json.decode(encode_item(item)) for item in items]
    if status != "cancelled":  # a cancelled response shows no output
        assert [item.to_dict() for item in events[-1].response.output] == shown
    if status == "completed":
        assert state._completed_response is not None
        assert [item.id for item in state.snapshot.output] == [item["id"] for item in shown]
        assert list(map(texts_of, state.snapshot.output)) == list(map(texts_of, items_of(events)))


def items_of(events: list[Any]) -> list[Any]:
    return events[-1].response.output


def texts_of(item: Any) -> list[str]:
    """What the client itself adds up: the texts of a message, the arguments of a function."""
    content = item.content if item.type == "message" else []
    called = [item.arguments] if item.type == "function_call" else []
    return called + [part.text for part in content if part.type == "output_text"]


@given(said(), st.sampled_from(sorted(ENDS)), st.integers(-1, 40))
@examples(100)
def test_a_response_is_told_again_from_any_number(
    deltas: list[Any], status: str, after: int
) -> None:
    """The same events give the same bytes; what comes after a number is the end of them."""
    _, told, _ = played(deltas, status)
    whole = blocks(ResponseStream(), told)
    assert blocks(ResponseStream(), told) == whole
    assert blocks(ResponseStream(after=after), told) == whole[after + 1 :]


@given(said(), st.sampled_from(sorted(ENDS)))
@examples(250)
def test_any_run_is_accepted(deltas: list[Any], status: str) -> None:
    """The client's handler hears it to its end; its steps are those that are listed afterwards."""
    run, told, items = played(deltas, status)
    events = assistants(told)
    handler = AssistantEventHandler()
    for event in events:
        handler._emit_sse_event(event)
    over = [step.to_dict() for step in ended(events)]
    listed = encode_steps(run, items)
    details = {step["id"]: step["step_details"] for step in listed}
    assert {step["id"]: step["step_details"] for step in over if step["id"] in details} == details
    dropped = [step for step in over if step["id"] not in details]
    assert status != "completed" or dropped == []
    assert all(step["step_details"].get("tool_calls") == [] for step in dropped)
    begun = [event.data.id for event in events if event.event == "thread.run.step.created"]
    assert sorted(begun) == sorted(step["id"] for step in over)


@given(said(), st.sampled_from(["completed", "failed"]))
@examples(100)
def test_a_run_told_from_its_log_ends_as_it_did(deltas: list[Any], status: str) -> None:
    """Told again from the items alone, both faces are accepted and say the same in the end."""
    run, told, items = played(deltas, status)
    again = Live.told(run, items).events
    first, second = responses(told), responses(again)
    Followed(second)
    assert second[-1].response == first[-1].response
    adds_up(second)
    handler = AssistantEventHandler()
    for event in assistants(again):
        handler._emit_sse_event(event)


def ended(events: list[Any]) -> list[Any]:
    """The steps that a run says have ended."""
    ends = ("completed", "failed", "cancelled", "expired")
    steps = [event for event in events if event.event.startswith("thread.run.step.")]
    return [event.data for event in steps if event.event.endswith(ends)]


def test_the_steps_of_a_run_add_up_to_its_usage() -> None:
    """The usage of the run is that of its last step, in the stream and in the list."""
    deltas = [*hosted("file_search_call", 0, True, 2), TextDelta("found")]
    run, told, items = played(deltas, "completed")
    listed = [step["usage"]["total_tokens"] for step in encode_steps(run, items)]
    assert [step.usage.total_tokens for step in ended(assistants(told))] == listed == [0, 12]


@pytest.mark.parametrize("include", [[], [FOUND]])
def test_what_a_search_found_is_told_when_asked_for(include: list[str]) -> None:
    """The text of the results is in the step only with `include`."""
    run, told, items = played(hosted("file_search_call", 0, True, 2), "completed")
    (step,) = ended(assistants(told, include=include))
    (result,) = step.step_details.tool_calls[0].file_search.results
    assert (result.file_name, result.score) == ("a", 0.5)
    assert [part.text for part in result.content or ()] == (["found"] if include else [])
    assert step.step_details.to_dict() == encode_steps(run, items, include)[0]["step_details"]
