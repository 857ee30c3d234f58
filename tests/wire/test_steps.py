"""Run steps: a view of the items a run wrote."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from openai.types.beta.threads.runs import RunStep

from clew.core.items import Item, message, new_item
from clew.core.runs import MOVES, Run
from clew.wire.steps import FOUND, encode_steps, step_id

from .official import strict

NOW = 1_700_000_000_000
RUN = Run("TR", "T", NOW, "m", "completed", assistant="A", completed_at=NOW + 9_000)


def call(number: int) -> Item:
    data = {
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{number}",
        "name": "f",
        "arguments": "{}",
    }
    return new_item(f"fc_{number}", data, NOW, "TR")


def output(number: int) -> Item:
    data = {"type": "function_call_output", "call_id": f"call_{number}", "output": f"o{number}"}
    return new_item(f"fco_{number}", data, NOW, "TR")


def said(id: str, status: str = "completed") -> Item:
    part = {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}
    data = {"type": "message", "role": "assistant", "status": status, "content": [part]}
    return new_item(id, data, NOW + 2_000, "TR")


def read(run: Run, items: list[Item]) -> list[Any]:
    return [strict(RunStep, step) for step in encode_steps(run, items)]


def test_a_message_is_a_step() -> None:
    """The step that wrote a message, field by field."""
    (step,) = encode_steps(RUN, [said("msg_1")])
    strict(RunStep, step)
    assert step == {
        "id": "step_1",
        "object": "thread.run.step",
        "created_at": 1_700_000_002,
        "assistant_id": "asst_A",
        "thread_id": "thread_T",
        "run_id": "run_TR",
        "type": "message_creation",
        "status": "completed",
        "step_details": {
            "type": "message_creation",
            "message_creation": {"message_id": "msg_1"},
        },
        "last_error": None,
        "expired_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": 1_700_000_009,
        "metadata": {},
        "usage": None,
    }


def test_usage_is_that_of_the_last_step() -> None:
    """The steps of a run add up to what it used; until it is over, nothing is counted."""
    usage = {"input_tokens": 7, "cached_tokens": 0, "output_tokens": 5, "reasoning_tokens": 0}
    items = [call(1), output(1), said("msg_1"), said("msg_2", "incomplete")]
    steps = read(replace(RUN, usage=usage), items)
    assert [step.usage.total_tokens for step in steps] == [0, 0, 12]
    steps = read(replace(RUN, status="in_progress", usage=usage), items)
    assert [step.usage and step.usage.total_tokens for step in steps] == [0, 0, None]


def test_a_row_of_calls_is_one_step() -> None:
    """Calls made together are one step with their outputs; a message or an output ends the row."""
    items = [call(1), call(2), output(1), output(2), call(3), output(3), said("msg_1"), call(4)]
    steps = read(replace(RUN, status="in_progress"), items)
    assert [step.id for step in steps] == ["step_1", "step_3", "step_1", "step_4"]
    shown = [
        [(one.id, one.function.output) for one in step.step_details.tool_calls]
        for step in steps
        if step.type == "tool_calls"
    ]
    assert shown == [
        [("call_1", "o1"), ("call_2", "o2")],
        [("call_3", "o3")],
        [("call_4", None)],
    ]
    assert [step.status for step in steps] == ["completed"] * 3 + ["in_progress"]


def test_what_lay_between_two_calls_parts_them() -> None:
    """Also when it is gone from the log: their places tell."""
    items = [call(1), call(2), call(3)]
    for item, seq in zip(items, (4, 5, 7), strict=True):
        item.seq = seq
    assert [step.id for step in read(RUN, items)] == ["step_1", "step_3"]


def hosted(kind: str, **fields: Any) -> Item:
    return new_item("x_1", {"type": kind, "status": "completed", **fields}, NOW, "TR")


def test_a_file_search_is_a_step() -> None:
    """With how it ranked and what it found; the text of that only when asked for."""
    found = [{"file_id": "file-1", "filename": "a", "text": "x", "score": 0.5}, {}]
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.2}
    run = replace(RUN, tools=[{"type": "file_search", "ranking_options": ranking}])
    item = hosted("file_search_call", queries=["q"], results=found)
    (step,) = read(run, [item])
    search = step.step_details.tool_calls[0].file_search
    assert search.ranking_options.to_dict() == ranking
    assert [one.content for one in search.results] == [None, None]
    (shown,) = encode_steps(run, [item], [FOUND])
    results = strict(RunStep, shown).step_details.tool_calls[0].file_search.results
    assert [one.content[0].text for one in results] == ["x", ""]
    (step,) = read(run, [hosted("file_search_call", queries=["q"], results=None)])
    assert step.step_details.tool_calls[0].file_search.results is None


def test_code_is_a_step() -> None:
    """With what it said; other work of an upstream is none."""
    logs = [{"type": "logs", "logs": "2"}]
    code = hosted("code_interpreter_call", container_id="c", code="1 + 1", outputs=logs)
    work = hosted("web_search_call", action={"type": "search"})
    thought = hosted("reasoning", summary=[])
    (step,) = read(RUN, [thought, work, code])
    shown = step.step_details.tool_calls[0].code_interpreter
    assert (shown.input, shown.outputs[0].logs) == ("1 + 1", "2")


@pytest.mark.parametrize(
    ("status", "shown"),
    [("completed", "completed"), ("failed", "failed"), ("incomplete", "cancelled")],
)
def test_work_that_did_not_succeed(status: str, shown: str) -> None:
    """A search that failed is a step that failed, whatever became of the run."""
    (step,) = read(
        replace(RUN, status="cancelled"), [hosted("file_search_call", queries=[], status=status)]
    )
    assert step.status == shown


def test_a_custom_call_is_shown_as_one_of_a_function() -> None:
    """Its input is the arguments; an answer of parts is the text in them."""
    called = hosted("custom_tool_call", call_id="c", name="f", input="x")
    parts = [{"type": "input_text", "text": "4"}, {"type": "input_image", "file_id": "file-1"}]
    answered = hosted("custom_tool_call_output", call_id="c", output=parts)
    (step,) = read(RUN, [called, answered])
    function = step.step_details.tool_calls[0].function
    assert (function.arguments, function.output, step.status) == ("x", "4", "completed")


def test_a_run_that_wrote_nothing_has_no_steps() -> None:
    """No items, no steps."""
    assert encode_steps(RUN, []) == []


ENDS = {"failed": "failed", "cancelled": "cancelled", "expired": "expired"}


@pytest.mark.parametrize("status", MOVES)
@pytest.mark.parametrize("item", [call(1), said("msg_1", "incomplete")])
def test_an_open_step_ends_as_its_run_does(status: str, item: Item) -> None:
    """Calls without outputs and broken-off messages are in progress until the run ends."""
    error = {"code": "server_error", "message": "No."} if status == "failed" else None
    (step,) = read(replace(RUN, status=status, error=error), [item])
    ended = "completed" if status in ("completed", "incomplete") else "in_progress"
    assert step.status == ENDS.get(status, ended)
    assert (step.last_error is not None) == (status == "failed")
    for name in ("failed", "cancelled", "expired", "completed"):
        assert (getattr(step, f"{name}_at") is not None) == (step.status == name)


def test_a_step_is_found_by_the_key_of_its_item() -> None:
    """A step's id is its first item's with another prefix, imported ids as they came."""
    assert step_id("msg_abc", "assistant") == "step_abc"
    assert step_id("fc_abc", "function_call") == "step_abc"
    assert step_id("imported", "assistant") == "step_imported"


def test_a_plain_message_is_whole() -> None:
    """A message stored as its text alone is a completed step."""
    (step,) = read(RUN, [message("msg_1", "assistant", "x", NOW, "TR")])
    assert step.status == "completed"
