"""Run steps: a view of the items a run wrote."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from openai.types.beta.threads.runs import RunStep

from clew.core.items import Item, message, new_item
from clew.core.runs import MOVES, Run
from clew.wire.steps import encode_steps, step_id

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
